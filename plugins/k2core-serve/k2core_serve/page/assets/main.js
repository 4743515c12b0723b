// The frame: which page is shown, the theme, the key.
import { address, get, key } from "./api.js";
import { announce, fill, h } from "./dom.js";
import { askPlace } from "./ask.js";
import { comparePlace } from "./compare.js";
import { historyPlace } from "./history.js";
import { reportsPlace } from "./reports.js";
import { tracePlace } from "./trace.js";

const main = document.getElementById("main");
const kept = new Map(); // pages on which something may be running stay as they are while others are looked at
let about = null;

const PLACES = [
  { pattern: /^$/, name: "ask", make: askPlace, keep: true, title: "Ask" },
  { pattern: /^compare$/, name: "compare", make: comparePlace, keep: true, title: "Compare" },
  { pattern: /^traces$/, name: "traces", make: historyPlace, title: "History" },
  { pattern: /^traces\/([^/]+)$/, name: "traces", make: tracePlace, title: "Request" },
  { pattern: /^reports(?:\/(.+))?$/, name: "reports", make: reportsPlace, title: "Reports" },
];

function placeOf(url) {
  const path = decodeURI(url.pathname).slice(decodeURI(address("").pathname).length).replace(/\/$/, "");
  for (const place of PLACES) {
    const match = place.pattern.exec(path);
    if (match) return { ...place, argument: match[1] };
  }
  return { name: "", title: "Not found", make: () => h("div", {}, h("h1", {}, "There is no such page")) };
}

async function show(focus) {
  const url = new URL(location.href);
  const place = placeOf(url);
  const name = place.keep && !url.search ? place.name : "";
  const made = kept.get(name) || place.make({ about, argument: place.argument, query: url.searchParams, go });
  if (name) kept.set(name, made);
  document.title = `${place.title} · k2core`;
  for (const link of document.querySelectorAll("nav [data-place]")) {
    if (link.dataset.place === place.name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  fill(main, made);
  if (focus) {
    const heading = main.querySelector("h1");
    heading?.setAttribute("tabindex", "-1");
    (heading || main).focus({ preventScroll: true });
    scrollTo(0, 0);
  }
}

/** Goes to another page of this one. */
export function go(path, { replace = false, stay = false } = {}) {
  history[replace ? "replaceState" : "pushState"](null, "", address(path));
  if (!stay) show(true);
}

function follow(event) {
  const link = event.target.closest("a[href]");
  if (!link || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  if (link.classList.contains("skip")) {
    event.preventDefault();
    main.focus();
    return;
  }
  if (link.target || link.download || link.origin !== location.origin || !link.href.startsWith(address("").href)) return;
  event.preventDefault();
  go(link.href);
}

// theme

const THEMES = ["", "light", "dark"];
const THEME_NAMES = { "": "automatic", light: "light", dark: "dark" };
const themeButton = document.getElementById("theme-button");
const nameTheme = () => { themeButton.textContent = `Theme: ${THEME_NAMES[window.k2theme.get()]}`; };
themeButton.addEventListener("click", () => {
  window.k2theme.set(THEMES[(THEMES.indexOf(window.k2theme.get()) + 1) % THEMES.length]);
  nameTheme();
  announce(themeButton.textContent);
});

// key

const dialog = document.getElementById("key-dialog");
const field = document.getElementById("key-field");
let answer = null;

function askForKey(message) {
  document.getElementById("key-message").textContent = message;
  field.value = "";
  if (!dialog.open) dialog.showModal();
  return new Promise((resolve) => { answer = resolve; });
}

dialog.querySelector("form").addEventListener("submit", (event) => {
  event.preventDefault();
  key.set(field.value.trim());
  dialog.close("used");
});
document.getElementById("key-cancel").addEventListener("click", () => dialog.close(""));
dialog.addEventListener("close", () => {
  answer?.(dialog.returnValue === "used");
  dialog.returnValue = "";
  field.value = "";
});
document.getElementById("key-button").addEventListener("click", async () => {
  if (await askForKey("Enter another key to use from now on.")) await begin();
});

async function begin() {
  about = await get("api/about");
  document.getElementById("key-button").hidden = !about.key_needed;
  while (!about.known && await askForKey(key.get() ? about.message : "Ask whoever runs it for one.")) about = await get("api/about");
  kept.clear();
  for (const [place, has] of [["traces", about.history], ["reports", about.reports]]) {
    document.querySelector(`nav [data-place=${place}]`).closest("li").hidden = !has;
  }
  await show(false);
}

nameTheme();
key.whenWanted(askForKey);
document.addEventListener("click", follow);
window.addEventListener("popstate", () => show(true));
begin().catch((error) => fill(main, h("h1", {}, "This page cannot begin"), h("p", { class: "trouble" }, error.message)));
