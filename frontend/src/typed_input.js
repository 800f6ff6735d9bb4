// The input of a job or schedule as a form made from the job's schema. The text area with the JSON stays what is saved:
// the server turns it into fields, and the fields into JSON. Without it, the text area is used.
import { SIGNED_OUT, isSignedOut } from "./signed_out.js";

const AFTER_MS = 350;
const NO_ANSWER = "No answer from the server. Edit the JSON, or try again.";
const BAD_SCHEMA = "The schema has a problem. The fields are written to the JSON when it is corrected.";

export class TypedInput {
  /** `root` has the buttons and the fields; `area` the JSON; `addSettings(body)` adds the job, and its unsaved schema.
   * `onHeld(text)` gets why the form was not sent. */
  constructor({ root, area, addSettings, onProblems, onHeld }) {
    Object.assign(this, { root, area, addSettings, onProblems, onHeld });
    this.list = root.querySelector("[data-typed-fields]");
    this.said = root.querySelector("[data-typed-said]");
    this.form = document.getElementById(root.dataset.typedInput);
    [this.timer, this.request, this.isJson, this.hasFields] = [null, 0, false, false];
    [this.edits, this.written] = [0, 0]; // numbers of edits of the fields
    this.filledFrom = ""; // the number of the run that filled it
    for (const button of root.querySelectorAll("[data-typed-show]")) button.addEventListener("click", () => this.show(button.dataset.typedShow));
    for (const type of ["input", "change"]) this.list.addEventListener(type, (event) => this.#onEdit(event));
    this.form.addEventListener("submit", (event) => event.preventDefault());
    area.form.addEventListener("submit", (event) => this.#finish(event), { capture: true });
    area.addEventListener("input", () => { if (!this.isWriting) this.refreshLater(); });
    this.clear = root.querySelector("[data-typed-clear]");
    this.clear?.addEventListener("click", () => this.#clearInput());
    if (root.dataset.typedNow) this.refresh();
  }

  get hasEdits() { return this.edits !== this.written; }

  show(name) {
    this.isJson = name === "json";
    this.#showView();
    if (!this.isJson) this.refresh();
  }

  refreshLater() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.refresh(), AFTER_MS);
  }

  /** Shows the fields of the JSON, or writes the JSON of edited fields. Resolves to false without a usable answer. */
  async refresh() {
    clearTimeout(this.timer);
    const request = ++this.request;
    const [edits, hasEdits] = [this.edits, this.hasEdits];
    const body = hasEdits ? new FormData(this.form) : new FormData();
    if (hasEdits) body.set("as", "fields");
    body.set("csrfmiddlewaretoken", this.area.form.elements.csrfmiddlewaretoken.value);
    body.set("input_text", this.area.value);
    body.set("filled_from", this.filledFrom);
    body.set("start_zone", Intl.DateTimeFormat().resolvedOptions().timeZone ?? "UTC");
    this.addSettings(body);
    const response = await fetch(this.root.dataset.address, { method: "POST", body, signal: AbortSignal.timeout(15_000) }).catch(() => null);
    if (request !== this.request) return true; // a newer one is on its way
    const isOut = Boolean(response && isSignedOut(response));
    const text = response?.ok && !isOut ? await response.text().catch(() => null) : null;
    if (request !== this.request) return true;
    this.said.textContent = isOut ? SIGNED_OUT : text === null ? NO_ANSWER : "";
    if (text === null) return false;
    if (this.edits !== edits) return true;
    return this.#applyAnswer(new DOMParser().parseFromString(text, "text/html"), edits, hasEdits);
  }

  #applyAnswer(page, edits, hadEdits) {
    const problems = [...page.querySelectorAll("[data-schema-problems] li")];
    this.onProblems?.(problems.map((item) => ({ path: item.dataset.path, text: item.textContent })));
    if (problems.length) { // the fields stay those of the last valid schema, with what was typed in them
      if (hadEdits) this.said.textContent = BAD_SCHEMA;
      return false;
    }
    this.written = edits;
    const result = page.querySelector("[data-typed-result]");
    if (result && hadEdits) this.#write(result.value);
    const problem = page.querySelector("[data-typed-problem]");
    this.hasFields = Boolean(page.querySelector(".input-field"));
    if (problem) this.said.textContent = `The JSON can't be shown as fields: ${problem.textContent.trim()}`;
    this.#replaceFields(page.querySelector("[data-typed-list]"));
    this.#showView();
    return true;
  }

