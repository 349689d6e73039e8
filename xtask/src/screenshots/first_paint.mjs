// Opens a page again and again, each time as somebody who was never there, and prints of each time: the first
// contentful paint and the load, in milliseconds from the start of the navigation (W3C Paint Timing), and the bytes.

import { chromium } from "playwright-core";

const { chromium: executablePath, url, runs } = JSON.parse(process.env.TOLD);
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
const times = [];
while (times.length < runs) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 } });
  const page = await context.newPage();
  await page.goto(url);
  times.push(await page.evaluate(() => new Promise(done => {
    new PerformanceObserver(list => {
      const [paint] = list.getEntriesByName("first-contentful-paint");
      const [{ loadEventStart, encodedBodySize }] = performance.getEntriesByType("navigation");
      if (paint) done([paint.startTime, loadEventStart, encodedBodySize].map(Math.round));
    }).observe({ type: "paint", buffered: true });
  })));
  await context.close();
}
console.log(JSON.stringify(times));
await browser.close();
