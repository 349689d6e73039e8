// What the scripts beside this one have in common: a browser, the screens, and an eye on each page for what must
// never happen. A check that fails throws, and the process ends with 1 and what it said.

import { chromium } from "playwright-core";

/// What the test has said: where the server listens, where its files are, how the browser is started, and more.
export const told = JSON.parse(process.env.TOLD);

/// The exit code that says that the browser has crashed, which says nothing about a page.
const CRASHED = 75;

export const WIDE = { width: 1280, height: 800 };
export const PHONE = { width: 390, height: 844 };

/// Every screen that a page has to be good on.
export const SCREENS = [WIDE, PHONE].flatMap(viewport =>
  ["light", "dark"].flatMap(colorScheme =>
    [true, false].map(javaScriptEnabled => ({ viewport, colorScheme, javaScriptEnabled }))));

const browser = await chromium.launch({
  executablePath: told.chromium,
  args: told.args,
  // timeout(1) ends a run that hangs.
  timeout: 0,
});
let isOver = false;
const crashed = () => isOver || process.exit(CRASHED);
browser.on("disconnected", crashed);

/// Runs a check with a new page on a screen, and says the screen when it fails.
export async function on(screen, check) {
  const context = await browser.newContext({ viewport: WIDE, acceptDownloads: true, ...screen });
  context.setDefaultTimeout(0);
  const page = await context.newPage();
  const faults = await watch(page);
  try {
    await check(page);
    if (faults.length > 0) throw new Error(faults.join("\n"));
  } catch (error) {
    error.message = `${JSON.stringify(screen)}, ${page.url()}: ${error.message}`;
    throw error;
  }
  await context.close();
}

/// Lists what must not happen on a page: errors, violations of the policy, requests to somewhere else, a dialog.
async function watch(page) {
  const faults = [];
  page.on("crash", crashed);
  page.on("pageerror", error => faults.push(`an error: ${error.stack}`));
  page.on("dialog", dialog => {
    faults.push(`a dialog: ${dialog.message()}`);
    dialog.dismiss();
  });
  page.on("console", message => {
    // That the page itself is an error is what it says, and an icon is for the owner of the files to have.
    const isMissing = [page.url(), `${told.base}/favicon.ico`].includes(message.location().url);
    if (message.type() === "error" && !isMissing) faults.push(`on the console of ${page.url()}: ${message.text()}`);
  });
  page.on("request", request => {
    const { origin, protocol } = new URL(request.url());
    if (origin !== told.base && protocol !== "data:") faults.push(`a request for ${request.url()}`);
  });
  await page.exposeFunction("tell", violation => faults.push(`the policy forbids ${violation}`));
  await page.addInitScript(() => document.addEventListener("securitypolicyviolation", event =>
    tell(`${event.blockedURI} by ${event.violatedDirective}`)));
  return faults;
}

/// Opens a page of the server, which must answer with this status.
export async function open(page, path, status = 200) {
  const response = await page.goto(told.base + path);
  if (response.status() !== status) throw new Error(`${path} is answered ${response.status()}`);
}

/// Does what leads to another page, and waits until all of that is there: a click is over before.
export const turns = (page, action) => Promise.all([page.waitForNavigation(), action]);

/// Runs all checks, one after the other, and ends the process.
export async function run(...checks) {
  try {
    for (const check of checks) await check();
  } catch (error) {
    // Where the browser is gone, it says so itself.
    if (browser.isConnected()) console.error(error);
    process.exitCode = browser.isConnected() ? 1 : CRASHED;
  }
  isOver = true;
  await browser.close();
}
