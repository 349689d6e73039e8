// The page of an error says what happened, and the ways back that it shows lead back.

import assert from "node:assert/strict";

import { PHONE, WIDE, on, open, run, turns } from "./browser.mjs";

await run(...[WIDE, PHONE].flatMap(viewport => [true, false].map(javaScriptEnabled => () =>
  on({ viewport, javaScriptEnabled }, async page => {
    for (const [name, back] of [["Parent folder", "/sorted/"], ["Start page", "/"]]) {
      await open(page, "/sorted/none.txt", 404);
      assert.equal(await page.locator("h1").textContent(), "404 Not Found");
      await turns(page, page.getByRole("link", { name }).click());
      assert.equal(new URL(page.url()).pathname, back);
      assert.ok(await page.locator("li").count() > 0, `${name} leads to no listing`);
    }
  }))));
