const medium = document.getElementById("medium");
const stage = document.getElementById("stage");
const failed = document.getElementById("failed");
const plays = medium instanceof HTMLMediaElement;

// A store may be forbidden, or full: then nothing is remembered.
const store = (name, value) => {
  try {
    if (value === undefined) return localStorage.getItem(name);
    if (value === null) localStorage.removeItem(name);
    else localStorage.setItem(name, value);
  } catch {}
  return null;
};

const fail = () => { failed.hidden = false; };
medium.addEventListener("error", fail);
if (plays ? medium.error : medium.complete && !medium.naturalWidth) fail();

const go = rel => {
  const link = document.querySelector("nav a[rel=" + rel + "]");
  if (link) location.href = link.href;
};
addEventListener("keydown", event => {
  // Media and lists of choices have a use of their own for the arrows.
  if (event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
  if (event.target.closest("video, audio, select")) return;
  if (event.key == "ArrowLeft") go("prev");
  if (event.key == "ArrowRight") go("next");
});

// The browser has the swipes on a page that is enlarged: they move it about.
const isEnlarged = () => visualViewport.scale > 1.05;
visualViewport.addEventListener("resize", () => stage.classList.toggle("enlarged", isEnlarged()));
let from = null;
stage.addEventListener("touchstart", event => {
  const touch = event.touches[0];
  // The lower end of a film has the controls.
  const below = plays ? medium.getBoundingClientRect().bottom - 90 : Infinity;
  const free = event.touches.length == 1 && touch.clientY < below && !isEnlarged();
  from = free ? [touch.clientX, touch.clientY] : null;
}, { passive: true });
stage.addEventListener("touchend", event => {
  if (!from) return;
  const touch = event.changedTouches[0];
  const [x, y] = [touch.clientX - from[0], touch.clientY - from[1]];
  from = null;
  if (Math.abs(x) > 60 && Math.abs(x) > 2 * Math.abs(y)) go(x > 0 ? "prev" : "next");
}, { passive: true });

if (plays) {
  const place = "zc position " + location.pathname;
  const clock = seconds => {
    const parts = [seconds / 3600, seconds / 60 % 60, seconds % 60].map(Math.floor);
    if (!parts[0]) parts.shift();
    return parts.map((part, index) => index ? String(part).padStart(2, "0") : part).join(":");
  };
  // What has hardly begun, or is nearly over, begins anew.
  const keep = () => {
    const { currentTime: now, duration } = medium;
    if (now > 5 && now < duration - 5) store(place, now.toFixed(1));
  };
  const resume = () => {
    const before = Number(store(place));
    if (!(before > 0 && before < medium.duration)) return;
    medium.currentTime = before;
    const again = document.createElement("button");
    again.className = "button";
    again.textContent = "Start over";
    const resumed = document.getElementById("resumed");
    again.addEventListener("click", () => {
      store(place, null);
      medium.currentTime = 0;
      resumed.hidden = true;
      medium.focus();
    });
    resumed.append("Goes on at " + clock(before) + ". ", again);
    resumed.hidden = false;
  };
  if (medium.readyState) resume();
  else medium.addEventListener("loadedmetadata", resume, { once: true });
  let kept = 0;
  medium.addEventListener("timeupdate", event => {
    if (Math.abs(event.timeStamp - kept) < 3000) return;
    kept = event.timeStamp;
    keep();
  });
  medium.addEventListener("pause", keep);
  medium.addEventListener("seeked", keep);
  addEventListener("pagehide", keep);
  medium.addEventListener("ended", () => store(place, null));

  const label = document.createElement("label");
  const speeds = document.createElement("select");
  label.className = "button";
  for (const speed of [0.5, 0.75, 1, 1.25, 1.5, 1.75, 2]) {
    speeds.add(new Option(speed + "\u00d7", speed));
  }
  const set = () => { medium.playbackRate = medium.defaultPlaybackRate = Number(speeds.value); };
  const last = store("zc speed");
  speeds.value = [...speeds.options].some(option => option.value == last) ? last : "1";
  set();
  speeds.addEventListener("change", () => { store("zc speed", speeds.value); set(); });
  label.append("Speed ", speeds);
  document.getElementById("tools").prepend(label);
}
