// What holds for each page of the server: nothing is wider than the screen, what is clicked is high enough for a
// finger, nothing is loaded from elsewhere, and axe-core finds no fault.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

import { SCREENS, on, open, run, told } from "./browser.mjs";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
/// What a finger hits (WCAG 2.2, 2.5.5).
const TARGET = 44;

/// Whether the page can be moved to the side. A page that is a video alone has no text.
async function fits(page) {
  const { scrolled, inner, wide } = await page.evaluate(() => ({
    scrolled: document.documentElement.scrollWidth,
    inner: innerWidth,
    wide: [...document.querySelectorAll("body *")]
      .filter(element => element.getBoundingClientRect().right > innerWidth + 1)
      .map(element => element.outerHTML.slice(0, 200)),
  }));
  assert.ok(scrolled <= inner, `${scrolled} px wide on ${inner}: ${wide}`);
}

/// Whether all that is clicked is high enough.
async function isForFingers(page) {
  const low = await page.evaluate(least => [...document.querySelectorAll("main li, button, input:not([type=hidden]), nav a")]
    .map(element => [element.getBoundingClientRect().height, element.outerHTML.slice(0, 200)])
    .filter(([height]) => height > 0 && height < least), TARGET);
  assert.deepEqual(low, [], "too low for a finger");
}

/// All rules that axe-core has by default, those of best practice among them.
async function axe(page) {
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  const said = violations.map(({ id, help, nodes }) =>
    `${id}: ${help}\n${nodes.map(({ html, failureSummary }) => `  ${html}\n  ${failureSummary}`).join("\n")}`);
  assert.equal(said.join("\n"), "", "axe-core");
}

await run(...SCREENS.map(screen => () => on(screen, async page => {
  for (const { path, status } of told.pages) {
    await open(page, path, status);
    await fits(page);
    await isForFingers(page);
    if (screen.javaScriptEnabled) await axe(page);
  }
})));
