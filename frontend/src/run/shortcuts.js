// The keys of the log, in one table: what is pressed, what it does, and how the list of them names it.
// Those of ANYWHERE work on the whole page, unless the reader turns that off; the others while the log has the focus.

// [what the list shows, its words, the key as an event names it -> the name of an act]
const KEYS = [
  ["/ or Ctrl F", "Find in the log; Ctrl F twice is the browser's own", { "/": "find", "Ctrl+f": "find" }],
  ["n, N", "Next and previous match (in the field: Enter, Shift Enter)", { n: "next", N: "previous" }],
  ["j, k or ↓, ↑", "A line down, a line up", { j: "down", k: "up", ArrowDown: "down", ArrowUp: "up" }],
  ["Space, Page Down", "A page down (with Shift, or Page Up: up)", { " ": "pageDown", "Shift+ ": "pageUp", PageDown: "pageDown", PageUp: "pageUp" }],
  ["g, Home", "To the first line", { g: "start", Home: "start" }],
  ["G, End", "To the last line, and follow it", { G: "end", End: "end" }],
  ["f", "Follow the end, or stop", { f: "follow" }],
  ["s", "All lines, output, errors", { s: "stream" }],
  ["t", "No times, since the start, how long ago, the clock's", { t: "times" }],
  ["w", "Wrap long lines", { w: "wrap" }],
  ["m, M", "Mark the match, or else the first line in view; up to there", { m: "mark", M: "markTo" }],
  ["c", "Copy the marked lines, or all", { c: "copy" }],
  ["d", "Download as text", { d: "download" }],
  ["z", "Full screen", { z: "full" }],
  ["Esc", "Close what is open: find, full screen", {}],
  ["?", "This list", { "?": "help", "Ctrl+a": "selectAll" }],
];
const ACTS = Object.assign({}, ...KEYS.map(([, , acts]) => acts));

// What scrolls or copies stays with the log: the page has such keys of its own.
const ANYWHERE = new Set(["/", "n", "N", "g", "G", "f", "s", "t", "w", "d", "z", "?"]);

/** Whether a keydown outside of the log is meant for it. */
export function reachesLog(event) {
  const isFind = (event.ctrlKey || event.metaKey) && !event.shiftKey && event.key.toLowerCase() === "f";
  return isFind || (!event.ctrlKey && !event.metaKey && ANYWHERE.has(event.key));
}

/** The name of the act that a keydown asks for, or undefined. */
export function actOf(event) {
  if (event.altKey || event.isComposing) return undefined;
  const { key } = event;
  if (event.ctrlKey || event.metaKey) return event.shiftKey ? undefined : ACTS[`Ctrl+${key.toLowerCase()}`];
  return ACTS[event.shiftKey && key === " " ? "Shift+ " : key];
}

/** Fill `list`, a dl, with all keys. */
export function listKeys(list) {
  list.replaceChildren(...KEYS.flatMap(([keys, words]) => {
    const [term, about] = [document.createElement("dt"), document.createElement("dd")];
    for (const part of keys.split(/(, | or )/)) {
      const shown = document.createElement(part.trim() === "," || part.trim() === "or" ? "span" : "kbd");
      shown.textContent = part;
      term.append(shown);
    }
    about.textContent = words;
    return [term, about];
  }));
}
