// Takes pictures of pages, once all that they show is there.

import { chromium } from "playwright-core";

const { chromium: executablePath, scale, zone, shots } = JSON.parse(process.env.TOLD);
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", "--hide-scrollbars"] });
for (const { url, file, width, height, colorScheme } of shots) {
  const viewport = { width, height };
  const page = await browser.newPage({ viewport, colorScheme, deviceScaleFactor: scale, timezoneId: zone });
  await page.goto(url, { waitUntil: "networkidle" });
  await page.evaluate(async () => {
    await Promise.all([...document.images].map(image => image.decode().catch(() => {})));
    // A film that was played for a moment has its subtitles, and nothing that turns while it is loading.
    for (const film of document.querySelectorAll("video")) {
      const once = name => new Promise(done => film.addEventListener(name, done, { once: true }));
      film.muted = true;
      film.currentTime = 93;
      await once("seeked");
      await film.play();
      await once("timeupdate");
      film.pause();
      await once("timeupdate");
    }
  });
  await page.screenshot({ path: file, animations: "disabled" });
  await page.close();
}
await browser.close();