  #write(text) {
    if (this.area.value === text) return;
    this.area.value = text;
    this.isWriting = true;
    this.area.dispatchEvent(new Event("input", { bubbles: true }));
    this.isWriting = false;
  }

  /** A field that has the focus stays; only its errors and its mark change. */
  #replaceFields(sent) {
    const focused = document.activeElement?.closest?.(".input-field");
    const held = focused && this.list.contains(focused) && !document.activeElement.files?.length ? focused : null;
    const other = held && [...sent.children].find((field) => field.id === held.id);
    if (!other) this.list.replaceChildren(...sent.childNodes);
    else {
      updateErrors(held, other);
      const nodes = [...sent.children];
      const at = nodes.indexOf(other);
      for (const shown of [...this.list.childNodes]) if (shown !== held) shown.remove();
      held.before(...nodes.slice(0, at));
      held.after(...nodes.slice(at + 1));
    }
    for (const control of this.list.querySelectorAll("input, select, textarea, button")) control.setAttribute("form", this.form.id);
    this.list.dispatchEvent(new CustomEvent("htmx:load", { bubbles: true })); // app.js formats the times
  }

  #showView() {
    const isJson = this.isJson || !this.hasFields;
    this.list.hidden = isJson;
    this.root.querySelector("[data-typed-json]").hidden = !isJson;
    this.root.querySelector("[data-typed-head]").hidden = !this.hasFields;
    if (this.clear) this.#showOwner();
    for (const button of this.root.querySelectorAll("[data-typed-show]")) button.setAttribute("aria-pressed", String((button.dataset.typedShow === "json") === isJson));
  }

  /** The JSON of another run's input; edits of the fields are dropped. */
  replaceInput(text, source) {
    this.written = this.edits;
    this.filledFrom = source;
    this.#write(text);
    this.refresh();
  }

  /** Of a schedule: without an own input it takes the job's. */
  #clearInput() {
    this.written = this.edits;
    this.filledFrom = "";
    this.#write("");
    this.refresh();
    this.root.querySelector("[data-typed-show]").focus();
  }

  #showOwner() {
    const hasOwn = this.area.value.trim() !== "";
    this.root.querySelector("[data-typed-own]").hidden = this.isJson || !this.hasFields;
    this.root.querySelector("[data-typed-whose]").textContent = hasOwn ? "The schedule's own input." : "The job's input. A change gives the schedule an input of its own.";
    this.clear.hidden = !hasOwn;
  }

  #onEdit(event) {
    if (!event.target.name) return;
    this.edits++;
    if (event.type === "change") this.refresh();
    else this.refreshLater();
  }

  /** The form waits until the JSON has all edits. */
  async #finish(event) {
    if (!this.hasEdits) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    if (this.isFinishing) return; // a second click while it waits
    const { submitter } = event;
    this.isFinishing = true;
    while (this.hasEdits && await this.refresh()); // again for what was typed meanwhile
    this.isFinishing = false;
    if (this.hasEdits) this.onHeld?.(this.said.textContent);
    else this.area.form.requestSubmit(submitter);
  }
}

function updateErrors(shown, sent) {
  for (const error of shown.querySelectorAll(".err")) error.remove();
  shown.append(...sent.querySelectorAll(".err"));
  const sentControl = sent.querySelector("[aria-describedby]");
  for (const control of shown.querySelectorAll("input, select, textarea")) {
    control.toggleAttribute("aria-invalid", Boolean(sentControl?.hasAttribute("aria-invalid")));
    if (control.hasAttribute("aria-invalid")) control.setAttribute("aria-invalid", "true");
    control.setAttribute("aria-describedby", sentControl?.getAttribute("aria-describedby") ?? "");
  }
}
