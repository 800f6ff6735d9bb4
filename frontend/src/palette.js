// The palette (Ctrl-K): a dialog that searches pages, jobs and runs. The arrow keys move through its entries.
const PAUSE_MS = 120; // after a key, before the entries are asked for
const findDialog = () => document.getElementById("palette");
const findEntries = (dialog) => [...dialog.querySelectorAll(".entry")];
let isChoosing = false; // Enter was pressed before the entries of the typed words had arrived

export function startPalette() {
  document.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey || !event.target.closest("[data-palette]")) return;
    if (openPalette()) event.preventDefault();
  });
  document.addEventListener("keydown", (event) => {
    if (isPaletteKey(event) && openPalette()) event.preventDefault();
    else if (event.target.closest?.("#palette")) moveByKey(event);
  });
  let timer;
  document.addEventListener("input", ({ target }) => {
    if (!target.matches?.("#palette input")) return;
    clearTimeout(timer);
    timer = setTimeout(loadEntries, PAUSE_MS);
  });
}

/** Without htmx, which writes an error to the console for each request that a newer one or another page replaces. */
async function loadEntries() {
  const dialog = findDialog();
  const input = dialog.querySelector("input");
  const query = input.value;
  const address = `${dialog.dataset.entries}?${new URLSearchParams({ q: query })}`;
  const response = await fetch(address, { headers: { "HX-Request": "true" } }).catch(() => null);
  const text = response?.ok && !response.redirected ? await response.text().catch(() => "") : "";
  if (query !== input.value) return;
  const list = dialog.querySelector(".palette-entries");
  if (!text) return showFailure(list, Boolean(response?.redirected));
  list.innerHTML = text;
  if (!dialog.contains(document.activeElement)) input.focus(); // the focus was on a replaced entry
  if (isChoosing) chooseFirst(dialog);
}

/** Instead of the entries of earlier words. The server redirects who is signed out. */
function showFailure(list, isSignedOut) {
  const words = document.createElement("p");
  words.className = "meta none";
  words.setAttribute("role", "status");
  words.textContent = isSignedOut ? "You were signed out. Reload the page to sign in." : "Not loaded: the server did not answer. Type again to retry.";
  list.replaceChildren(words);
  isChoosing = false;
}

/** Opens the first entry, if the entries are those of the typed words; else when these arrive. */
function chooseFirst(dialog) {
  isChoosing = dialog.querySelector("[data-query]")?.dataset.query !== dialog.querySelector("input").value;
  if (!isChoosing) findEntries(dialog)[0]?.click();
}

/** Ctrl-K, also in fields; not in a code editor, which has the key for itself. */
function isPaletteKey({ key, ctrlKey, metaKey, altKey, shiftKey, target }) {
  return key.toLowerCase() === "k" && (ctrlKey || metaKey) && !altKey && !shiftKey && !target.closest?.("[contenteditable]");
}

function openPalette() {
  const dialog = findDialog();
  if (!dialog) return false;
  if (dialog.open) return true;
  const input = dialog.querySelector("input");
  dialog.showModal();
  input.select();
  loadEntries();
  return true;
}

function moveByKey(event) {
  if (event.isComposing || event.altKey || event.ctrlKey || event.metaKey) return;
  const dialog = findDialog();
  const input = dialog.querySelector("input");
  const entries = findEntries(dialog);
  const index = entries.indexOf(document.activeElement);
  if (event.key === "ArrowDown") (entries[index + 1] ?? entries.at(index < 0 ? 0 : -1))?.focus();
  else if (event.key === "ArrowUp") (index > 0 ? entries[index - 1] : input).focus();
  else if (event.key === "Enter" && document.activeElement === input) chooseFirst(dialog);
  else {
    isChoosing &&= event.key === "Shift";
    // Typing continues in the field, wherever the focus is.
    if (index >= 0 && (event.key.length === 1 || event.key === "Backspace") && event.key !== " ") input.focus();
    return;
  }
  event.preventDefault();
}
