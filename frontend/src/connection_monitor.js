// Whether the server still answers this page. The frame asks it every four seconds; after ten without an answer a bar
// says so, and what ticks or turns stands still: the page no longer knows.

import { raise } from "./notice_bar.js";

const SILENCE_MS = 10_000;
const root = document.documentElement;
let heardAt = Date.now();
let offlineAt = 0;

/** True while the page, or the log on it, has no word from the server. */
export const isSilent = () => root.hasAttribute("data-silent-page") || root.hasAttribute("data-silent-log");

export function watchServer() {
  if (!document.getElementById("no-word")) return;
  document.body.addEventListener("htmx:afterRequest", (event) => {
    const { status } = event.detail.xhr;
    if (status > 0 && status !== 502 && status !== 504) hear(); // those two are a proxy's words
  });
  document.addEventListener("visibilitychange", () => { if (!document.hidden) hear(); }); // a hidden page asks nothing
  addEventListener("pageshow", (event) => { if (event.persisted) hear(); });
  addEventListener("offline", () => { offlineAt = Date.now(); show(); });
  addEventListener("online", show);
  setInterval(show, 1000);
}

function hear() {
  heardAt = Date.now();
  show();
}

function show() {
  if (document.hidden) return;
  const quiet = Date.now() - heardAt;
  const isOffline = offlineAt > heardAt && !navigator.onLine;
  const silent = isOffline || quiet >= SILENCE_MS;
  const bar = document.getElementById("no-word");
  if (silent) {
    const words = isOffline ? "This browser is offline, trying again" : `No word from the server for ${Math.floor(quiet / 1000)} s, trying again`;
    bar.querySelector("[data-words]").textContent = words;
    const say = bar.querySelector("[role=status]");
    if (!say.textContent) say.textContent = `${isOffline ? "This browser is offline" : "No word from the server"}. What the page shows may be old.`;
  } else if (!bar.hidden) bar.querySelector("[role=status]").textContent = "";
  bar.hidden = !silent;
  for (const shown of document.querySelectorAll(".note.pinned:not([hidden])")) raise(shown);
  root.toggleAttribute("data-silent-page", silent);
}
