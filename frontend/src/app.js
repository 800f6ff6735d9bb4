// What every page has: htmx's settings, theme, navigation, dialogs, times that tick.
import htmx from "htmx.org";
import { copyOf } from "./clipboard.js";
import { settleDrafts } from "./drafts.js";
import { watchFilters } from "./list_filters.js";
import { isSilent, watchServer } from "./connection_monitor.js";
import { watchSession } from "./session_expiry.js";
import { ago, duration, since } from "./durations.js";

window.htmx = htmx;
Object.assign(htmx.config, {
  allowEval: false, includeIndicatorStyles: false, selfRequestsOnly: true, historyCacheSize: 0, refreshOnHistoryMiss: true, timeout: 9000,
  // An answer that refuses is a page of its own; only what succeeded is put in place.
  responseHandling: [{ code: "204", swap: false }, { code: "[23]..", swap: true }, { code: "...", swap: false, error: true }],
});

const root = document.documentElement;
const all = (selector, from = document) => [...from.querySelectorAll(selector)];

// ---- theme
const system = matchMedia("(prefers-color-scheme: dark)");
function showTheme(choice) {
  const dark = choice === "dark" || (choice === "auto" && system.matches);
  root.setAttribute("data-bs-theme", dark ? "dark" : "light");
  root.setAttribute("data-theme-choice", choice);
  for (const button of all("[data-theme-set]")) button.setAttribute("aria-checked", button.dataset.themeSet === choice);
  document.dispatchEvent(new CustomEvent("cronium:theme", { detail: { dark } }));
}
system.addEventListener("change", () => showTheme(root.getAttribute("data-theme-choice")));

// ---- times and clocks
const skew = Number(root.dataset.now) ? Number(root.dataset.now) - Date.now() : 0;
const stamp = new Intl.DateTimeFormat(undefined, { year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit", timeZoneName: "short" });
const utc = (at) => `${at.toISOString().slice(0, 19).replace("T", " ")} UTC`;
const hour = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 1, hourCycle: "h23" });
function tick() {
  const now = Date.now() + skew;
  for (const time of all("time[data-rel]")) {
    const text = ago(now - Date.parse(time.dateTime));
    if (time.textContent !== text) time.textContent = text;
  }
  if (isSilent()) return;
  for (const waiting of all("[data-since]")) {
    const text = since(now - Number(waiting.dataset.since));
    if (waiting.textContent !== text) waiting.textContent = text;
  }
  for (const clock of all("[data-clock]")) {
    const text = duration(Math.max(0, now - Number(clock.dataset.clock)), true);
    if (clock.textContent !== text) clock.textContent = text;
  }
  grow(now);
}
/** The phases of a live run stay to scale: the last one grows. */
function grow(now) {
  for (const bar of all("[data-phases-live]")) {
    const items = all("li", bar);
    items.forEach((item, at) => {
      const end = at + 1 < items.length ? Number(items[at + 1].dataset.start) : now;
      item.style.flexGrow = Math.max(1, end - Number(item.dataset.start));
    });
  }
}
function localise(from) {
  for (const time of all("time[datetime]", from)) {
    const at = new Date(time.dateTime);
    if (time.hasAttribute("data-hour")) time.textContent = hour.format(at);
    time.title ||= `${stamp.format(at)} · ${utc(at)}`;
  }
  tick();
}
setInterval(tick, 1000);

// ---- navigation, menus, dialogs
function nav(open) {
  document.body.classList.toggle("nav-open", open);
  document.querySelector(".nav-toggle")?.setAttribute("aria-expanded", open);
  if (open) document.querySelector(".side a")?.focus();
}
document.addEventListener("click", (event) => {
  const on = (selector) => event.target.closest(selector);
  if (on(".nav-toggle")) nav(!document.body.classList.contains("nav-open"));
  else if (on(".scrim")) nav(false);
  const theme = on("[data-theme-set]");
  if (theme) {
    try { localStorage.setItem("cronium-theme", theme.dataset.themeSet); } catch { /* for this page only */ }
    showTheme(theme.dataset.themeSet);
  }
  const opener = on("[data-dialog]");
  if (opener) document.getElementById(opener.dataset.dialog)?.showModal();
  const closer = on("[data-close]");
  if (closer) (closer.closest("dialog") ? closer.closest("dialog").close() : closer.closest(".note")?.remove());
  const copier = on("[data-copy]");
  if (copier) copyOf(copier);
  for (const menu of all("details.menu[open]")) if (!menu.contains(event.target)) menu.open = false;
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    for (const menu of all("details.menu[open]")) { menu.open = false; menu.querySelector("summary").focus(); }
    if (document.body.classList.contains("nav-open")) { nav(false); document.querySelector(".nav-toggle").focus(); }
  }
  if (asksForSearch(event)) {
    const finder = document.querySelector("#top-search");
    if (finder) { event.preventDefault(); finder.focus(); finder.select(); }
  }
});

/** Ctrl-K everywhere but in code; "/" where nothing is typed and no log takes it. */
function asksForSearch({ key, ctrlKey, metaKey, altKey, shiftKey, target }) {
  if (altKey) return false;
  if (key.toLowerCase() === "k" && (ctrlKey || metaKey) && !shiftKey) return !target.closest("[contenteditable]");
  const typing = target.closest("input, textarea, select, [contenteditable]");
  return key === "/" && !ctrlKey && !metaKey && !typing && !document.querySelector("[data-run]");
}

// A row of a list leads where its title does; what in it leads elsewhere, and text that is being marked, come first.
document.addEventListener("click", (event) => {
  const row = event.target.closest("tr[data-row]");
  if (!row || event.target.closest("a, button, input, label, summary, form, time[tabindex]") || String(getSelection())) return;
  const link = row.querySelector("a.title");
  if (event.ctrlKey || event.metaKey) open(link.href, "_blank", "noopener");
  else link.click();
});

// A form is sent once; a second press while the first is on its way does nothing.
document.addEventListener("submit", (event) => {
  if (event.defaultPrevented || event.target.method !== "post") return;
  if (event.target.dataset.sent) event.preventDefault();
  else event.target.dataset.sent = "yes";
});
addEventListener("pageshow", () => { for (const form of all("form[data-sent]")) delete form.dataset.sent; });

// ---- htmx: no polling for a hidden page
document.body.addEventListener("htmx:beforeRequest", (event) => {
  if (document.hidden && /\bevery\b/.test(event.target.getAttribute("hx-trigger"))) event.preventDefault();
});
document.body.addEventListener("htmx:load", (event) => localise(event.target));
document.body.addEventListener("htmx:oobAfterSwap", (event) => localise(event.target));

// A form that came back with errors stands in its dialog again.
for (const dialog of all("dialog[data-reopen]")) dialog.showModal();

showTheme(root.getAttribute("data-theme-choice") || "auto");
localise(document);
watchServer();
watchFilters();
watchSession();
settleDrafts(location.pathname);
