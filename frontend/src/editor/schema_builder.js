// The builder of the schema of an input: one row a field. It edits the JSON in the text area, which is what is saved; the
// server judges it. Without it, the text area is used.
import { createCheck, createControls, createElement, createSelect, createText } from "./schema_controls.js";
import {
  KINDS, addField, convertField, formatSchema, getFields, getKind, listKept, listKeptOfSchema, moveField, parseSchema, removeField, renameField, setKey, setProperty, setRequired,
} from "./schema_model.js";

export class SchemaBuilder {
  /** `root` has the buttons and the list; `area` the JSON. `onChange()` follows each change of the JSON. */
  constructor({ root, area, onChange }) {
    Object.assign(this, { root, area, onChange, opened: new Set(), memories: new Map(), problems: [], removed: null });
    this.list = root.querySelector("[data-schema-list]");
    this.said = root.querySelector("[data-schema-said]");
    this.template = document.getElementById("schema-row");
    root.querySelector(".seg").hidden = false;
    for (const button of root.querySelectorAll("[data-schema-show]")) button.addEventListener("click", () => this.show(button.dataset.schemaShow));
    root.querySelector("[data-schema-add]").addEventListener("click", () => this.#add());
    root.querySelector("[data-schema-undo]").addEventListener("click", () => this.#restoreRemoved());
    area.addEventListener("input", () => { if (!this.isWriting) { this.draw(); onChange(); } });
    this.show("fields");
  }

  show(name) {
    this.isJson = name === "json";
    this.draw();
  }

  /** Reads the JSON again. */
  draw() {
    const { schema, problem } = parseSchema(this.area.value);
    [this.schema, this.hasProblem] = [schema, Boolean(problem)];
    const isJson = this.isJson || this.hasProblem;
    this.root.querySelector("[data-schema-json]").hidden = !isJson;
    this.root.querySelector("[data-schema-fields]").hidden = isJson;
    for (const button of this.root.querySelectorAll("[data-schema-show]")) button.setAttribute("aria-pressed", String((button.dataset.schemaShow === "json") === isJson));
    this.said.textContent = problem && !this.isJson ? `Shown as JSON. ${problem}` : "";
    if (!isJson) this.#drawFields();
  }

  /** The server's problems, as `{path, text}`. */
  showProblems(problems) {
    this.problems = problems;
    for (const error of this.root.querySelectorAll("[data-schema-error]")) error.remove();
    for (const control of this.root.querySelectorAll("[data-schema-fields] [aria-invalid]")) control.removeAttribute("aria-invalid");
    for (const row of this.list.children) row.querySelector("[data-row-problems]").textContent = "";
    for (const problem of problems) this.#placeProblem(problem);
  }

  #placeProblem({ path, text }) {
    const row = [...this.list.children].find((each) => `${path}.`.startsWith(`properties.${each.dataset.field.slice(0, 60)}.`));
    const error = createElement("p", { className: "err", textContent: row || !path ? text : `${path}: ${text}` });
    error.dataset.schemaError = "";
    if (!row) return this.root.querySelector("[data-schema-errors]").append(error);
    const rest = path.slice(`properties.${row.dataset.field.slice(0, 60)}.`.length).replace(/^items\./, "").replace(/^oneOf/, "enum");
    const boxes = [...row.querySelectorAll("[data-schema-key]")].filter((box) => `${rest}.`.startsWith(`${box.dataset.schemaKey}.`) || box.dataset.schemaKey === rest);
    boxes.sort((one, other) => other.dataset.schemaKey.length - one.dataset.schemaKey.length);
    if (!boxes.length && rest) error.textContent = `${rest}: ${text}`;
    (boxes[0] ?? row.querySelector(rest ? "[data-row-controls]" : "[data-schema-key='']")).append(error);
    boxes[0]?.querySelector("input, select, textarea").setAttribute("aria-invalid", "true");
    row.querySelector("[data-row-problems]").textContent = "has a problem";
  }

  #drawFields() {
    const fields = getFields(this.schema);
    this.list.replaceChildren(...fields.map((field, index) => this.#createRow(field, index, fields)));
    this.root.querySelector("[data-schema-empty]").hidden = fields.length > 0;
    const top = this.root.querySelector("[data-schema-top]");
    top.replaceChildren(...(this.schema ? this.#createTop() : []));
    this.showProblems(this.problems);
  }

  #createTop() {
    const { description } = this.schema;
    const write = (key, value) => this.#write(setKey(this.schema, key, value));
    const kept = listKeptOfSchema(this.schema);
    return [
      createText("Text above the form", typeof description === "string" ? description : "", "description", (text) => write("description", text || undefined)),
      createCheck("Refuse values that are not declared", this.schema.additionalProperties === false, (isChecked) => write("additionalProperties", isChecked ? false : undefined)),
      kept.length ? createElement("p", { className: "hint", textContent: `Also in the JSON, kept as it is: ${kept.join(", ")}.` }) : "",
    ];
  }

  #createRow({ name, property, isRequired }, index, fields) {
    const row = this.template.content.cloneNode(true).firstElementChild;
    row.dataset.field = name;
    const details = row.querySelector("details");
    details.open = this.opened.has(name);
    details.addEventListener("toggle", () => {
      if (details.open) this.opened.add(row.dataset.field);
      else this.opened.delete(row.dataset.field);
    });
    const kind = getKind(property);
    row.querySelector("[data-row-name]").textContent = name || "(no name)";
    row.querySelector("[data-row-kind]").textContent = `${KINDS.get(kind) ?? "Only in the JSON"}${isRequired ? ", required" : ""}`;
    for (const button of row.querySelectorAll("button")) button.setAttribute("aria-label", `${button.title} ${name}`);
    const [up, down] = row.querySelectorAll("[data-move]");
    [up.disabled, down.disabled] = [index === 0, index === fields.length - 1];
    for (const button of [up, down]) button.addEventListener("click", () => this.#move(row.dataset.field, Number(button.dataset.move)));
    row.querySelector("[data-row-remove]").addEventListener("click", () => this.#remove(row.dataset.field));
    row.querySelector("[data-row-controls]").append(...this.#createFieldControls(row, kind, isRequired));
    return row;
  }

  #createFieldControls(row, kind, isRequired) {
    const get = () => this.schema.properties[row.dataset.field];
    const apply = (property) => this.#write(setProperty(this.schema, row.dataset.field, property));
    const redraw = () => this.#redraw(row.dataset.field);
    const write = (key) => (text) => apply(setKey(get(), key, text || undefined));
    const others = getFields(this.schema).map(({ name }) => name).filter((name) => name !== row.dataset.field);
    const memory = this.memories.get(row.dataset.field) ?? {};
    this.memories.set(row.dataset.field, memory);
    const kept = listKept(get());
    const kinds = { ...(kind ? {} : { "": "Only in the JSON" }), ...Object.fromEntries(KINDS) };
    const readText = (value) => (typeof value === "string" ? value : "");
    return [
      createText("Name", row.dataset.field, "", (to, control) => this.#rename(row, to, control), { isMono: true, hint: "The key in the input. Letters, digits, _ and -." }),
      createSelect("Kind", kinds, kind, "type", (to) => { if (to) { apply(convertField(get(), to)); redraw(); } }),
      createCheck("Required", isRequired, (is) => { this.#write(setRequired(this.schema, row.dataset.field, is)); this.#showKind(row); }),
      createText("Title", readText(get().title), "title", write("title"), { hint: "Empty: the name." }),
      createText("Help", readText(get().description), "description", write("description"), { hint: "Below the field." }),
      ...(kind ? createControls(kind, { get, apply, others, memory, redraw }) : []),
      kept.length ? createElement("p", { className: "hint", textContent: `Also in the JSON, kept as it is: ${kept.join(", ")}.` }) : "",
    ];
  }

  #showKind(row) {
    const { property, isRequired } = getFields(this.schema).find(({ name }) => name === row.dataset.field);
    row.querySelector("[data-row-kind]").textContent = `${KINDS.get(getKind(property)) ?? "Only in the JSON"}${isRequired ? ", required" : ""}`;
  }

  #rename(row, to, control) {
    const before = row.dataset.field;
    const next = renameField(this.schema, before, to);
    control.setCustomValidity(next ? "" : "Another field has this name.");
    const hint = control.parentElement.querySelector(".hint");
    hint.textContent = next ? "The key in the input. Letters, digits, _ and -." : `Another field has this name, so it is still ${before}.`;
    hint.classList.toggle("err", !next);
    if (!next) return;
    for (const list of [this.opened, this.memories]) if (list.has(before)) { list === this.opened ? list.add(to) : list.set(to, list.get(before)); list.delete(before); }
    row.dataset.field = to;
    row.querySelector("[data-row-name]").textContent = to || "(no name)";
    for (const button of row.querySelectorAll("button")) button.setAttribute("aria-label", `${button.title} ${to}`);
    this.#write(next);
  }

  #redraw(name, selector = "select") {
    this.draw();
    [...this.list.children].find((row) => row.dataset.field === name)?.querySelector(selector)?.focus();
  }

  #add() {
    const { schema, name } = addField(this.schema);
    this.opened.add(name);
    this.#write(schema);
    this.#redraw(name, "input");
    this.list.lastElementChild.querySelector("input").select();
  }

  #move(name, step) {
    this.#write(moveField(this.schema, name, step));
    this.#redraw(name, `[data-move='${step}']:enabled, [data-move]:enabled`);
    this.#announce(`${name} is field ${getFields(this.schema).findIndex((field) => field.name === name) + 1} of ${this.list.children.length}.`);
  }

  #remove(name) {
    const at = getFields(this.schema).findIndex((field) => field.name === name);
    this.removed = this.area.value;
    this.#write(removeField(this.schema, name));
    this.draw();
    (this.list.children[Math.min(at, this.list.children.length - 1)]?.querySelector("summary") ?? this.root.querySelector("[data-schema-add]")).focus();
    this.#announce(`The field ${name} is removed.`, true);
  }

  #restoreRemoved() {
    this.area.value = this.removed;
    this.area.dispatchEvent(new Event("input", { bubbles: true }));
    this.#announce("");
    this.root.querySelector("[data-schema-add]").focus();
  }

  #announce(text, canUndo = false) {
    this.said.textContent = text;
    this.root.querySelector("[data-schema-undo]").hidden = !canUndo;
  }

  #write(schema) {
    this.schema = schema;
    this.#announce("");
    this.area.value = formatSchema(schema);
    this.isWriting = true;
    this.area.dispatchEvent(new Event("input", { bubbles: true }));
    this.isWriting = false;
    this.onChange();
  }
}
