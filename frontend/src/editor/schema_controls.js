// The controls of one field of the schema builder. Each writes the field's new schema through `apply(property)`.
import { formatCases, formatOptions, parseCases, parseNumber, parseOptions, parseValue } from "./schema_choices.js";
import { EXTENSION, getItems, getKind, isObject, setExtension, setKey } from "./schema_model.js";

const COUNTS = { minLength: "Shortest", maxLength: "Longest", minItems: "At least, items", maxItems: "At most, items" };
const BOUNDS = { minimum: "Minimum", maximum: "Maximum", multipleOf: "Step" };
const SOURCES = { list: "A list", cases: "Another field", variable: "A variable", job: "The output of a job" };
let number = 0; // of the last control, for ids

export function createElement(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children.filter((child) => child !== null));
  return element;
}

/** A labelled control. `key` is the path of its keyword within the field, by which problems find it. */
export function createControl(label, control, key, hint = "") {
  control.id = `schema-control-${++number}`;
  control.classList.add("in");
  control.autocomplete = "off";
  const said = createElement("p", { className: "hint", textContent: hint, hidden: !hint, id: `${control.id}-hint` });
  control.setAttribute("aria-describedby", said.id);
  const box = createElement("div", { className: "schema-control" }, createElement("label", { htmlFor: control.id, textContent: label }), control, said);
  box.dataset.schemaKey = key;
  return box;
}

export function createText(label, value, key, onInput, { hint = "", rows = 0, isMono = false } = {}) {
  const control = createElement(rows ? "textarea" : "input", { value: value ?? "", spellcheck: false, ...(rows ? { rows } : {}) });
  if (isMono) control.classList.add("mono");
  control.addEventListener("input", () => onInput(control.value, control));
  return createControl(label, control, key, hint);
}

export function createSelect(label, options, value, key, onChange, hint = "") {
  const control = createElement("select", {}, ...Object.entries(options).map(([each, title]) => new Option(title, each, false, each === String(value))));
  control.addEventListener("change", () => onChange(control.value));
  return createControl(label, control, key, hint);
}

export function createCheck(label, isChecked, onChange) {
  const control = createElement("input", { type: "checkbox", checked: isChecked, autocomplete: "off" });
  control.addEventListener("change", () => onChange(control.checked));
  return createElement("label", { className: "check" }, control, createElement("span", { textContent: label }));
}

const createPair = (...boxes) => createElement("div", { className: "schema-pair" }, ...boxes);
const isShownAsText = (value) => value === undefined || ["string", "number"].includes(typeof value);

/** `context`: `get()` and `apply(property)` of the field, `others` (names of fields), `redraw()`. */
export function createControls(kind, context) {
  return [...createChoiceControls(kind, context), ...createLimitControls(kind, context), createDefault(kind, context)].filter(Boolean);
}

function createNumbers(names, { get, apply }) {
  return createPair(...Object.entries(names).filter(([key]) => isShownAsText(get()[key])).map(([key, label]) =>
    createText(label, get()[key], key, (text) => apply(setKey(get(), key, parseNumber(text))))));
}

function createLimitControls(kind, context) {
  const { get, apply } = context;
  const pick = (...keys) => Object.fromEntries(keys.map((key) => [key, COUNTS[key]]));
  if (kind === "integer" || kind === "number") return [createNumbers(BOUNDS, context)];
  if (kind === "multi" || kind === "list") return [createNumbers(pick("minItems", "maxItems"), context)];
  if (kind === "file") return createFileControls(context);
  if (kind !== "text" && kind !== "lines") return [];
  const pattern = createText("Pattern", get().pattern, "pattern", (text) => apply(setKey(get(), "pattern", text || undefined)), { isMono: true, hint: "A regular expression (RE2) that a part of the text must match. ^ and $ stand for the whole." });
  return [createNumbers(pick("minLength", "maxLength"), context), pattern];
}

function createFileControls({ get, apply }) {
  const read = () => (isObject(get()[EXTENSION].file) ? get()[EXTENSION].file : {});
  const write = (key, value) => apply(setExtension(get(), "file", setKey(read(), key, value)));
  const accept = Array.isArray(read().accept) ? read().accept.join(" ") : "";
  return [
    createText("At most, KB", read().max_kb, `${EXTENSION}.file.max_kb`, (text) => write("max_kb", parseNumber(text)), { hint: "1 to 256. Empty: 256." }),
    createSelect("Content", { base64: "Any bytes, as base64", text: "Text in UTF-8" }, read().as ?? "base64", `${EXTENSION}.file.as`, (value) => write("as", value)),
    createText("Ends of names", accept, `${EXTENSION}.file.accept`, (text) => write("accept", text.trim() ? text.trim().split(/[\s,]+/) : undefined), { hint: "Such as .csv .txt. Empty: any." }),
  ];
}

// ---- choices
function getSource(property) {
  const own = property[EXTENSION]?.choices;
  return isObject(own) ? ["cases", "variable", "job"].find((key) => key in own) ?? "list" : "list";
}

function setItems(property, items) {
  return property.type === "array" ? { ...property, items } : items;
}

