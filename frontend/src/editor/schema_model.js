// The fields of a JSON Schema, as the builder edits them. Pure: each function returns a new schema. Keywords that the
// builder does not know stay as they are.
export const EXTENSION = "x-cronium";
export const KINDS = new Map([
  ["text", "Text"], ["lines", "Text of several lines"], ["integer", "Whole number"], ["number", "Number"], ["boolean", "Yes or no"],
  ["choice", "Choice"], ["multi", "Several choices"], ["list", "List, one value a line"], ["date", "Date"], ["datetime", "Date and time"],
  ["secret", "Secret, by name"], ["file", "File"],
]);
const TYPES = { integer: "integer", number: "number", boolean: "boolean", multi: "array", list: "array", file: "object" };
const FORMATS = { date: "date", datetime: "date-time" };
const TEXT = ["minLength", "maxLength", "pattern"];
const NUMBER = ["minimum", "maximum", "multipleOf"];
// The keywords that have a control, by kind
const KNOWN = {
  text: TEXT, lines: TEXT, integer: NUMBER, number: NUMBER, boolean: [], choice: ["enum", "oneOf"], multi: ["items", "minItems", "maxItems", "uniqueItems"],
  list: ["items", "minItems", "maxItems"], date: ["format"], datetime: ["format"], secret: ["enum"], file: [],
};
// All keywords that belong to a type: another kind of field drops them
const OF_TYPES = [...TEXT, ...NUMBER, "exclusiveMinimum", "exclusiveMaximum", "format", "enum", "oneOf", "items", "minItems", "maxItems", "uniqueItems"];

export const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
const hasOwn = (object, key) => Object.prototype.hasOwnProperty.call(object, key);
const omitKeys = (object, keys) => Object.fromEntries(Object.entries(object).filter(([key]) => !keys.includes(key)));

/** `schema` is null for an empty text; `problem` says why the text can't be shown as fields. */
export function parseSchema(text) {
  if (!text.trim()) return { schema: null, problem: "" };
  let schema;
  try {
    schema = JSON.parse(text);
  } catch (error) {
    return { schema: null, problem: `The JSON is not valid yet: ${error.message}` };
  }
  if (schema === null) return { schema, problem: "" }; // as an empty text
  if (!isObject(schema)) return { schema: null, problem: "The schema must be an object." };
  const properties = schema.properties ?? {};
  if (!isObject(properties) || !Object.values(properties).every(isObject)) return { schema: null, problem: "\"properties\" must be an object with a schema for each field." };
  if (hasExactNumber(text)) return { schema: null, problem: "It has a number that a browser does not keep exactly." };
  return { schema, problem: "" };
}

function hasExactNumber(text) {
  const numbers = text.replace(/"(?:[^"\\]|\\.)*"/g, "").match(/\d[\d.]*(?:[eE][+-]?\d+)?/g) ?? [];
  return !numbers.every(isKeptNumber);
}

/** Whether a browser keeps the number of a text as it is: neither rounded, nor infinite, nor a zero that was none. */
export function isKeptNumber(text) {
  const digits = text.replace(/[eE].*/, "").replace(/\D/g, "").replace(/^0+|0+$/g, "");
  return digits.length <= 15 && Number.isFinite(Number(text)) && (Number(text) !== 0 || digits === "");
}

export const formatSchema = (schema) => (schema === null ? "" : JSON.stringify(schema, null, 2));

const listNames = (schema) => {
  const names = Object.keys(schema?.properties ?? {});
  const order = schema?.[EXTENSION]?.order;
  const first = Array.isArray(order) ? order.filter((name) => names.includes(name)) : [];
  return [...new Set([...first, ...names])];
};

/** In the order of the form. */
export function getFields(schema) {
  const required = Array.isArray(schema?.required) ? schema.required : [];
  return listNames(schema).map((name) => ({ name, property: schema.properties[name], isRequired: required.includes(name) }));
}

export const getItems = (property) => (property.type === "array" ? (isObject(property.items) ? property.items : {}) : property);

/** Empty for a field that only the JSON can have. */
export function getKind(property) {
  const extension = isObject(property[EXTENSION]) ? property[EXTENSION] : {};
  if (hasOwn(extension, "file")) return "file";
  if (extension.secret) return "secret";
  const items = getItems(property);
  const hasChoices = hasOwn(items, "enum") || hasOwn(items, "oneOf") || isObject(extension.choices);
  if (property.type === "array") return hasChoices ? "multi" : "list";
  if (hasChoices) return "choice";
  if (property.type === "string") {
    if (property.format === "date") return "date";
    if (property.format === "date-time") return "datetime";
    return extension.multiline ? "lines" : "text";
  }
  return ["integer", "number", "boolean"].includes(property.type) ? property.type : "";
}

/** Names of keywords that the builder has no control for. */
export function listKept(property) {
  const kind = getKind(property);
  const known = ["type", "title", "description", "default", EXTENSION, ...(KNOWN[kind] ?? [])];
  const kept = Object.keys(property).filter((key) => !known.includes(key));
  if (["multi", "list"].includes(kind)) {
    const ofItems = kind === "multi" ? ["type", "enum", "oneOf"] : ["type"];
    kept.push(...Object.keys(getItems(property)).filter((key) => !ofItems.includes(key)).map((key) => `items.${key}`));
  }
  const extension = isObject(property[EXTENSION]) ? property[EXTENSION] : {};
  const ofExtension = { lines: ["multiline"], text: ["multiline"], secret: ["secret"], file: ["file"], choice: ["choices"], multi: ["choices"] }[kind] ?? [];
  return [...kept, ...Object.keys(extension).filter((key) => !ofExtension.includes(key)).map((key) => `${EXTENSION}.${key}`)];
}

