// A folder of pictures and films: its listing offers a gallery, whose tiles open a player, which plays and seeks. Keys
// and links lead on to the next file and back to the gallery.

import assert from "node:assert/strict";

import { PHONE, WIDE, on, open, run, turns } from "./browser.mjs";

const FOLDER = "/media/";
const FILM = "2 film.mp4";
const TILES = ["1 dawn.jpg", FILM, "3 noon.png"];

const place = page => decodeURI(new URL(page.url()).pathname);

/// Waits for pictures, and says which of them show nothing.
async function broken(page) {
  return page.evaluate(async () => {
    const pictures = [...document.querySelectorAll("main img")];
    for (const picture of pictures) picture.loading = "eager";
    await Promise.allSettled(pictures.map(picture => picture.decode()));
    return pictures.filter(picture => !picture.naturalWidth).map(picture => picture.outerHTML);
  });
}

/// From the gallery to the player and back, by what is seen on both.
const tour = screen => on(screen, async page => {
  await open(page, "/");
  assert.equal(await page.getByRole("button", { name: "Gallery" }).count(), 0, "a gallery of folders alone");
  await open(page, FOLDER);
  await turns(page, page.getByRole("button", { name: "Gallery" }).click());
  assert.deepEqual(await page.locator(".tiles .name").allTextContents(), TILES);
  assert.deepEqual(await broken(page), [], "pictures that show nothing");
  await turns(page, page.locator(".tiles a", { hasText: TILES[0] }).click());
  assert.equal(place(page), FOLDER + TILES[0]);
  assert.deepEqual(await broken(page), []);
  await turns(page, page.getByRole("link", { name: "Next" }).click());
  await turns(page, page.getByRole("link", { name: "Next" }).click());
  assert.equal(place(page), FOLDER + TILES[2]);
  assert.equal(await page.getByRole("link", { name: "Next" }).count(), 0, "this is the last one");
  await turns(page, page.getByRole("link", { name: "Previous" }).click());
  assert.equal(place(page), FOLDER + FILM);
  await turns(page, page.getByRole("link", { name: "Gallery" }).click());
  assert.equal(place(page), FOLDER);
  assert.deepEqual(await page.locator(".tiles .name").allTextContents(), TILES);
});

const arrows = () => on({}, async page => {
  await open(page, `${FOLDER}${TILES[0]}?view=play`);
  await page.keyboard.press("ArrowLeft");
  for (const [key, name] of [["ArrowRight", FILM], ["ArrowRight", TILES[2]], ["ArrowLeft", FILM]]) {
    await turns(page, page.keyboard.press(key));
    assert.equal(place(page), FOLDER + name, key);
  }
});

/// A finger that moves to the left leads to the next file, and to the right to the one before. The events are those of
/// a script: Chromium drops touches of its debugger while a page has not been painted.
const swipes = () => on({ viewport: PHONE, hasTouch: true }, async page => {
  await open(page, `${FOLDER}${TILES[0]}?view=play`);
  const swipe = (from, to) => page.evaluate(([from, to]) => {
    const stage = document.getElementById("stage");
    const touch = clientX => new Touch({ identifier: 1, target: stage, clientX, clientY: 300 });
    stage.dispatchEvent(new TouchEvent("touchstart", { touches: [touch(from)], changedTouches: [touch(from)] }));
    stage.dispatchEvent(new TouchEvent("touchend", { changedTouches: [touch(to)] }));
  }, [from, to]);
  for (const [from, to, name] of [[300, 100, FILM], [100, 300, TILES[0]]]) {
    await turns(page, swipe(from, to));
    assert.equal(place(page), FOLDER + name);
  }
  await swipe(300, 260);
  assert.equal(place(page), FOLDER + TILES[0], "too short for a swipe");
});

/// What the browser cannot play is told, with a link to the file.
const failing = () => on({}, async page => {
  await open(page, "/broken/film.mp4?view=play");
  const told = page.locator("#failed");
  await told.waitFor({ state: "visible" });
  assert.match(await told.textContent(), /cannot play the file/);
  assert.equal(await told.getByRole("link").getAttribute("href"), "film.mp4?download");
});

/// The film plays, seeks, and shows its subtitles.
const film = () => on({}, async page => {
  await open(page, `${FOLDER}${FILM}?view=play`);
  const { played, sought, duration, cues } = await page.evaluate(async () => {
    const film = document.querySelector("video");
    const once = name => new Promise(done => film.addEventListener(name, done, { once: true }));
    film.muted = true;
    await film.play();
    if (film.currentTime === 0) await once("timeupdate");
    film.pause();
    const { currentTime: played, duration } = film;
    const seeked = once("seeked");
    film.currentTime = duration - 5;
    await seeked;
    return { played, duration, sought: film.currentTime, cues: film.textTracks[0].cues?.length };
  });
  assert.ok(played > 0, "it plays");
  assert.ok(Math.abs(sought - (duration - 5)) < 0.5, `${sought} of ${duration}`);
  assert.equal(cues, 1, "its subtitles");
});

const screens = [WIDE, PHONE].flatMap(viewport => [true, false].map(javaScriptEnabled => ({ viewport, javaScriptEnabled })));
await run(...screens.map(screen => () => tour(screen)), arrows, swipes, failing, film);
