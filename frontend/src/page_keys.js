// Keys that work on every page: `g` and a letter go to a page, `?` lists the keys. The log and the code editor have keys
// of their own, so there these do nothing.
const SECONDS = 1.5; // after `g`, for the letter
let goAt = -Infinity;

export function startPageKeys() {
  document.addEventListener("keydown", (event) => {
    if (!isFree(event)) return;
    if (performance.now() - goAt < SECONDS * 1000) {
      goAt = -Infinity;
      const link = document.querySelector(`[data-go="${CSS.escape(event.key)}"]`);
      if (link) { event.preventDefault(); location.assign(link.href); }
    } else if (event.key === "g") goAt = performance.now();
    else if (event.key === "?") document.getElementById("page-keys")?.showModal();
  });
}

function isFree({ target, altKey, ctrlKey, metaKey, isComposing, defaultPrevented }) {
  if (altKey || ctrlKey || metaKey || isComposing || defaultPrevented || document.querySelector("[data-run], dialog[open]")) return false;
  return !target.closest?.("input, textarea, select, [contenteditable]");
}
