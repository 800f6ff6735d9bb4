// Turns one line of terminal output into styled pieces of plain text. Makes no HTML and no DOM.
import { rgb256 } from "./colour.js";

const ESCAPE = /\x1b\[([0-?]*)[ -/]*([@-~])|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[PX^_][^\x1b]*(?:\x1b\\)?|\x1b[ -/]*[0-~]?/y;
const SPECIAL = /[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;
// Zero-width joiners belong to emoji and to several scripts; between plain letters they only hide something.
const JOINER = /[\u200c\u200d]/;
const MOVES = /[\r\b]|\x1b\[[0-9;]*[CDGK]/;
const FARTHEST = 4096; // columns that the cursor can be sent to over nothing
const PLAIN = Object.freeze({ cls: "", fg: null, bg: null });

/** The colour after 38 or 48: an index 0-15 as a number, else [r, g, b]; and how many codes it took. */
function extended(codes, at) {
  const byte = (value) => Math.min(255, Math.max(0, value | 0));
  if (codes[at] === 5 && codes.length > at + 1) {
    const n = byte(codes[at + 1]);
    return { colour: n < 16 ? n : rgb256(n), used: 2 };
  }
  if (codes[at] === 2 && codes.length > at + 3) {
    return { colour: [byte(codes[at + 1]), byte(codes[at + 2]), byte(codes[at + 3])], used: 4 };
  }
  return { colour: null, used: codes.length - at };
}

const SET = { 1: "b", 2: "d", 3: "i", 4: "u", 7: "r", 9: "s" };
const UNSET = { 22: ["b", "d"], 23: ["i"], 24: ["u"], 27: ["r"], 29: ["s"] };

function restyle(pen, parameters) {
  // "38:2::r:g:b" is the colon form; an empty colour space is skipped.
  const codes = parameters.replace(/:2::/g, ":2:").split(/[;:]/).map((code) => Number(code) || 0);
  for (let i = 0; i < codes.length; i++) {
    const code = codes[i];
    if (code === 0) Object.assign(pen, { on: new Set(), fg: null, bg: null });
    else if (SET[code]) pen.on.add(SET[code]);
    else if (UNSET[code]) UNSET[code].forEach((flag) => pen.on.delete(flag));
    else if (code >= 30 && code <= 37) pen.fg = code - 30;
    else if (code >= 90 && code <= 97) pen.fg = code - 82;
    else if (code >= 40 && code <= 47) pen.bg = code - 40;
    else if (code >= 100 && code <= 107) pen.bg = code - 92;
    else if (code === 39) pen.fg = null;
    else if (code === 49) pen.bg = null;
    else if (code === 38 || code === 48) {
      const { colour, used } = extended(codes, i + 1);
      if (colour !== null) pen[code === 38 ? "fg" : "bg"] = colour;
      i += used;
    }
  }
}

/** The colours as they are shown: reversed ones change places; where one is the default, both are defaults. */
function colours(pen) {
  if (!pen.on.has("r")) return [pen.fg, pen.bg, pen.on];
  if (pen.fg === null) return [null, null, pen.on];
  return [pen.bg, pen.fg, new Set([...pen.on].filter((flag) => flag !== "r"))];
}

function styleOf(pen) {
  const [front, back, flags] = colours(pen);
  const classes = [...flags].sort().map((flag) => `a-${flag}`);
  if (typeof front === "number") classes.push(`f${front}`);
  if (typeof back === "number") classes.push(`b${back}`);
  const fg = Array.isArray(front) ? front : null;
  const bg = Array.isArray(back) ? back : null;
  return classes.length || fg || bg ? Object.freeze({ cls: classes.join(" "), fg, bg }) : PLAIN;
}

/** What stands for a special character, which shows nothing or turns text around; null when it may show itself. */
function mark(text, at) {
  const char = text[at];
  if (JOINER.test(char) && at > 0 && text.charCodeAt(at - 1) > 0x2ff) return null;
  const code = char.charCodeAt(0);
  return code < 0xa0 ? `\\x${code.toString(16).padStart(2, "0")}` : `U+${code.toString(16).toUpperCase().padStart(4, "0")}`;
}

/** Collects pieces one after the other: the line never goes back over itself. */
class Runs {
  pieces = [];
  put(text, style, ctl) {
    const last = this.pieces[this.pieces.length - 1];
    if (last && last.style === style && last.ctl === ctl && !ctl) last.text += text;
    else this.pieces.push({ text, style, ctl });
  }
  move() {}
}

/** Collects cells, so that a carriage return overwrites as on a terminal. No line, however made, takes it long. */
class Cells {
  cells = [];
  at = 0;
  blank = 0; // the cells before this one are erased
  put(text, style, ctl) {
    this.blank = Math.min(this.blank, this.at);
    for (const char of ctl ? [text] : text) this.cells[this.at++] = { text: char, style, ctl };
  }
  move(kind, parameter) {
    const n = parameter || 1;
    if (kind === "\r") this.at = 0;
    else if (kind === "\b" || kind === "D") this.at = Math.max(0, this.at - (kind === "D" ? n : 1));
    else if (kind === "C") this.at = Math.max(this.at, Math.min(this.at + n, FARTHEST));
    else if (kind === "G") this.at = Math.min(n, FARTHEST) - 1;
    else if (kind === "K") this.erase(parameter);
  }
  erase(mode) {
    if (mode === 0) this.cells.length = Math.min(this.cells.length, this.at);
    else if (mode === 2) this.cells = [];
    else if (mode === 1) {
      for (let i = this.blank; i <= Math.min(this.at, this.cells.length - 1); i++) this.cells[i] = undefined;
      this.blank = Math.max(this.blank, this.at + 1);
    }
  }
  get pieces() {
    const runs = new Runs();
    for (let i = 0; i < this.cells.length; i++) {
      const cell = this.cells[i];
      runs.put(cell ? cell.text : " ", cell ? cell.style : PLAIN, cell ? cell.ctl : false);
    }
    return runs.pieces;
  }
}

/** The pieces `{text, style: {cls, fg, bg}, ctl}` that a terminal would show of `text`, one line. */
export function parse(text) {
  const line = text.endsWith("\r") ? text.slice(0, -1) : text;
  const out = MOVES.test(line) ? new Cells() : new Runs();
  const pen = { on: new Set(), fg: null, bg: null };
  let style = PLAIN;
  let from = 0;
  SPECIAL.lastIndex = 0;
  for (let hit; (hit = SPECIAL.exec(line)); ) {
    const at = hit.index;
    const char = line[at];
    const shown = "\x1b\r\b\x07".includes(char) ? "" : mark(line, at);
    if (shown === null) continue;
    if (at > from) out.put(line.slice(from, at), style, false);
    from = at + 1;
    if (char === "\x1b") {
      ESCAPE.lastIndex = at;
      const [whole, parameters, kind] = ESCAPE.exec(line) || ["\x1b"];
      if (kind === "m") { restyle(pen, parameters); style = styleOf(pen); }
      else if (kind) out.move(kind, Number.parseInt(parameters, 10) || 0);
      SPECIAL.lastIndex = from = at + whole.length;
    } else if (shown) out.put(shown, style, true);
    else out.move(char, 0);
  }
  if (from < line.length) out.put(line.slice(from), style, false);
  return out.pieces;
}

/** The text a reader sees, without any styling. */
export function plain(text) {
  return parse(text).map((piece) => piece.text).join("");
}
