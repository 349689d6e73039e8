// Times in the zone of the reader.
for (const time of document.querySelectorAll("time")) {
  const at = new Date(time.dateTime.replace(" ", "T"));
  const local = new Date(at - at.getTimezoneOffset() * 60e3);
  time.textContent = local.toISOString().slice(0, 16).replace("T", " ");
  time.title = at.toString();
}

// The filter: rows whose name lacks a typed word are hidden.
const rows = [...document.querySelectorAll("main li:not(.up)")];
const total = document.querySelector(".tools p");
const totals = total.textContent;
const names = rows.map(row => row.querySelector("bdi").textContent.toLowerCase());
const box = document.createElement("input");
const filter = () => {
  const words = box.value.toLowerCase().split(/\s+/);
  let shown = 0;
  rows.forEach((row, index) => {
    row.hidden = !words.every(word => names[index].includes(word));
    shown += !row.hidden;
  });
  total.textContent = box.value ? `${shown} of ${rows.length} shown` : totals;
};
box.type = "search";
box.placeholder = "Filter";
box.setAttribute("aria-label", "Filter by name");
box.addEventListener("input", filter);
total.setAttribute("role", "status");
if (rows.length > 1) total.after(box);

// Keys: slash goes to the filter, arrows go from row to row, Escape empties the filter.
document.addEventListener("keydown", event => {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  const isTyping = event.target === box;
  if (event.key === "/" && !isTyping) {
    box.focus();
  } else if (event.key === "Escape" && isTyping) {
    box.value = "";
    filter();
  } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    const links = [...document.querySelectorAll("main li:not([hidden]) a")];
    const at = links.indexOf(document.activeElement) + (event.key === "ArrowDown" ? 1 : -1);
    if (at < 0) box.focus();
    else links[at]?.focus();
  } else {
    return;
  }
  event.preventDefault();
});
