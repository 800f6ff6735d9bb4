// A new secret, stored from the editor and given to the job. The value is sent once and stays nowhere in the page.
import { SIGNED_OUT, isSignedOut } from "../signed_out.js";

export class SecretDialog {
  /** `onStored(name)` is called once the server has stored the secret. */
  constructor(dialog, { token, onStored }) {
    Object.assign(this, { dialog, token, onStored, form: dialog.querySelector("form"), error: dialog.querySelector("[data-error]") });
    this.form.addEventListener("submit", (event) => { event.preventDefault(); event.stopPropagation(); this.#store(); });
    dialog.addEventListener("close", () => this.form.reset());
  }

  open(name = "") {
    this.#showError("");
    this.dialog.showModal();
    this.form.elements.secret_name.value = name;
    (name ? this.form.elements.secret_value : this.form.elements.secret_name).focus();
  }

  async #store() {
    const { secret_name: name, secret_value: value } = this.form.elements;
    const text = name.value.trim();
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(text)) return this.#showError("The name has letters, digits and _, and begins with no digit.");
    if (!value.value) return this.#showError("Enter the value.");
    const response = await fetch(`/api/v1/secrets/${encodeURIComponent(text)}`, {
      method: "PUT", headers: { "Content-Type": "application/json", "X-CSRFToken": this.token() }, signal: AbortSignal.timeout(15_000),
      body: JSON.stringify({ value: value.value, description: "", version: 0 }),
    }).catch(() => null);
    if (!response) return this.#showError("No answer from the server.");
    if (isSignedOut(response)) return this.#showError(SIGNED_OUT);
    if (!response.ok) return this.#showError((await response.json().catch(() => ({}))).detail ?? "Not stored.");
    this.dialog.close();
    this.onStored(text);
  }

  #showError(text) {
    this.error.textContent = text;
    this.error.hidden = !text;
  }
}
