// Runs on every page: htmx settings, theme, navigation, dialogs, ticking times.
import htmx from "htmx.org";
import { copyFromButton } from "./clipboard.js";
import { removeSentDrafts } from "./drafts.js";
import { fillInstants, startInputForm } from "./input_form.js";
import { startRowPicks } from "./row_picks.js";
import { startListFilters } from "./list_filters.js";
import { startRowKeys } from "./row_keys.js";
import { isServerSilent, monitorConnection } from "./connection_monitor.js";
import { startSteadyRegions } from "./steady_region.js";
import { startPageKeys } from "./page_keys.js";
import { startPalette } from "./palette.js";
import { monitorSession } from "./session_expiry.js";
import { formatAge, formatAgo, formatDuration, formatUntil } from "./durations.js";

window.htmx = htmx;
Object.assign(htmx.config, {
  allowEval: false, includeIndicatorStyles: false, selfRequestsOnly: true, historyCacheSize: 0, refreshOnHistoryMiss: true, timeout: 9000,
  // Error responses are whole pages; only successful responses are swapped in.
  responseHandling: [{ code: "204", swap: false }, { code: "[23]..", swap: true }, { code: "...", swap: false, error: true }],
});

const root = document.documentElement;
const findAll = (selector, from = document) => [...from.querySelectorAll(selector)];

// ---- theme
const systemTheme = matchMedia("(prefers-color-scheme: dark)");
function applyTheme(choice) {
  const isDark = choice === "dark" || (choice === "auto" && systemTheme.matches);
  root.setAttribute("data-bs-theme", isDark ? "dark" : "light");
  root.setAttribute("data-theme-choice", choice);
  for (const button of findAll("[data-theme-set]")) button.setAttribute("aria-checked", button.dataset.themeSet === choice);
  document.dispatchEvent(new CustomEvent("cronium:theme", { detail: { dark: isDark } }));
}
systemTheme.addEventListener("change", () => applyTheme(root.getAttribute("data-theme-choice")));