export function listKeptOfSchema(schema) {
  const known = ["$schema", "type", "title", "description", "properties", "required", "additionalProperties", EXTENSION];
  return Object.keys(schema ?? {}).filter((key) => !known.includes(key));
}

/** `undefined` removes the key. */
export function setKey(object, key, value) {
  return value === undefined ? omitKeys(object, [key]) : { ...object, [key]: value };
}

export function setExtension(object, key, value) {
  const own = setKey(isObject(object[EXTENSION]) ? object[EXTENSION] : {}, key, value);
  return setKey(object, EXTENSION, Object.keys(own).length ? own : undefined);
}

export const setProperty = (schema, name, property) => ({ ...schema, properties: { ...schema.properties, [name]: property } });

export function addField(schema) {
  const names = listNames(schema);
  let name = "field";
  for (let number = 2; names.includes(name); number++) name = `field_${number}`;
  const before = schema ?? { type: "object", properties: {} };
  return { schema: setProperty(before, name, { type: "string" }), name };
}

const hasOrder = (schema) => Array.isArray(schema?.[EXTENSION]?.order);
const setOrder = (schema, names) => ({ ...schema, [EXTENSION]: { ...schema[EXTENSION], order: names } });

export function removeField(schema, name) {
  const next = { ...schema, properties: omitKeys(schema.properties, [name]) };
  return replaceName(next, name, null);
}

/** Null if another field has the name. */
export function renameField(schema, name, to) {
  if (name === to) return schema;
  if (hasOwn(schema.properties, to)) return null;
  const properties = Object.fromEntries(Object.entries(schema.properties).map(([key, property]) => [key === name ? to : key, renameParent(property, name, to)]));
  return replaceName({ ...schema, properties }, name, to);
}

function renameParent(property, name, to) {
  const choices = property[EXTENSION]?.choices;
  return isObject(choices) && choices.depends_on === name ? setExtension(property, "choices", { ...choices, depends_on: to }) : property;
}

function replaceName(schema, name, to) {
  const replaceIn = (names) => names.flatMap((each) => (each !== name ? [each] : to === null ? [] : [to]));
  const next = Array.isArray(schema.required) ? setKey(schema, "required", replaceIn(schema.required)) : schema;
  return hasOrder(next) ? setOrder(next, replaceIn(next[EXTENSION].order)) : next;
}

export function moveField(schema, name, step) {
  const names = listNames(schema);
  const [from, to] = [names.indexOf(name), names.indexOf(name) + step];
  if (to < 0 || to >= names.length) return schema;
  names.splice(to, 0, ...names.splice(from, 1));
  if (hasOrder(schema)) return setOrder(schema, names);
  return { ...schema, properties: Object.fromEntries(names.map((each) => [each, schema.properties[each]])) };
}

export function setRequired(schema, name, isRequired) {
  const others = (Array.isArray(schema.required) ? schema.required : []).filter((each) => each !== name);
  const required = isRequired ? [...others, name] : others;
  return setKey(schema, "required", required.length || hasOwn(schema, "required") ? required : undefined);
}

/** The same field as another kind: keywords of the old type go, titles and unknown keywords stay. */
export function convertField(property, kind) {
  const oldItems = getItems(property);
  const type = TYPES[kind] ?? (kind === "choice" && ["integer", "number"].includes(oldItems.type) ? oldItems.type : "string");
  let next = { ...omitKeys(property, type === property.type && !isChoiceKind(kind) && !isChoiceKind(getKind(property)) ? ["format", "enum", "oneOf"] : OF_TYPES), type };
  if (!isDefaultOf(property.default, type)) next = omitKeys(next, ["default"]);
  for (const key of ["multiline", "secret", "file"]) next = setExtension(next, key, undefined);
  if (!isChoiceKind(kind)) next = setExtension(next, "choices", undefined);
  if (FORMATS[kind]) next = { ...next, format: FORMATS[kind] };
  if (kind === "lines") next = setExtension(next, "multiline", true);
  if (kind === "secret") next = setExtension(next, "secret", true);
  if (kind === "file") next = setExtension(next, "file", {});
  const choices = Object.fromEntries(["enum", "oneOf"].filter((key) => hasOwn(oldItems, key)).map((key) => [key, oldItems[key]]));
  const hasChoices = Object.keys(choices).length > 0 || isObject(next[EXTENSION]?.choices);
  if (kind === "list") next = { ...next, items: { type: ["integer", "number"].includes(oldItems.type) ? oldItems.type : "string" } };
  if (kind === "multi") next = { ...next, items: { type: ["integer", "number"].includes(oldItems.type) ? oldItems.type : "string", ...(hasChoices ? choices : { enum: [] }) } };
  if (kind === "choice") next = { ...next, ...(hasChoices ? choices : { enum: [] }) };
  return next;
}

const isChoiceKind = (kind) => kind === "choice" || kind === "multi";

function isDefaultOf(value, type) {
  if (Array.isArray(value)) return type === "array";
  return { string: typeof value === "string", integer: Number.isInteger(value), number: typeof value === "number", boolean: typeof value === "boolean" }[type] ?? false;
}
