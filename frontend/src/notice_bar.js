// The notice bars for a lost connection and an ended session.

/** Move `bar` to the top of the open modal dialog, or else of the page: behind a modal dialog nothing can be reached. */
export function moveToFront(bar) {
  const container = [...document.querySelectorAll("dialog[open]")].at(-1) ?? document.getElementById("main");
  if (bar.parentElement !== container) container.prepend(bar);
}
