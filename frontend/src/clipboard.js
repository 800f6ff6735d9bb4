// Copies text. Browsers allow the Clipboard API over https and on localhost only; elsewhere it uses execCommand.

function copyWithExecCommand(text) {
  const [focused, field] = [document.activeElement, document.createElement("textarea")];
  field.className = "vh";
  field.value = "-"; // any text that can be selected; the browser would have to lay out a long one
  field.addEventListener("copy", (event) => { event.preventDefault(); event.clipboardData.setData("text/plain", text); });
  (focused?.closest("dialog[open]") ?? document.body).append(field); // nothing outside an open dialog can be selected
  field.select();
  const isCopied = document.execCommand("copy");
  field.remove();
  focused?.focus({ preventScroll: true });
  if (!isCopied) throw new Error("the browser refused");
}

/** Rejects if the browser does not allow a copy. */
export async function copyText(text) {
  try {
    if (navigator.clipboard) return await navigator.clipboard.writeText(text);
  } catch { /* not allowed: try execCommand */ }
  copyWithExecCommand(text);
}

/** For a button with data-copy: copy the text of that element, and show the result in the button. */
export async function copyFromButton(button) {
  const [source, label] = [document.getElementById(button.dataset.copy), button.querySelector("span")];
  label.setAttribute("aria-live", "polite"); // a role would replace the button's name
  try {
    await copyText(source.textContent.trim());
    label.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(source);
    label.textContent = "Not copied: press Ctrl+C";
  }
}
