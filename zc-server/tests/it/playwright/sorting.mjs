// A listing is sorted by its buttons, with the mouse and with the keyboard, and stays so in other folders.

import assert from "node:assert/strict";

import { PHONE, WIDE, on, open, run, told, turns } from "./browser.mjs";

const names = page => page.locator("li:not(.up) bdi").allTextContents();

/// What the page says of its order, to those who see it not as well.
async function said(page) {
  const buttons = await page.locator(".sort button").allTextContents();
  return buttons.filter(text => text.includes(", "));
}

/// Goes to a button as who has no mouse does, and presses a key.
async function press(page, title, key) {
  const isThere = () => page.evaluate(title => document.activeElement.textContent.startsWith(title), title);
  for (let steps = 0; !await isThere(); steps++) {
    assert.ok(steps < 20, `no key leads to ${title}`);
    await page.keyboard.press("Tab");
  }
  await turns(page, page.keyboard.press(key));
}

const click = (page, title) => turns(page, page.locator(".sort button", { hasText: title }).click());

await run(...[WIDE, PHONE].flatMap(viewport => [true, false].map(javaScriptEnabled => () =>
  on({ viewport, javaScriptEnabled }, async page => {
    const { name, size, time } = told.orders;
    await open(page, "/sorted/");
    assert.deepEqual(await names(page), name.asc, "first");
    for (const sort of [click, (page, title) => press(page, title, "Enter"), (page, title) => press(page, title, " ")]) {
      await sort(page, "Size");
      assert.deepEqual(await names(page), size.asc, "by size");
      assert.deepEqual(await said(page), ["Size, ascending"]);
      await sort(page, "Size");
      assert.deepEqual(await names(page), size.desc, "by size again");
      await sort(page, "Name");
      assert.deepEqual(await names(page), name.asc, "by name");
      await sort(page, "Name");
      assert.deepEqual(await names(page), name.desc, "by name again");
      await sort(page, "Modified");
      assert.deepEqual(await names(page), time.desc, "what is new comes first");
      assert.deepEqual(await said(page), ["Modified, descending"]);
      await sort(page, "Modified");
      assert.deepEqual(await names(page), time.asc, "by time again");
    }
    await click(page, "Modified");
    await turns(page, page.locator("li a", { hasText: name.asc[0] }).click());
    assert.deepEqual(await said(page), ["Modified, descending"], "in a folder");
    await turns(page, page.locator("li.up a").click());
    assert.deepEqual(await names(page), time.desc, "back by the first row");
    await turns(page, page.locator("h1 a").first().click());
    assert.deepEqual(await said(page), ["Modified, descending"], "in the top folder");
    await page.goBack();
    assert.deepEqual(await names(page), time.desc, "back by the browser");
  }))));
