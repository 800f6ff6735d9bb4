// What the reader looks for: as the server's expression, and as one of JavaScript's for the match within a row. Pure.

const MOST = 1000; // characters the server takes
const ESC = "\x1b";
// What a terminal shows nothing of, and the colours among it.
const UNSEEN = `${ESC}(?:\\[[0-?]*[ -/]*[@-~]|\\][^\\x07${ESC}]*(?:\\x07|${ESC}\\\\|$)|[^\\[\\]])`;
const COLOURS = `(${ESC}\\[[\\d;:]*m)*`;

const literal = (char) => char.replace(/[\\^$.*+?()[\]{}|/]/, "\\$&");

/**
 * The parameters of the server's routes. The server looks at lines as they were written; a text is looked for as it
 * is seen: colours may change within it, and it never lies within an escape sequence. An expression goes as it is.
 */
export function asked({ text, regex, ignoreCase }) {
  const common = ignoreCase ? { ignore_case: "true" } : {};
  if (regex) return { q: text, regex: "true", ...common };
  const chars = [...text].map(literal);
  for (const between of [COLOURS, ""]) {
    const q = `^(?:[^${ESC}]|${UNSEEN})*?${chars.join(between)}`;
    if (q.length <= MOST) return { q, regex: "true", ...common };
  }
  return { q: text, ...common };
}

/** RE2's ways of writing that JavaScript has under other names; the rest is the same in both. */
function translated(source) {
  return source.replace(/\\Q([\s\S]*?)(?:\\E|$)|\\A|\\z|\(\?P<|\\p([A-Z])|\[:(\w+):\]|\\[\s\S]/g, (whole, quoted, letter, name) => {
    if (quoted !== undefined) return [...quoted].map(literal).join("");
    if (letter) return `\\p{${letter}}`;
    if (name) return POSIX[name] ?? whole;
    return { "\\A": "^", "\\z": "$", "(?P<": "(?<" }[whole] ?? whole;
  });
}
const POSIX = { alpha: "a-zA-Z", digit: "0-9", alnum: "a-zA-Z0-9", upper: "A-Z", lower: "a-z", space: "\\s", punct: "!-\\/:-@\\[-`{-~", xdigit: "0-9a-fA-F", word: "\\w" };

/**
 * The match as {source, flags} of a RegExp, or null where JavaScript has no such expression: rows are marked then,
 * and nothing within them.
 */
export function pattern({ text, regex, ignoreCase }) {
  if (!regex) return { source: [...text].map(literal).join(""), flags: ignoreCase ? "giu" : "gu" };
  const [, given, rest] = /^(?:\(\?([ims]+)\))?([\s\S]*)$/.exec(text);
  const flags = `g${ignoreCase || given?.includes("i") ? "i" : ""}${given?.includes("s") ? "s" : ""}`;
  const source = translated(rest);
  for (const mode of ["u", ""]) { // without the first, JavaScript allows more escapes
    try {
      new RegExp(source, flags + mode);
      return { source, flags: flags + mode };
    } catch {
      // the next, or none
    }
  }
  return null;
}

/** Where `pattern` matches in `text`: [from, to] each, `most` at most. */
export function spans(pattern, text, most = 200) {
  const found = [];
  for (const match of text.matchAll(pattern)) {
    if (match[0]) found.push([match.index, match.index + match[0].length]);
    if (found.length === most) break;
  }
  return found;
}