function createChoiceControls(kind, context) {
  const { get, apply } = context;
  if (kind === "secret") return [createLines("Secrets to choose from", get().enum, "string", "enum", (list) => apply(setKey(get(), "enum", list.length ? list : undefined)), "One name per line. Empty: all secrets of the job.")];
  if (!["choice", "multi", "list"].includes(kind)) return [];
  const type = getItems(get()).type ?? "string";
  const types = createSelect("Values", { string: "Texts", integer: "Whole numbers", number: "Numbers" }, type, "type", (value) => { apply(setItems(get(), { ...getItems(get()), type: value })); context.redraw(); });
  if (kind === "list") return [types];
  const source = getSource(get());
  const sources = createSelect("Choices from", SOURCES, source, `${EXTENSION}.choices`, (value) => setSource(value, source, context));
  return [types, sources, ...(source === "list" ? [createList(type, context)] : createSourceControls(source, type, context))];
}

/** What was typed for another source is kept until the page is left. */
function setSource(to, from, context) {
  const { get, apply, memory } = context;
  const items = getItems(get());
  memory[from] = from === "list" ? { enum: items.enum, oneOf: items.oneOf } : get()[EXTENSION].choices;
  const before = memory[to];
  const bare = setItems(get(), setKey(setKey(items, "enum", undefined), "oneOf", undefined));
  const first = { cases: { depends_on: context.others[0] ?? "", cases: {} }, variable: { variable: "" }, job: { job: "" } }[to];
  if (to === "list") {
    const list = Object.entries(before ?? { enum: [] }).filter(([, value]) => value !== undefined);
    apply(setExtension(setItems(bare, { ...getItems(bare), ...Object.fromEntries(list) }), "choices", undefined));
  } else apply(setExtension(bare, "choices", before ?? first));
  context.redraw();
}

function createLines(label, items, type, key, onList, hint) {
  const text = formatOptions(items ?? [], type);
  if (text === null) return createElement("p", { className: "hint", textContent: `${label}: only the JSON can show them.` });
  return createText(label, text, key, (lines) => onList(parseOptions(lines, type)), { rows: 4, isMono: true, hint });
}

function createList(type, { get, apply }) {
  const items = getItems(get());
  const write = (list) => {
    const key = list.some(isObject) ? "oneOf" : "enum";
    const bare = setKey(setKey(getItems(get()), "enum", undefined), "oneOf", undefined);
    apply(setItems(get(), { ...bare, [key]: list }));
  };
  return createLines("Choices", items.oneOf ?? items.enum, type, "enum", write, "One per line: the value, or value | title.");
}

function createSourceControls(source, type, { get, apply, others }) {
  const read = () => get()[EXTENSION].choices;
  const write = (key, value) => apply(setExtension(get(), "choices", setKey(read(), key, value)));
  const getPath = (key) => `${EXTENSION}.choices.${key}`;
  const fields = { ...(source === "cases" ? {} : { "": "No field" }), ...Object.fromEntries([read().depends_on ?? [], others].flat().filter(Boolean).map((name) => [name, name])) };
  const parent = createSelect("Depend on the field", fields, read().depends_on ?? "", getPath("depends_on"), (value) => write("depends_on", value || undefined));
  if (source === "cases") {
    const text = formatCases(read().cases, type);
    const cases = text === null ? createElement("p", { className: "hint", textContent: "Choices: only the JSON can show them." })
      : createText("Choices", text, getPath("cases"), (lines) => write("cases", parseCases(lines, type)), { rows: 5, isMono: true, hint: "One per line: the value of that field, a colon, the choice. Such as de: Berlin, or de: BER | Berlin." });
    return [parent, cases];
  }
  const hint = source === "variable" ? "Of this job, or shared/NAME. Its value is a list." : "Its address. The last successful run's output has the list.";
  return [
    createText(source === "variable" ? "Variable" : "Job", read()[source], getPath(source), (text) => write(source, text.trim()), { isMono: true, hint }),
    createText("Path", read().path, getPath("path"), (text) => write("path", text.trim() || undefined), { isMono: true, hint: "The keys that lead to the list, such as hosts.names. Empty: the value itself." }),
    parent,
  ];
}

// ---- default
function createDefault(kind, { get, apply }) {
  const { default: value } = get();
  const write = (next) => apply(setKey(get(), "default", next));
  if (kind === "file") return null;
  if (kind === "boolean") {
    return createSelect("Default", { "": "None", true: "Yes", false: "No" }, value ?? "", "default", (text) => write(text === "" ? undefined : text === "true"));
  }
  const type = getItems(get()).type ?? "string";
  const isList = kind === "multi" || kind === "list";
  const text = isList ? formatOptions(value ?? [], type) : isShownAsText(value) && value !== "" ? String(value ?? "") : null;
  if (text === null) return createElement("p", { className: "hint", textContent: "Default: only the JSON can show it." });
  const hint = { date: "Such as 2026-01-31.", datetime: "Such as 2026-01-31T08:00:00Z." }[kind] ?? (isList ? "One value per line." : "");
  const parse = (typed) => (isList ? (typed.trim() ? parseOptions(typed, type) : undefined) : typed === "" ? undefined : parseValue(typed, type));
  return createText("Default", text, "default", (typed) => write(parse(typed)), { rows: isList ? 3 : kind === "lines" ? 3 : 0, hint });
}
