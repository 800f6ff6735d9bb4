// Draws one line of the log, or one gap in it, as an element. Text from a job only ever becomes text nodes.
import { parse } from "./ansi.js";
import { inkOn, legible } from "./colour.js";
import { fullTime } from "./format.js";
import { gapWords } from "./gaps.js";
import { linksIn } from "./links.js";
import { clip, cut, flat } from "./segments.js";

export const CLIP = 16_384; // characters shown of one line before "show all"
const PIECES = 2000; // and differently coloured pieces
const GROUNDS = { light: [243, 238, 230], dark: [37, 33, 26] }; // --c-log as it is under a marked line, its worst

const theme = () => (document.documentElement.getAttribute("data-bs-theme") === "dark" ? "dark" : "light");
const css = (colour) => `rgb(${colour.join()})`;

function make(name, cls, text) {
  const element = document.createElement(name);
  if (cls) element.className = cls;
  if (text !== undefined) element.textContent = text;
  return element;
}

/** The element of a piece. A match has the colours of matches, whatever the piece's are. */
function styled({ text, style, ctl, match }) {
  if (!ctl && !match && style.cls === "" && !style.fg && !style.bg) return document.createTextNode(text);
  if (match) return make("mark", style.cls.replace(/\b(?:[fb]\d+|a-[dr])\b/g, "").trim(), text);
  const element = make("span", ctl ? `ctl ${style.cls}`.trim() : style.cls, text);
  if (ctl) element.title = "A character that shows nothing or changes the order of the text";
  const onClass = /\bb\d/.test(style.cls); // a ground with an ink of its own
  if (style.bg) {
    element.style.backgroundColor = css(style.bg);
    element.style.color = css(style.fg ? legible(style.fg, style.bg) : inkOn(style.bg));
  } else if (style.fg && !onClass) element.style.color = css(legible(style.fg, GROUNDS[theme()]));
  return element;
}

function anchor({ href }) {
  const link = make("a");
  link.href = href;
  link.title = href;
  link.target = "_blank";
  link.rel = "noopener noreferrer nofollow";
  return link;
}

/** The elements of `pieces`; those of one link stand in one anchor. */
function elements(pieces) {
  const out = [];
  let open = null;
  for (const piece of pieces) {
    if (!piece.link) open = null;
    else if (open?.of !== piece.link) {
      open = { of: piece.link, element: anchor(piece.link) };
      out.push(open.element);
    }
    if (open) open.element.append(styled(piece));
    else out.push(styled(piece));
  }
  return out;
}

/**
 * Fill `target` with the line's text, clipped; `onWhole` is called when the reader asks for all of it. True when the
 * matches all lie past the cut.
 */
function fillText(target, text, { whole, matches, onWhole }) {
  const pieces = parse(text);
  const plain = flat(pieces);
  const shown = whole ? { pieces, all: true, length: plain.length } : clip(pieces, CLIP, PIECES);
  const found = matches(plain);
  const nodes = elements(cut(shown.pieces, linksIn(plain, shown.length), found));
  if (!shown.all) {
    const button = make("button", "log-whole", `show all ${plain.length.toLocaleString("en")} characters`);
    button.type = "button";
    button.addEventListener("click", onWhole);
    nodes.push(button);
  }
  target.replaceChildren(...nodes);
  return !shown.all && found.length > 0 && !target.querySelector("mark");
}

function skeleton() {
  const row = make("div");
  row.append(make("a", "log-no"), make("span", "log-text"));
  return row;
}

function number(row, seq) {
  const link = row.firstChild;
  if (!seq) {
    link.removeAttribute("href");
    delete link.dataset.n;
    return;
  }
  link.href = `#L${seq}`;
  link.tabIndex = -1;
  link.dataset.n = seq;
  link.setAttribute("aria-label", `Line ${seq}`);
}

/** Write `time`, or none, before the line's text; at a touch of the pointer it says `ms` in full. */
export function stamp(row, time, ms) {
  let element = row.querySelector(".log-time");
  if (!time) return element?.remove();
  if (!element) row.insertBefore((element = make("span", "log-time")), row.lastChild);
  const title = fullTime(ms);
  if (element.dataset.t !== time) element.dataset.t = time;
  if (element.title !== title) element.title = title;
}

/**
 * The element of line `seq` (null: a line without its end): `line` is {ms, stream, text}, or undefined while it loads.
 * `look` has time, marked (by the address), hit and now (by find), whole, matches(text) with a `key` that changes
 * with them, and onWhole. `old` is updated in place, and only where it differs, so a selection in it survives.
 */
export function drawLine(seq, line, look, old) {
  const row = old && !old._gap ? old : skeleton();
  const key = [seq ?? "part", line?.stream, look.whole, theme(), look.key].join("|");
  if (row._key !== key || row._text !== line?.text) {
    row._key = key;
    row._text = line?.text;
    row.className = `log-row${line?.stream === "stderr" ? " stderr" : ""}${seq ? "" : " part"}${line ? "" : " none"}`;
    number(row, seq);
    row._beyond = fillText(row.lastChild, line ? line.text : "", look);
  }
  for (const name of ["marked", "hit", "now"]) row.classList.toggle(name, Boolean(look[name]));
  stamp(row, look.time, line?.ms);
  return row;
}

function sign(sprite, name) {
  const space = "http://www.w3.org/2000/svg";
  const icon = document.createElementNS(space, "svg");
  const use = document.createElementNS(space, "use");
  icon.setAttribute("class", "i i-s");
  icon.setAttribute("aria-hidden", "true");
  use.setAttribute("href", `${sprite}#${name}`);
  icon.append(use);
  return icon;
}

/** The element of a gap: no line, so it has no number. */
export function drawGap(gap, sprite, old) {
  const words = gapWords(gap);
  if (old?._gap === words) return old;
  const split = gap.cause === "split";
  const row = make("div", split ? "log-row gap split" : "log-row gap");
  row._gap = words;
  row.append(sign(sprite, split ? "text-wrap" : "alert-triangle"), make("span", "log-gap", words));
  return row;
}
