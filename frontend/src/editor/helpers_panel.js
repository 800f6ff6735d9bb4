// The second tab of the settings: names that the script uses, with what is missing, and the helper functions to insert.
import { findNamesUsed } from "./names_used.js";

const DELAY_MS = 400;

export class HelpersPanel {
  /** `insert(text, line)` puts a text into the script and adds `line` at its top; `giveSecret(name)` and `askForSecret(name)`. */
  constructor({ form, getText, getLanguage, insert, giveSecret, askForSecret, addVariable }) {
    Object.assign(this, { form, getText, getLanguage, insert, giveSecret, askForSecret, addVariable });
    this.helpers = JSON.parse(document.getElementById("helpers").textContent);
    this.names = document.getElementById("names-used");
    this.list = document.getElementById("helper-list");
    this.count = document.getElementById("names-missing");
    for (const tab of document.querySelectorAll("[data-settings-tab]")) tab.addEventListener("click", () => this.#showTab(tab));
    this.names.addEventListener("click", (event) => this.#onClick(event));
    this.list.addEventListener("click", (event) => this.#onInsert(event));
    this.update();
  }

  updateLater() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.update(), DELAY_MS);
  }

  update() {
    const language = this.getLanguage();
    if (language !== this.language) this.#listHelpers(language);
    this.language = language;
    const used = findNamesUsed(this.getText(), language);
    const rows = [...used.environment.map((name) => this.#describeName(name)), ...used.variables.map((name) => ({ name, words: "variable of Cronium", kind: "variable" }))];
    const key = JSON.stringify(rows);
    if (key === this.shown) return;
    this.shown = key;
    this.names.replaceChildren(...(rows.length ? rows.map((row) => this.#buildRow(row)) : [createElement("li", { className: "meta", text: "The script names no environment variable and no variable of Cronium." })]));
    const missing = rows.filter(({ act }) => act).length;
    this.count.textContent = missing || "";
    this.count.parentElement.title = missing ? `${missing} missing` : "";
  }

  #getNames(field) { return [...this.form.querySelectorAll(`[name="${field}"]`)]; }

  #describeName(name) {
    if (this.#getNames("env_name").some((field) => field.value.trim() === name)) return { name, words: "variable of this job" };
    const secret = this.#getNames("secrets").find((box) => box.value === name);
    if (secret?.checked) return { name, words: "secret of this job" };
    if (this.form.elements.launch_env_text.value.split(/[\s,]+/).includes(name)) return { name, words: "can be set at launch" };
    if (secret) return { name, words: "a stored secret that the job doesn't have", act: "give", label: "Give it to the job" };
    return { name, words: "missing", act: this.askForSecret ? "store" : "add", label: this.askForSecret ? "New secret…" : "Add variable" };
  }

  #buildRow({ name, words, act, label }) {
    const row = createElement("li", { className: act ? "is-missing" : "" });
    row.append(createElement("span", { className: "mono wrap-any", text: name }), createElement("span", { className: "hint", text: words }));
    if (act) row.append(createElement("button", { type: "button", className: "btn small", text: label, data: { act, name } }));
    if (act === "store") row.append(createElement("button", { type: "button", className: "btn small", text: "Add variable", data: { act: "add", name } }));
    return row;
  }

  #onClick(event) {
    const { act, name } = event.target.closest("[data-act]")?.dataset ?? {};
    if (act === "give") this.giveSecret(name);
    if (act === "store") this.askForSecret(name);
    if (act === "add") this.addVariable(name);
  }

  #listHelpers(language) {
    this.list.replaceChildren(...this.helpers[language].map((helper, index) => {
      const row = createElement("li");
      row.append(
        createElement("code", { className: "wrap-any", text: helper.insert }), createElement("span", { className: "hint", text: helper.words }),
        createElement("button", { type: "button", className: "btn small", text: "Insert", data: { helper: index }, label: `Insert ${helper.name}` }),
      );
      return row;
    }));
  }

  #onInsert(event) {
    const index = event.target.closest("[data-helper]")?.dataset.helper;
    if (index === undefined) return;
    const { insert, needs } = this.helpers[this.language][index];
    this.insert(insert, needs);
  }

  #showTab(tab) {
    for (const other of document.querySelectorAll("[data-settings-tab]")) other.setAttribute("aria-pressed", other === tab);
    for (const part of document.querySelectorAll("[data-settings-part]")) part.hidden = part.dataset.settingsPart !== tab.dataset.settingsTab;
  }
}

function createElement(tag, { className = "", text = "", type, data = {}, label } = {}) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (type) element.type = type;
  if (label) element.setAttribute("aria-label", label);
  element.textContent = text;
  Object.assign(element.dataset, data);
  return element;
}
