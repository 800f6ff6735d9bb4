// The keyboard shortcuts of the log, in one table: key, action, and the text of the shortcut list.
// Those in PAGE_KEYS work on the whole page, unless the user turns that off; the others only in the log.

// [keys in the list, description, event key -> action of controls.js]
const SHORTCUTS = [
  ["/ or Ctrl F", "Find in the log; Ctrl F twice opens the browser's find", { "/": "openFind", "Ctrl+f": "openFind" }],
  ["n, N", "Next and previous match (in the field: Enter, Shift Enter)", { n: "goToNextMatch", N: "goToPreviousMatch" }],
  ["j, k or ↓, ↑", "One line down, one line up", { j: "scrollDown", k: "scrollUp", ArrowDown: "scrollDown", ArrowUp: "scrollUp" }],
  ["Space, Page Down", "One page down (with Shift, or Page Up: up)", { " ": "scrollPageDown", "Shift+ ": "scrollPageUp", PageDown: "scrollPageDown", PageUp: "scrollPageUp" }],
  ["g, Home", "Go to the first line", { g: "goToStart", Home: "goToStart" }],
  ["G, End", "Go to the last line and follow new lines", { G: "goToEnd", End: "goToEnd" }],
  ["f", "Follow new lines, or stop", { f: "toggleFollow" }],
  ["s", "Switch the stream (all lines, stdout, stderr)", { s: "switchStream" }],
  ["t", "Switch the times (none, since the start, how long ago, clock)", { t: "switchTimes" }],
  ["w", "Wrap long lines", { w: "toggleWrap" }],
  ["m, M", "Mark the match or the first visible line (M: extend the mark to it)", { m: "markLine", M: "extendMark" }],
  ["c", "Copy the marked lines, or all lines", { c: "copyLines" }],
  ["d", "Download as text", { d: "download" }],
  ["z", "Full screen", { z: "toggleFullScreen" }],
  ["[, ]", "Previous and next run of the job", {}],
  ["Esc", "Close find, or leave full screen", {}],
  ["?", "Show this list", { "?": "showHelp", "Ctrl+a": "selectAll" }],
];
const ACTIONS = Object.assign({}, ...SHORTCUTS.map(([, , actions]) => actions));

// Keys that scroll or copy work in the log only, because the page has its own.
const PAGE_KEYS = new Set(["/", "n", "N", "g", "G", "f", "s", "t", "w", "d", "z", "?"]);

export function isPageShortcut(event) {
  const isFind = (event.ctrlKey || event.metaKey) && !event.shiftKey && event.key.toLowerCase() === "f";
  return isFind || (!event.ctrlKey && !event.metaKey && PAGE_KEYS.has(event.key));
}

/** The name of the action for a keydown, or undefined. */
export function getAction(event) {
  if (event.altKey || event.isComposing) return undefined;
  const { key } = event;
  if (event.ctrlKey || event.metaKey) return event.shiftKey ? undefined : ACTIONS[`Ctrl+${key.toLowerCase()}`];
  return ACTIONS[event.shiftKey && key === " " ? "Shift+ " : key];
}

export function listShortcuts(list) {
  list.replaceChildren(...SHORTCUTS.flatMap(([keys, description]) => {
    const [term, details] = [document.createElement("dt"), document.createElement("dd")];
    for (const part of keys.split(/(, | or )/)) {
      const element = document.createElement(part.trim() === "," || part.trim() === "or" ? "span" : "kbd");
      element.textContent = part;
      term.append(element);
    }
    details.textContent = description;
    return [term, details];
  }));
}
