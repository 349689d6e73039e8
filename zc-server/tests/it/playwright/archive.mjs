// The button of a listing downloads the folder as one file.

import assert from "node:assert/strict";

import { PHONE, WIDE, on, open, run } from "./browser.mjs";

await run(...[WIDE, PHONE].flatMap(viewport => [true, false].map(javaScriptEnabled => () =>
  on({ viewport, javaScriptEnabled }, async page => {
    await open(page, "/sorted/");
    const [download] = await Promise.all([
      page.waitForEvent("download"),
      page.getByRole("button", { name: "Download folder" }).click(),
    ]);
    assert.equal(download.suggestedFilename(), "sorted.tar");
    await download.saveAs("sorted.tar");
  }))));
