// Choices as lines of text: "value" or "value | title", and for choices that depend on a field "case: value | title". Pure.
// What can't be written as lines gives null: then only the JSON has it.
import { isKeptNumber, isObject } from "./schema_model.js";

const NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/;

const isNumber = (text) => NUMBER.test(text) && isKeptNumber(text);

/** The number of a text; other texts stay, so that nothing typed is lost: the server refuses them. Empty: undefined. */
export function parseNumber(text) {
  const trimmed = text.trim();
  return trimmed === "" ? undefined : isNumber(trimmed) ? Number(trimmed) : trimmed;
}

export const parseValue = (text, type) => (type === "integer" || type === "number" ? parseNumber(text) : text);

function formatValue(value, type) {
  if (typeof value === "number" && type !== "string") return String(value);
  if (typeof value !== "string" || value === "" || value !== value.trim() || /[\n\r]/.test(value)) return null;
  return type === "string" || !isNumber(value) ? value : null;
}

function formatOption(item, type) {
  const isNamed = isObject(item);
  if (isNamed && (!("const" in item) || Object.keys(item).some((key) => !["const", "title"].includes(key)))) return null;
  const text = formatValue(isNamed ? item.const : item, type);
  if (text === null || text.includes(" | ")) return null;
  if (!isNamed || item.title === undefined) return text;
  const title = formatValue(item.title, "string");
  return title === null || title.includes(" | ") ? null : `${text} | ${title}`;
}

function listLines(items, type) {
  const named = items.filter(isObject);
  const isWritten = !named.length || (named.length === items.length && named.some((item) => "title" in item));
  const lines = items.map((item) => formatOption(item, type));
  return isWritten && !lines.includes(null) ? lines : null;
}

export const formatOptions = (items, type) => (Array.isArray(items) ? listLines(items, type)?.join("\n") ?? null : null);

function parseOption(line, type) {
  const [text, ...titles] = line.split(" | ");
  const value = parseValue(text.trim(), type);
  return titles.length ? { const: value, title: titles.join(" | ").trim() } : { const: value };
}

/** A list of values, or of objects with titles if any has one. */
export function parseOptions(text, type) {
  const options = text.split("\n").filter((line) => line.trim()).map((line) => parseOption(line, type));
  return options.some((option) => "title" in option) ? options : options.map((option) => option.const);
}

export function formatCases(cases, type) {
  if (!isObject(cases)) return null;
  const lines = Object.entries(cases).map(([name, items]) => {
    if (!name || name !== name.trim() || /: |[\n\r]/.test(name) || name.endsWith(":") || !Array.isArray(items) || !items.length) return null;
    return listLines(items, type)?.map((line) => `${name}: ${line}`).join("\n") ?? null;
  });
  return lines.includes(null) ? null : lines.join("\n");
}

export function parseCases(text, type) {
  const cases = new Map();
  for (const line of text.split("\n").filter((each) => each.trim())) {
    const [name, ...rest] = line.split(": ");
    const lines = cases.get(name.trim().replace(/:$/, "")) ?? [];
    cases.set(name.trim().replace(/:$/, ""), rest.length ? [...lines, rest.join(": ")] : lines);
  }
  return Object.fromEntries([...cases].map(([name, lines]) => [name, parseOptions(lines.join("\n"), type)]));
}
