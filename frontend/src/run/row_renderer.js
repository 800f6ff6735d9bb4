// Draws one line of the log, or one gap, as an element. Text from a job only becomes text nodes, never HTML.
import { parseAnsi } from "./ansi.js";
import { chooseTextColour, ensureContrast } from "./colour.js";
import { formatFullTime } from "./format.js";
import { describeGap } from "./gaps.js";
import { findLinks, findScriptLinks } from "./links.js";
import { clipSegments, joinText, splitSegments } from "./segments.js";

export const MAX_CHARACTERS = 16_384; // of one line, before "show all"
const MAX_SEGMENTS = 2000;
const BACKGROUNDS = { light: [243, 238, 230], dark: [37, 33, 26] }; // --c-log under a marked line, the least contrast

const getTheme = () => (document.documentElement.getAttribute("data-bs-theme") === "dark" ? "dark" : "light");
const formatRgb = (colour) => `rgb(${colour.join()})`;

function createElement(name, cls, text) {
  const element = document.createElement(name);
  if (cls) element.className = cls;
  if (text !== undefined) element.textContent = text;
  return element;
}

/** A match has the colours of matches, whatever the segment's style is. */
function drawSegment({ text, style, isControl, match }) {
  if (!isControl && !match && style.cls === "" && !style.fg && !style.bg) return document.createTextNode(text);
  if (match) return createElement("mark", style.cls.replace(/\b(?:[fb]\d+|a-[dr])\b/g, "").trim(), text);
  const element = createElement("span", isControl ? `ctl ${style.cls}`.trim() : style.cls, text);
  if (isControl) element.title = "An invisible character, or a character that changes the order of the text";
  const hasBackgroundClass = /\bb\d/.test(style.cls); // the class sets a text colour too
  if (style.bg) {
    element.style.backgroundColor = formatRgb(style.bg);
    element.style.color = formatRgb(style.fg ? ensureContrast(style.fg, style.bg) : chooseTextColour(style.bg));
  } else if (style.fg && !hasBackgroundClass) element.style.color = formatRgb(ensureContrast(style.fg, BACKGROUNDS[getTheme()]));
  return element;
}

function createLink({ href, isOwn }) {
  const link = createElement("a");
  link.href = href;
  if (isOwn) return link;
  link.title = href;
  link.target = "_blank";
  link.rel = "noopener noreferrer nofollow";
  return link;
}

function drawSegments(segments) {
  const nodes = [];
  let open = null;
  for (const segment of segments) {
    if (!segment.link) open = null;
    else if (open?.link !== segment.link) {
      open = { link: segment.link, element: createLink(segment.link) };
      nodes.push(open.element);
    }
    if (open) open.element.append(drawSegment(segment));
    else nodes.push(drawSegment(segment));
  }
  return nodes;
}

function removeOverlaps(links) {
  const sorted = links.sort((one, other) => one.from - other.from);
  return sorted.filter((link, index) => index === 0 || link.from >= sorted[index - 1].to);
}

/** Fill `target` with the line's text, clipped. Returns whether all matches lie in the clipped part. */
function fillText(target, text, { isWhole, findMatches, onShowAll, scriptUrl }) {
  const segments = parseAnsi(text);
  const plainText = joinText(segments);
  const visible = isWhole ? { segments, isComplete: true, length: plainText.length } : clipSegments(segments, MAX_CHARACTERS, MAX_SEGMENTS);
  const matches = findMatches(plainText);
  const links = [...findLinks(plainText, visible.length), ...findScriptLinks(plainText, scriptUrl, visible.length)];
  const nodes = drawSegments(splitSegments(visible.segments, removeOverlaps(links), matches));
  if (!visible.isComplete) {
    const button = createElement("button", "log-whole", `show all ${plainText.length.toLocaleString("en")} characters`);
    button.type = "button";
    button.addEventListener("click", onShowAll);
    nodes.push(button);
  }
  target.replaceChildren(...nodes);
  return !visible.isComplete && matches.length > 0 && !target.querySelector("mark");
}

function createRow() {
  const row = createElement("div");
  row.append(createElement("a", "log-no"), createElement("span", "log-text"));
  return row;
}

function setLineNumber(row, seq) {
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

/** Show `time` before the line's text, or no time if it is empty; the tooltip has `ms` as a full time. */
export function setTime(row, time, ms) {
  let element = row.querySelector(".log-time");
  if (!time) return element?.remove();
  if (!element) row.insertBefore((element = createElement("span", "log-time")), row.lastChild);
  const title = formatFullTime(ms);
  if (element.dataset.t !== time) element.dataset.t = time;
  if (element.title !== title) element.title = title;
}

/**
 * The element of line `seq` (null: a partial line). `line` is {ms, stream, text}, or undefined while it loads.
 * `options`: time, isMarked (by the address), isError (of the run), isMatch and isCurrent (by find), isWhole (not
 * clipped), scriptUrl,
 * findMatches(text), `key`, which changes with the matches, and onShowAll. `old` is updated in place, and only where
 * it differs, so that a selection in it survives.
 */
export function drawLine(seq, line, options, old) {
  const row = old && !old._gap ? old : createRow();
  const key = [seq ?? "part", line?.stream, options.isWhole, getTheme(), options.key].join("|");
  if (row._key !== key || row._text !== line?.text) {
    row._key = key;
    row._text = line?.text;
    row.className = `log-row${line?.stream === "stderr" ? " stderr" : ""}${seq ? "" : " part"}${line ? "" : " none"}`;
    setLineNumber(row, seq);
    row._isMatchClipped = fillText(row.lastChild, line ? line.text : "", options);
  }
  row.classList.toggle("marked", Boolean(options.isMarked));
  row.classList.toggle("fault", Boolean(options.isError));
  row.classList.toggle("hit", Boolean(options.isMatch));
  row.classList.toggle("now", Boolean(options.isCurrent));
  setTime(row, options.time, line?.ms);
  return row;
}

function createIcon(sprite, name) {
  const namespace = "http://www.w3.org/2000/svg";
  const icon = document.createElementNS(namespace, "svg");
  const use = document.createElementNS(namespace, "use");
  icon.setAttribute("class", "i i-s");
  icon.setAttribute("aria-hidden", "true");
  use.setAttribute("href", `${sprite}#${name}`);
  icon.append(use);
  return icon;
}

export function drawGap(gap, sprite, old) {
  const description = describeGap(gap);
  if (old?._gap === description) return old;
  const isSplit = gap.cause === "split";
  const row = createElement("div", isSplit ? "log-row gap split" : "log-row gap");
  row._gap = description;
  row.append(createIcon(sprite, isSplit ? "text-wrap" : "alert-triangle"), createElement("span", "log-gap", description));
  return row;
}
