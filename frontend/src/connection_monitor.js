// Detects that the server does not answer. The page polls every four seconds; after ten seconds without a response a
// bar shows it, and clocks and spinners stop, because the page no longer knows the state.

import { moveToFront } from "./notice_bar.js";

const SILENCE_MS = 10_000;
const root = document.documentElement;
let lastResponseAt = Date.now();
let offlineAt = 0;

/** Whether the page, or the log on it, gets no response from the server. */
export const isServerSilent = () => root.hasAttribute("data-silent-page") || root.hasAttribute("data-silent-log");

export function monitorConnection() {
  if (!document.getElementById("no-word")) return;
  document.body.addEventListener("htmx:afterRequest", (event) => {
    const { status } = event.detail.xhr;
    if (status > 0 && status !== 502 && status !== 504) onResponse(); // a proxy sends 502 and 504
  });
  document.addEventListener("visibilitychange", () => { if (!document.hidden) onResponse(); }); // a hidden page does not poll
  addEventListener("pageshow", (event) => { if (event.persisted) onResponse(); });
  addEventListener("offline", () => { offlineAt = Date.now(); updateBar(); });
  addEventListener("online", updateBar);
  setInterval(updateBar, 1000);
}

function onResponse() {
  lastResponseAt = Date.now();
  updateBar();
}

function updateBar() {
  if (document.hidden) return;
  const silence = Date.now() - lastResponseAt;
  const isOffline = offlineAt > lastResponseAt && !navigator.onLine;
  const isSilent = isOffline || silence >= SILENCE_MS;
  const bar = document.getElementById("no-word");
  if (isSilent) {
    const text = isOffline ? "This browser is offline, trying again" : `No word from the server for ${Math.floor(silence / 1000)} s, trying again`;
    bar.querySelector("[data-words]").textContent = text;
    const announcement = bar.querySelector("[role=status]");
    if (!announcement.textContent) announcement.textContent = `${isOffline ? "This browser is offline" : "No word from the server"}. This page may be out of date.`;
  } else if (!bar.hidden) bar.querySelector("[role=status]").textContent = "";
  bar.hidden = !isSilent;
  for (const pinnedBar of document.querySelectorAll(".note.pinned:not([hidden])")) moveToFront(pinnedBar);
  root.toggleAttribute("data-silent-page", isSilent);
}
