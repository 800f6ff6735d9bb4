// Parses the escape sequences of one line of terminal output into styled segments of plain text. Pure.
import { convertPaletteToRgb } from "./colour.js";

const ESCAPE = /\x1b\[([0-?]*)[ -/]*([@-~])|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[PX^_][^\x1b]*(?:\x1b\\)?|\x1b[ -/]*[0-~]?/y;
const SPECIAL = /[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;
// Zero-width joiners belong to emoji and to several scripts; between plain letters they only hide text.
const JOINER = /[\u200c\u200d]/;
const CURSOR_MOVES = /[\r\b]|\x1b\[[0-9;]*[CDGK]/;
const MAX_COLUMN = 4096; // the cursor moves no farther over empty columns
const PLAIN = Object.freeze({ cls: "", fg: null, bg: null });

/** The colour after code 38 or 48: a palette index 0-15 as a number, else [r, g, b]; `used` is the number of codes read. */
function parseExtendedColour(codes, at) {
  const clampByte = (value) => Math.min(255, Math.max(0, value | 0));
  if (codes[at] === 5 && codes.length > at + 1) {
    const index = clampByte(codes[at + 1]);
    return { colour: index < 16 ? index : convertPaletteToRgb(index), used: 2 };
  }
  if (codes[at] === 2 && codes.length > at + 3) {
    return { colour: [clampByte(codes[at + 1]), clampByte(codes[at + 2]), clampByte(codes[at + 3])], used: 4 };
  }
  return { colour: null, used: codes.length - at };
}

const SET = { 1: "b", 2: "d", 3: "i", 4: "u", 7: "r", 9: "s" };
const UNSET = { 22: ["b", "d"], 23: ["i"], 24: ["u"], 27: ["r"], 29: ["s"] };

/** Apply the parameters of an SGR sequence (`ESC [ ... m`) to `pen`. */
function applyStyleCodes(pen, parameters) {
  // "38:2::r:g:b" is the colon form; an empty colour space is skipped.
  const codes = parameters.replace(/:2::/g, ":2:").split(/[;:]/).map((code) => Number(code) || 0);
  for (let i = 0; i < codes.length; i++) {
    const code = codes[i];
    if (code === 0) Object.assign(pen, { flags: new Set(), fg: null, bg: null });
    else if (SET[code]) pen.flags.add(SET[code]);
    else if (UNSET[code]) UNSET[code].forEach((flag) => pen.flags.delete(flag));
    else if (code >= 30 && code <= 37) pen.fg = code - 30;
    else if (code >= 90 && code <= 97) pen.fg = code - 82;
    else if (code >= 40 && code <= 47) pen.bg = code - 40;
    else if (code >= 100 && code <= 107) pen.bg = code - 92;
    else if (code === 39) pen.fg = null;
    else if (code === 49) pen.bg = null;
    else if (code === 38 || code === 48) {
      const { colour, used } = parseExtendedColour(codes, i + 1);
      if (colour !== null) pen[code === 38 ? "fg" : "bg"] = colour;
      i += used;
    }
  }
}

/** [foreground, background, flags] with "reverse" resolved; a reversed pen without a foreground keeps both defaults. */
function resolveColours(pen) {
  if (!pen.flags.has("r")) return [pen.fg, pen.bg, pen.flags];
  if (pen.fg === null) return [null, null, pen.flags];
  return [pen.bg, pen.fg, new Set([...pen.flags].filter((flag) => flag !== "r"))];
}

function buildStyle(pen) {
  const [front, back, flags] = resolveColours(pen);
  const classes = [...flags].sort().map((flag) => `a-${flag}`);
  if (typeof front === "number") classes.push(`f${front}`);
  if (typeof back === "number") classes.push(`b${back}`);
  const fg = Array.isArray(front) ? front : null;
  const bg = Array.isArray(back) ? back : null;
  return classes.length || fg || bg ? Object.freeze({ cls: classes.join(" "), fg, bg }) : PLAIN;
}

/** A visible code for a character that is invisible or reorders text; null for a joiner that may stay as it is. */
function formatSpecialCharacter(text, at) {
  const char = text[at];
  if (JOINER.test(char) && at > 0 && text.charCodeAt(at - 1) > 0x2ff) return null;
  const code = char.charCodeAt(0);
  return code < 0xa0 ? `\\x${code.toString(16).padStart(2, "0")}` : `U+${code.toString(16).toUpperCase().padStart(4, "0")}`;
}

class SegmentWriter {
  segments = [];
  write(text, style, isControl) {
    const last = this.segments[this.segments.length - 1];
    if (last && last.style === style && last.isControl === isControl && !isControl) last.text += text;
    else this.segments.push({ text, style, isControl });
  }
  moveCursor() {}
}

/** Collects cells, so that text after a carriage return overwrites as on a terminal. Linear in the line's length. */
class CellWriter {
  cells = [];
  column = 0;
  erasedTo = 0; // the cells before this one are erased
  write(text, style, isControl) {
    this.erasedTo = Math.min(this.erasedTo, this.column);
    for (const char of isControl ? [text] : text) this.cells[this.column++] = { text: char, style, isControl };
  }
  moveCursor(kind, parameter) {
    const count = parameter || 1;
    if (kind === "\r") this.column = 0;
    else if (kind === "\b" || kind === "D") this.column = Math.max(0, this.column - (kind === "D" ? count : 1));
    else if (kind === "C") this.column = Math.max(this.column, Math.min(this.column + count, MAX_COLUMN));
    else if (kind === "G") this.column = Math.min(count, MAX_COLUMN) - 1;
    else if (kind === "K") this.eraseCells(parameter);
  }
  eraseCells(mode) {
    if (mode === 0) this.cells.length = Math.min(this.cells.length, this.column);
    else if (mode === 2) this.cells = [];
    else if (mode === 1) {
      for (let i = this.erasedTo; i <= Math.min(this.column, this.cells.length - 1); i++) this.cells[i] = undefined;
      this.erasedTo = Math.max(this.erasedTo, this.column + 1);
    }
  }
  get segments() {
    const writer = new SegmentWriter();
    for (let i = 0; i < this.cells.length; i++) {
      const cell = this.cells[i];
      writer.write(cell ? cell.text : " ", cell ? cell.style : PLAIN, cell ? cell.isControl : false);
    }
    return writer.segments;
  }
}

/** The segments `{text, style: {cls, fg, bg}, isControl}` that a terminal would show of one line. */
export function parseAnsi(text) {
  const line = text.endsWith("\r") ? text.slice(0, -1) : text;
  const writer = CURSOR_MOVES.test(line) ? new CellWriter() : new SegmentWriter();
  const pen = { flags: new Set(), fg: null, bg: null };
  let style = PLAIN;
  let from = 0;
  SPECIAL.lastIndex = 0;
  for (let match; (match = SPECIAL.exec(line)); ) {
    const at = match.index;
    const char = line[at];
    const visible = "\x1b\r\b\x07".includes(char) ? "" : formatSpecialCharacter(line, at);
    if (visible === null) continue;
    if (at > from) writer.write(line.slice(from, at), style, false);
    from = at + 1;
    if (char === "\x1b") {
      ESCAPE.lastIndex = at;
      const [sequence, parameters, kind] = ESCAPE.exec(line) || ["\x1b"];
      if (kind === "m") { applyStyleCodes(pen, parameters); style = buildStyle(pen); }
      else if (kind) writer.moveCursor(kind, Number.parseInt(parameters, 10) || 0);
      SPECIAL.lastIndex = from = at + sequence.length;
    } else if (visible) writer.write(visible, style, true);
    else writer.moveCursor(char, 0);
  }
  if (from < line.length) writer.write(line.slice(from), style, false);
  return writer.segments;
}

export function stripAnsi(text) {
  return parseAnsi(text).map((segment) => segment.text).join("");
}
