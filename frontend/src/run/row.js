// Draws one line of the log as an element. Text from a job only ever becomes text nodes.
import { legible, parse } from "./ansi.js";

const CLIP = 16_384; // characters shown of one line before "show whole"

export function isDark() {
  return document.documentElement.getAttribute("data-bs-theme") === "dark";
}

function piece({ text, style, ctl }) {
  if (!ctl && !style.cls && !style.fg && !style.bg) return document.createTextNode(text);
  const span = document.createElement("span");
  span.className = ctl ? `ctl ${style.cls}`.trim() : style.cls;
  if (ctl) span.title = "A character that shows nothing or changes the order of the text";
  if (style.bg) {
    span.style.backgroundColor = `rgb(${style.bg.join()})`;
    span.style.color = `rgb(${(style.fg || (style.bg[0] * 3 + style.bg[1] * 6 + style.bg[2] > 1275 ? [0, 0, 0] : [255, 255, 255])).join()})`;
  } else if (style.fg) span.style.color = `rgb(${(style.cls.includes("b") ? style.fg : legible(style.fg, isDark())).join()})`;
  span.append(text);
  return span;
}

/** Fill `target` with the line's text, clipped; `onWhole` is called when the reader asks for all of it. */
export function fillText(target, text, whole, onWhole) {
  const pieces = parse(text);
  const nodes = [];
  let room = whole ? Infinity : CLIP;
  let all = 0;
  for (const each of pieces) {
    all += each.text.length;
    if (room <= 0) continue;
    nodes.push(piece(each.text.length > room ? { ...each, text: each.text.slice(0, room) } : each));
    room -= each.text.length;
  }
  if (!whole && all > CLIP) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "log-whole";
    button.textContent = `show all ${all.toLocaleString("en")} characters`;
    button.addEventListener("click", onWhole);
    nodes.push(button);
  }
  target.replaceChildren(...nodes);
}

function skeleton() {
  const row = document.createElement("div");
  const number = document.createElement("a");
  number.className = "log-no";
  const text = document.createElement("span");
  text.className = "log-text";
  row.append(number, text);
  return row;
}

/**
 * The element of row `n`: `line` is `{stream, text, ms}`, or undefined while it loads; `partial` marks a line
 * without its end. `old` is updated in place only where it differs, so a selection in it survives.
 */
export function drawRow(n, line, { old, partial, time, marked, whole, onWhole }) {
  const row = old || skeleton();
  const key = line ? `${partial ? "p" : ""}${line.stream}|${whole}|${isDark()}` : "none";
  if (row._key !== key || row._text !== line?.text) {
    row._key = key;
    row._text = line?.text;
    row._n = n;
    row.className = `log-row${line?.stream === "stderr" ? " stderr" : ""}${partial ? " part" : ""}${line ? "" : " none"}`;
    const number = row.firstChild;
    if (partial) number.removeAttribute("href");
    else {
      number.href = `#L${n}`;
      number.tabIndex = -1;
      number.dataset.n = n;
      number.setAttribute("aria-label", `Line ${n}`);
    }
    fillText(row.lastChild, line ? line.text : "", whole, onWhole);
  }
  row.classList.toggle("marked", marked);
  let stamp = row.querySelector(".log-time");
  if (time && !stamp) {
    stamp = document.createElement("span");
    stamp.className = "log-time";
    row.insertBefore(stamp, row.lastChild);
  }
  if (stamp) { if (time) stamp.dataset.t = time; else stamp.remove(); }
  return row;
}
