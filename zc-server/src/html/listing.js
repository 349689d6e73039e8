for (const time of document.querySelectorAll("time")) {
  const local = new Date(new Date(time.dateTime) - new Date(time.dateTime).getTimezoneOffset() * 60e3);
  time.textContent = local.toISOString().slice(0, 16).replace("T", " ");
}
