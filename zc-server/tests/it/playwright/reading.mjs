// What the script of a listing adds: times of the reader's zone, a box that filters, and keys.

import assert from "node:assert/strict";
import { statSync } from "node:fs";

import { PHONE, WIDE, on, open, run, told, turns } from "./browser.mjs";

const path = "/read/";
const box = page => page.getByRole("searchbox", { name: "Filter" });
const total = page => page.locator(".tools p").textContent();
const shown = page => page.locator("li:not(.up):visible bdi").allTextContents();
const focused = page => page.evaluate(() => document.activeElement.textContent);

/// A time as a clock on the wall of a zone shows it: the form of Sweden is that of the page.
function onWall(time, timeZone) {
  const parts = { dateStyle: "short", timeStyle: "short", timeZone };
  return new Intl.DateTimeFormat("sv-SE", parts).format(time);
}

/// `Pacific/Auckland` is a day ahead of UTC for half of the time; both zones have summer time, in other months.
const times = ["Pacific/Auckland", "America/New_York"].flatMap(timezoneId => [true, false].map(javaScriptEnabled => () =>
  on({ timezoneId, javaScriptEnabled }, async page => {
    await open(page, path);
    const zone = javaScriptEnabled ? timezoneId : "UTC";
    for (const name of await shown(page)) {
      const { mtime } = statSync(told.root + path + name);
      const row = page.locator("li").filter({ has: page.getByText(name, { exact: true }) });
      assert.equal(await row.locator("time").textContent(), onWall(mtime, zone), `${name} in ${zone}`);
    }
  })));

const filter = viewport => on({ viewport }, async page => {
  await open(page, path);
  const [all, totals] = [await shown(page), await total(page)];
  await box(page).fill("JANUARY");
  assert.deepEqual(await shown(page), ["january 1.txt", "january 2.txt"]);
  assert.equal(await total(page), `2 of ${all.length} shown`);
  await box(page).fill("2 jan");
  assert.deepEqual(await shown(page), ["january 2.txt"], "words in any order");
  await box(page).fill("none of this name");
  assert.deepEqual(await shown(page), []);
  await box(page).press("Escape");
  assert.deepEqual([await shown(page), await total(page)], [all, totals], "all again");
  assert.equal(await box(page).inputValue(), "");
});

const withoutScript = () => on({ javaScriptEnabled: false }, async page => {
  await open(page, path);
  assert.equal(await page.locator("input:not([type=hidden])").count(), 0, "a box that does nothing");
});

const keys = () => on({}, async page => {
  await open(page, path);
  await page.keyboard.press("/");
  await page.keyboard.type("jan");
  assert.equal(await box(page).inputValue(), "jan", "the slash is no part of it");
  await page.keyboard.press("ArrowDown");
  assert.equal(await focused(page), "Parent folder");
  for (const name of ["january 1.txt", "january 2.txt", "january 2.txt"]) {
    await page.keyboard.press("ArrowDown");
    assert.equal(await focused(page), name);
  }
  await page.keyboard.press("ArrowUp");
  assert.equal(await focused(page), "january 1.txt");
  await turns(page, page.keyboard.press("Enter"));
  assert.equal(await page.locator("body").textContent(), "january 1.txt");
  await page.goBack();
  await page.keyboard.press("/");
  await page.keyboard.press("Escape");
  assert.deepEqual(await shown(page), ["january 1.txt", "january 2.txt", "july.txt"]);
});

await run(...times, () => filter(WIDE), () => filter(PHONE), withoutScript, keys);