// ---- times and clocks
const skew = Number(root.dataset.now) ? Number(root.dataset.now) - Date.now() : 0;
const fullFormat = new Intl.DateTimeFormat(undefined, { year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit", timeZoneName: "short" });
const formatUtc = (at) => `${at.toISOString().slice(0, 19).replace("T", " ")} UTC`;
const clockFormat = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 1, hourCycle: "h23" });
function updateTimes() {
  const now = Date.now() + skew;
  for (const time of findAll("time[data-rel]")) {
    const text = formatAgo(now - Date.parse(time.dateTime));
    if (time.textContent !== text) time.textContent = text;
  }
  for (const time of findAll("time[data-until]")) {
    const text = formatUntil(Date.parse(time.dateTime) - now);
    if (time.textContent !== text) time.textContent = text;
  }
  if (isServerSilent()) return;
  for (const age of findAll("[data-since]")) {
    const text = formatAge(now - Number(age.dataset.since));
    if (age.textContent !== text) age.textContent = text;
  }
  for (const clock of findAll("[data-clock]")) {
    const text = formatDuration(Math.max(0, now - Number(clock.dataset.clock)), true);
    if (clock.textContent !== text) clock.textContent = text;
  }
  updatePhases(now);
}
/** The last phase of a live run grows; all widths are in proportion to the durations. */
function updatePhases(now) {
  for (const bar of findAll("[data-phases-live]")) {
    const items = findAll("li", bar);
    items.forEach((item, index) => {
      const end = index + 1 < items.length ? Number(items[index + 1].dataset.start) : now;
      item.style.flexGrow = Math.max(1, end - Number(item.dataset.start));
    });
  }
}
const localFormat = new Intl.DateTimeFormat("en-GB", { weekday: "short", year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit", timeZoneName: "short", hourCycle: "h23" });
/** As the server writes times of other zones: Sun 29 Nov 2026 02:30 GMT+1, with seconds only if there are any. */
function formatLocal(at) {
  const part = Object.fromEntries(localFormat.formatToParts(at).map(({ type, value }) => [type, value]));
  const seconds = part.second === "00" ? "" : `:${part.second}`;
  return `${part.weekday} ${part.day} ${part.month.slice(0, 3)} ${part.year} ${part.hour}:${part.minute}${seconds} ${part.timeZoneName}`;
}
/** 08:00 for the next 20 hours, Sat 08:00 within a week, else 28 Nov 08:00. */
function formatShort(at) {
  const hours = (at - Date.now() - skew) / 3_600_000;
  const day = hours < 20 ? {} : hours < 160 ? { weekday: "short" } : { day: "numeric", month: "short" };
  return new Intl.DateTimeFormat(undefined, { ...day, hour: "2-digit", minute: "2-digit", hourCycle: "h23" }).format(at);
}
/** Fields for local times name the reader's zone; without this script they are in UTC. */
function fillReaderZone(from) {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  for (const input of zone ? findAll("[data-reader-zone]", from) : []) input.value = zone;
  for (const name of zone ? findAll("[data-reader-zone-name]", from) : []) name.textContent = zone;
  fillInstants(from);
}
function formatTimes(from) {
  for (const time of findAll("time[datetime]", from)) {
    const at = new Date(time.dateTime);
    if (time.hasAttribute("data-hour")) time.textContent = clockFormat.format(at);
    if (time.hasAttribute("data-short")) time.textContent = formatShort(at);
    if (time.hasAttribute("data-local")) time.textContent = formatLocal(at);
    time.title ||= `${fullFormat.format(at)} · ${formatUtc(at)}`;
  }
  updateTimes();
}
setInterval(updateTimes, 1000);

// ---- navigation, menus, dialogs
function setNavigationOpen(isOpen) {
  document.body.classList.toggle("nav-open", isOpen);
  document.querySelector(".nav-toggle")?.setAttribute("aria-expanded", isOpen);
  if (isOpen) document.querySelector(".side a")?.focus();
}
document.addEventListener("click", (event) => {
  const findTarget = (selector) => event.target.closest(selector);
  if (findTarget(".nav-toggle")) setNavigationOpen(!document.body.classList.contains("nav-open"));
  else if (findTarget(".scrim")) setNavigationOpen(false);
  const theme = findTarget("[data-theme-set]");
  if (theme) {
    try { localStorage.setItem("cronium-theme", theme.dataset.themeSet); } catch { /* the choice applies to this page only */ }
    applyTheme(theme.dataset.themeSet);
  }
  const opener = findTarget("[data-dialog]");
  if (opener) openDialog(event, opener);
  const closer = findTarget("[data-close]");
  if (closer) (closer.closest("dialog") ? closer.closest("dialog").close() : closer.closest(".note")?.remove());
  const copier = findTarget("[data-copy]");
  if (copier) copyFromButton(copier);
  if (findTarget("[data-print]")) print();
  const adder = findTarget("[data-add-row]");
  if (adder) addRow(event, adder);
  for (const menu of findAll("details.menu[open]")) if (!menu.contains(event.target)) menu.open = false;
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    for (const menu of findAll("details.menu[open]")) { menu.open = false; menu.querySelector("summary").focus(); }
    if (document.body.classList.contains("nav-open")) { setNavigationOpen(false); document.querySelector(".nav-toggle").focus(); }
  }
  if (isSearchShortcut(event)) {
    const search = document.querySelector("[data-page-search]") || document.querySelector("#top-search");
    if (search) { event.preventDefault(); search.focus(); search.select(); }
  }
});

/** A link opens the dialog instead of its page, unless it is to open a new tab. */
function openDialog(event, opener) {
  const dialog = document.getElementById(opener.dataset.dialog);
  if (!dialog || ((event.ctrlKey || event.metaKey || event.shiftKey) && opener.href)) return;
  event.preventDefault();
  dialog.showModal();
  dialog.dispatchEvent(new CustomEvent("cronium:open"));
}

/** Adds a copy of the button's template to the list before it. Without this script, the button asks the server for it. */
function addRow(event, button) {
  event.preventDefault();
  const list = button.parentElement.querySelector("[data-rows]");
  if (list.children.length >= Number(list.dataset.rows)) return;
  list.append(document.getElementById(button.dataset.addRow).content.cloneNode(true));
  const field = list.lastElementChild.querySelector("textarea, input");
  field.setAttribute("aria-label", `${field.getAttribute("aria-label")} ${list.children.length}`);
  field.focus();
  button.disabled = list.children.length >= Number(list.dataset.rows);
}

/** "/" except in a field and on the run page, whose log uses it. */
function isSearchShortcut({ key, ctrlKey, metaKey, altKey, target }) {
  const field = target.closest("input, textarea, select, [contenteditable]");
  return key === "/" && !altKey && !ctrlKey && !metaKey && !field && !document.querySelector("[data-run]");
}

// A click on a row opens its title's link, unless it hits another control or selects text.
document.addEventListener("click", (event) => {
  const row = event.target.closest("tr[data-row]");
  if (!row || event.target.closest("a, button, input, label, summary, form, time[tabindex]") || String(getSelection())) return;
  const link = row.querySelector("a.title");
  if (event.ctrlKey || event.metaKey) open(link.href, "_blank", "noopener");
  else link.click();
});

// A form is submitted once; another submit before the response is ignored.
document.addEventListener("submit", (event) => {
  if (event.defaultPrevented || event.target.method !== "post") return;
  if (event.target.dataset.sent) event.preventDefault();
  else event.target.dataset.sent = "yes";
});
addEventListener("pageshow", () => { for (const form of findAll("form[data-sent]")) delete form.dataset.sent; });

// ---- htmx: no polling for a hidden page
document.body.addEventListener("htmx:beforeRequest", (event) => {
  if (document.hidden && /\bevery\b/.test(event.target.getAttribute("hx-trigger"))) event.preventDefault();
});
document.body.addEventListener("htmx:load", (event) => { formatTimes(event.target); fillReaderZone(event.target); });
document.body.addEventListener("htmx:oobAfterSwap", (event) => formatTimes(event.target));

// A form with errors reopens its dialog.
for (const dialog of findAll("dialog[data-reopen]")) dialog.showModal();

applyTheme(root.getAttribute("data-theme-choice") || "auto");
formatTimes(document);
fillReaderZone(document);
monitorConnection();
startRowPicks();
startListFilters();
startRowKeys();
startSteadyRegions();
startInputForm();
startPalette();
startPageKeys();
monitorSession();
removeSentDrafts(location.pathname);
