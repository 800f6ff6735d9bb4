// A region that the server refreshes, such as the ledger of a schedule. While the pointer or the focus is in it, or a row
// is open, rows stay where they are: only the states of runs change, and a button offers the new rows.

let isForced = false;

const getButton = (region) => document.querySelector(`[data-steady-show="${region.id}"]`);

function isHeld(region) {
  const { activeElement } = document;
  if (matchMedia("(hover: hover)").matches && region.matches(":hover")) return true;
  if (activeElement !== region && region.contains(activeElement)) return true;
  const selection = getSelection();
  return Boolean(region.querySelector("details[open]")) || (!selection.isCollapsed && region.contains(selection.anchorNode));
}

/** Writes the new states into the rows that are shown. Returns whether there are other rows. */
function updateCells(region, html) {
  const page = new DOMParser().parseFromString(html, "text/html");
  let hasNews = false;
  for (const row of page.querySelectorAll("tr[id]")) {
    const shown = document.getElementById(row.id);
    hasNews ||= !shown;
    const [cell, shownCell] = [row, shown].map((each) => each?.querySelector("[data-live-cell]"));
    if (!cell || !shownCell || cell.textContent === shownCell.textContent) continue;
    if (!shownCell.matches(":hover") && !shownCell.contains(document.activeElement)) shownCell.innerHTML = cell.innerHTML;
  }
  return hasNews;
}

function setNews(region, hasNews) {
  const button = getButton(region);
  if (!button || button.hidden === !hasNews) return;
  button.hidden = !hasNews;
  document.getElementById(`${region.id}-news`).textContent = hasNews ? "There are new times." : "";
}

function refreshReleased(region) {
  if (!getButton(region)?.hidden && !isHeld(region)) refresh(region);
}

function refresh(region) {
  window.htmx.trigger(document.getElementById(`${region.id}-poll`), "cronium:refresh");
}

export function startSteadyRegions() {
  document.body.addEventListener("htmx:beforeSwap", (event) => {
    const { target, xhr } = event.detail;
    if (!target.matches?.("[data-steady]") || !event.detail.shouldSwap) return;
    if (isForced || !isHeld(target)) {
      isForced = false;
      setNews(target, false);
      return;
    }
    event.detail.shouldSwap = false;
    setNews(target, updateCells(target, xhr.responseText));
  });
  for (const region of document.querySelectorAll("[data-steady]")) {
    region.addEventListener("pointerleave", () => refreshReleased(region));
    region.addEventListener("focusout", () => setTimeout(() => refreshReleased(region)));
    region.addEventListener("toggle", () => refreshReleased(region), { capture: true });
    getButton(region)?.addEventListener("click", () => { isForced = true; region.focus(); refresh(region); });
  }
}
