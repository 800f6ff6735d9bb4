// Copies text. The browser's clipboard takes it over https and on localhost only; elsewhere it goes the older way.

/** A copy as by the keyboard, of a field that is there for it alone. */
function copyOfField(text) {
  const [focus, field] = [document.activeElement, document.createElement("textarea")];
  field.className = "vh";
  field.value = "-"; // something that can be selected; long texts would have to be laid out
  field.addEventListener("copy", (event) => { event.preventDefault(); event.clipboardData.setData("text/plain", text); });
  (focus?.closest("dialog[open]") ?? document.body).append(field); // outside of an open dialog nothing can be selected
  field.select();
  const done = document.execCommand("copy");
  field.remove();
  focus?.focus({ preventScroll: true });
  if (!done) throw new Error("the browser refused");
}

/** Rejects when the browser lets nothing be copied. */
export async function copyText(text) {
  try {
    if (navigator.clipboard) return await navigator.clipboard.writeText(text);
  } catch { /* not allowed: the older way may be */ }
  copyOfField(text);
}

/** What a button with data-copy does: says in the button's own words whether it worked. */
export async function copyOf(button) {
  const [source, words] = [document.getElementById(button.dataset.copy), button.querySelector("span")];
  words.setAttribute("aria-live", "polite"); // a role would take the button its name
  try {
    await copyText(source.textContent.trim());
    words.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(source);
    words.textContent = "Not copied: press Ctrl+C";
  }
}
