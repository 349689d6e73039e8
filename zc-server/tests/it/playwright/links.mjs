// Every link of a listing leads to the bytes that are on the disk.

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";

import { on, open, run, told, turns } from "./browser.mjs";

/// The bytes of a path with escapes, which need be no UTF-8.
const decoded = path => Buffer.from(
  path.replace(/%(..)/g, (_, hex) => String.fromCharCode(parseInt(hex, 16))), "latin1");

await run(...[true, false].map(javaScriptEnabled => () => on({ javaScriptEnabled }, async page => {
  await open(page, told.path);
  const links = await page.locator("li:not(.up) a").evaluateAll(links => links.map(link => link.href));
  const entries = readdirSync(Buffer.concat([Buffer.from(told.root), decoded(told.path)]));
  assert.equal(links.length, entries.length);
  for (const link of links) {
    const response = await page.request.get(link);
    assert.equal(response.status(), 200, link);
    const path = Buffer.concat([Buffer.from(told.root), decoded(new URL(link).pathname)]);
    if (link.endsWith("/")) assert.match(await response.text(), /^<!DOCTYPE html>/, link);
    else assert.ok(readFileSync(path).equals(await response.body()), `${link} has other bytes`);
  }
  // A click anywhere in a row opens it, not on the name alone.
  const row = page.locator("li", { hasText: told.clicked });
  const { height } = await row.boundingBox();
  await turns(page, row.click({ position: { x: 8, y: height - 6 } }));
  assert.equal(await page.locator("body").textContent(), told.content);
})));
