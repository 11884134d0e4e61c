// Live updates, and times in the reader's zone. Without it the pages are whole: in UTC, and as they were when they were loaded.
"use strict";

const zone = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
const absolute = new Intl.DateTimeFormat(undefined, {
  day: "2-digit", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false,
});
const clock = new Intl.DateTimeFormat(undefined, {
  hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3, hour12: false,
});
const UNITS = [[86400, "day"], [3600, "h"], [60, "min"], [1, "s"]];

function ago(then) {
  const seconds = (Date.now() - then) / 1000;
  const size = Math.abs(seconds);
  if (size < 1) return "now";
  const [unit, name] = UNITS.find(([least]) => size >= least);
  const count = Math.floor(size / unit);
  const text = `${count} ${name}${name === "day" && count > 1 ? "s" : ""}`;
  return seconds > 0 ? `${text} ago` : `in ${text}`;
}

function localise(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    time.textContent = ("clock" in time.dataset ? clock : absolute).format(new Date(time.dateTime));
    time.title = time.dateTime;
  }
  refresh(root);
}

function refresh(root) {
  for (const span of root.querySelectorAll(".ago[data-at]")) {
    const text = ago(Number(span.dataset.at));
    if (span.textContent !== text) span.textContent = text;
  }
}

// The fields of the filter hold UTC; the reader sees and writes the time of their own zone.
function localiseFields() {
  for (const field of document.querySelectorAll("input[type=datetime-local]")) {
    if (field.value) field.value = local(new Date(`${field.value}Z`));
    const label = document.querySelector(`label[for="${field.id}"]`);
    if (label) label.textContent = label.textContent.replace(" (UTC)", "");
  }
  const form = document.querySelector("form.filter");
  form?.addEventListener("submit", () => {
    for (const field of form.querySelectorAll("input[type=datetime-local]")) {
      if (field.value) field.value = new Date(field.value).toISOString().slice(0, 19);
    }
    for (const field of form.elements) {
      if (field.name && !field.value) field.disabled = true; // an empty field has no place in the address
    }
  });
  window.addEventListener("pageshow", (event) => {
    if (event.persisted) location.reload();
  });
}

function local(date) {
  return new Date(date.getTime() - date.getTimezoneOffset() * 60000).toISOString().slice(0, 19);
}

function follow(region) {
  const state = document.getElementById("live-state");
  const say = (text, live) => {
    if (state && state.textContent !== text) state.textContent = text;
    state?.classList.toggle("on", live);
  };
  const source = new EventSource(region.dataset.live);
  source.addEventListener("open", () => say("Live", true));
  source.addEventListener("error", () => {
    say("Not live: trying again", false);
    if (source.readyState === EventSource.CLOSED) setTimeout(() => follow(region), 3000); // the browser gives up by itself
  });
  source.addEventListener("update", (event) => {
    const focused = region.contains(document.activeElement) ? document.activeElement : null;
    const again = focused && place(region, focused);
    const scrolled = [...region.querySelectorAll(".scroll")].map((one) => one.scrollLeft);
    region.innerHTML = event.data; // made and escaped by the console itself
    region.querySelectorAll(".scroll").forEach((one, at) => { one.scrollLeft = scrolled[at] || 0; });
    localise(region);
    if (again) find(region, again)?.focus({ preventScroll: true });
  });
  source.addEventListener("end", () => {
    source.close();
    say("", false);
  });
  window.addEventListener("pagehide", () => source.close());
}

// What had the focus gets it again after an update: the same link or button, at the same place among its equals.
function place(region, element) {
  const selector = element.id ? `#${CSS.escape(element.id)}`
    : element.getAttribute("href") ? `${element.localName}[href="${CSS.escape(element.getAttribute("href"))}"]`
    : element.localName;
  return [selector, [...region.querySelectorAll(selector)].indexOf(element)];
}

function find(region, [selector, at]) {
  return region.querySelectorAll(selector)[at];
}

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, select, textarea");
  if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    document.getElementById("q").focus();
  }
});

document.getElementById("zone").textContent = `in your time zone, ${zone}`;
localise(document);
localiseFields();
for (const region of document.querySelectorAll("[data-live]")) follow(region);
setInterval(() => refresh(document), 1000);
