// Turns one line of terminal output into styled pieces of plain text. Makes no HTML and no DOM.

const ESCAPE = /\x1b\[([0-?]*)[ -/]*([@-~])|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[PX^_][^\x1b]*(?:\x1b\\)?|\x1b[ -/]*[0-~]?/y;
const SPECIAL = /[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/;
// Zero-width joiners belong to emoji and to several scripts; between plain letters they only hide something.
const JOINER = /[\u200c\u200d]/;
const MOVES = /[\r\b]|\x1b\[[0-9;]*[CDGK]/;
const PLAIN = Object.freeze({ cls: "", fg: null, bg: null });

function rgb256(n) {
  if (n >= 232) return Array(3).fill(8 + (n - 232) * 10);
  const cube = n - 16;
  const level = (step) => (step ? 55 + step * 40 : 0);
  return [level(Math.floor(cube / 36)), level(Math.floor(cube / 6) % 6), level(cube % 6)];
}

/** The colour after 38 or 48: an index 0-15 as a number, else [r, g, b]; and how many codes it took. */
function extended(codes, at) {
  const byte = (value) => Math.min(255, Math.max(0, value | 0));
  if (codes[at] === 5 && codes.length > at + 1) {
    const n = byte(codes[at + 1]);
    return { colour: n < 16 ? n % 8 : rgb256(n), used: 2 };
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
    else if (code >= 90 && code <= 97) pen.fg = code - 90;
    else if (code >= 40 && code <= 47) pen.bg = code - 40;
    else if (code >= 100 && code <= 107) pen.bg = code - 100;
    else if (code === 39) pen.fg = null;
    else if (code === 49) pen.bg = null;
    else if (code === 38 || code === 48) {
      const { colour, used } = extended(codes, i + 1);
      if (colour !== null) pen[code === 38 ? "fg" : "bg"] = colour;
      i += used;
    }
  }
}

function styleOf(pen) {
  const classes = [...pen.on].sort().map((flag) => `a-${flag}`);
  if (typeof pen.fg === "number") classes.push(`f${pen.fg}`);
  if (typeof pen.bg === "number") classes.push(`b${pen.bg}`);
  const fg = Array.isArray(pen.fg) ? pen.fg : null;
  const bg = Array.isArray(pen.bg) ? pen.bg : null;
  return classes.length || fg || bg ? Object.freeze({ cls: classes.join(" "), fg, bg }) : PLAIN;
}

/** What stands for a character that shows nothing or turns text around; null when it shows itself. */
function mark(text, at) {
  const char = text[at];
  if (!SPECIAL.test(char)) return null;
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

/** Collects cells, so that a carriage return overwrites as on a terminal. */
class Cells {
  cells = [];
  at = 0;
  put(text, style, ctl) {
    for (const char of ctl ? [text] : text) this.cells[this.at++] = { text: char, style, ctl };
  }
  move(kind, parameter) {
    const n = Math.min(parameter || 1, 4096);
    if (kind === "\r") this.at = 0;
    else if (kind === "\b" || kind === "D") this.at = Math.max(0, this.at - (kind === "D" ? n : 1));
    else if (kind === "C") this.at += n;
    else if (kind === "G") this.at = n - 1;
    else if (kind === "K") this.erase(parameter);
  }
  erase(mode) {
    if (mode === 2) this.cells = [];
    else if (mode === 1) for (let i = 0; i <= this.at; i++) this.cells[i] = undefined;
    else this.cells.length = Math.min(this.cells.length, this.at);
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
  if (!SPECIAL.test(text)) return text ? [{ text, style: PLAIN, ctl: false }] : [];
  const line = text.endsWith("\r") ? text.slice(0, -1) : text;
  const out = MOVES.test(line) ? new Cells() : new Runs();
  const pen = { on: new Set(), fg: null, bg: null };
  let style = PLAIN;
  let from = 0;
  const flush = (to) => { if (to > from) out.put(line.slice(from, to), style, false); };
  for (let i = 0; i < line.length; ) {
    const char = line[i];
    if (char === "\x1b") {
      flush(i);
      ESCAPE.lastIndex = i;
      const [whole, parameters, kind] = ESCAPE.exec(line) || ["\x1b"];
      if (kind === "m") { restyle(pen, parameters); style = styleOf(pen); }
      else if (kind) out.move(kind, Number.parseInt(parameters, 10) || 0);
      from = i += whole.length;
      continue;
    }
    const moves = char === "\r" || char === "\b";
    const shown = moves || char === "\x07" ? "" : mark(line, i);
    if (shown !== null) {
      flush(i);
      if (moves) out.move(char, 0);
      else if (shown) out.put(shown, style, true);
      from = i + 1;
    }
    i++;
  }
  flush(line.length);
  return out.pieces;
}

/** The text a reader sees, without any styling. */
export function plain(text) {
  return parse(text).map((piece) => piece.text).join("");
}

const luminance = ([r, g, b]) => {
  const linear = (v) => ((v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  return 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
};

/** `colour` moved towards black or white until it can be read (4.5 : 1) on a light or dark ground. */
export function legible(colour, dark) {
  const ground = luminance(dark ? [14, 17, 22] : [255, 255, 255]);
  const goal = dark ? 255 : 0;
  for (let share = 0; share <= 1; share += 0.1) {
    const mixed = colour.map((v) => Math.round(v + (goal - v) * share));
    const [high, low] = [luminance(mixed), ground].sort((a, b) => b - a);
    if ((high + 0.05) / (low + 0.05) >= 4.5) return mixed;
  }
  return [goal, goal, goal];
}
