// *Fill from run* in the forms of jobs and schedules: writes the input of any old run into the JSON of the form.
import { SIGNED_OUT, isSignedOut } from "./signed_out.js";

const NO_ANSWER = "No answer from the server. Try again.";

export class RunFill {
  /** `root` has the number and the buttons; `area` the JSON; `addSettings(body)` adds the job. `typed`: the fields that
   * are made from the JSON, if the job has a schema. */
  constructor({ root, area, address, addSettings, typed }) {
    Object.assign(this, { root, area, address, addSettings, typed });
    this.number = root.querySelector("input");
    this.said = root.parentElement.querySelector("[data-run-fill-said]");
    for (const button of root.querySelectorAll("button")) button.addEventListener("click", () => this.fill(button.dataset.runFill || this.number.value));
    this.number.addEventListener("keydown", (event) => {
      if (event.key !== "Enter") return;
      event.preventDefault(); // it would send the form
      this.fill(this.number.value);
    });
    for (const type of ["input", "change"]) this.number.addEventListener(type, (event) => event.stopPropagation()); // no change of the form
  }

  async fill(source) {
    if (!source.trim()) {
      this.number.focus();
      return;
    }
    const body = new FormData();
    body.set("csrfmiddlewaretoken", this.area.form.elements.csrfmiddlewaretoken.value);
    body.set("fill", source);
    this.addSettings(body);
    const response = await fetch(this.address, { method: "POST", body, signal: AbortSignal.timeout(15_000) }).catch(() => null);
    const isOut = Boolean(response && isSignedOut(response));
    const text = response?.ok && !isOut ? await response.text().catch(() => null) : null;
    if (text === null) this.said.textContent = isOut ? SIGNED_OUT : NO_ANSWER;
    else this.#applyAnswer(new DOMParser().parseFromString(text, "text/html"));
  }

  #applyAnswer(page) {
    const filled = page.querySelector("[data-filled]");
    this.said.textContent = filled.textContent.trim();
    const result = page.querySelector("[data-typed-result]");
    if (!result) return;
    this.number.value = filled.dataset.filled;
    if (this.typed) this.typed.replaceInput(result.value, filled.dataset.filled);
    else {
      this.area.value = result.value;
      this.area.dispatchEvent(new Event("input", { bubbles: true }));
    }
  }
}
