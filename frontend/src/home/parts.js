// Refreshes the parts of the home page. While the pointer or the focus is in a part, or one of its rows is open, its rows
// stay where they are and only the texts within them change; the rest follows when it is left.
import { morphElement } from "./morph.js";

const PERIOD_MS = 4000;
const ALWAYS_STEADY = "home-counts"; // nothing in it moves

function isHeld(part) {
  if (part.id === ALWAYS_STEADY) return false;
  if (matchMedia("(hover: hover)").matches && part.matches(":hover")) return true;
  const selection = getSelection();
  const isSelected = !selection.isCollapsed && part.contains(selection.anchorNode);
  return part.contains(document.activeElement) || Boolean(part.querySelector("details[open]")) || isSelected;
}

/** Writes new texts into the rows that are shown. */
function updateCells(part, sent) {
  for (const row of sent.querySelectorAll("tr[id]")) {
    const shown = [...document.getElementById(row.id)?.querySelectorAll("[data-live-cell]") ?? []];
    const cells = [...row.querySelectorAll("[data-live-cell]")];
    shown.forEach((cell, index) => {
      if (cells[index] && !cell.contains(document.activeElement)) morphElement(cell, cells[index]);
    });
  }
}

function formatTimes(part) {
  window.htmx.trigger(part, "htmx:load", { elt: part });
}

class Parts {
  constructor(root) {
    this.root = root;
    this.version = root.dataset.version;
    this.pending = new Map();
  }

  async refresh() {
    if (document.visibilityState === "hidden") return;
    const address = `${this.root.dataset.home}?v=${encodeURIComponent(this.version)}`;
    const response = await fetch(address, { headers: { "HX-Request": "true" }, redirect: "manual", signal: AbortSignal.timeout(9000) });
    if (response.status !== 200) return;
    this.version = response.headers.get("X-Version") ?? "";
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    for (const sent of page.querySelectorAll(".home-part")) this.show(sent);
  }

  show(sent) {
    const part = document.getElementById(sent.id);
    if (!part) return;
    if (isHeld(part)) {
      this.pending.set(sent.id, sent);
      updateCells(part, sent);
    } else {
      this.pending.delete(sent.id);
      morphElement(part, sent);
    }
    formatTimes(part);
  }

  applyPending(part) {
    const sent = this.pending.get(part.id);
    if (sent && !isHeld(part)) this.show(sent);
  }
}

export function startParts(root) {
  const parts = new Parts(root);
  for (const part of root.querySelectorAll(".home-part")) {
    part.addEventListener("pointerleave", () => parts.applyPending(part));
    part.addEventListener("focusout", () => setTimeout(() => parts.applyPending(part)));
    part.addEventListener("toggle", () => parts.applyPending(part), { capture: true });
  }
  // The frame's own requests notice a silent server and an ended session.
  const refresh = () => parts.refresh().catch(() => {});
  setInterval(refresh, PERIOD_MS);
  document.addEventListener("visibilitychange", refresh);
}
