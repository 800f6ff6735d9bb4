// Builds the server's expression, and the JavaScript expression for the match within a row. Pure.

const MAX_QUERY = 1000; // characters; the server rejects longer ones
const ESC = "\x1b";
// Escape sequences, which a terminal does not show; colours are a part of them.
const ESCAPE_SEQUENCE = `${ESC}(?:\\[[0-?]*[ -/]*[@-~]|\\][^\\x07${ESC}]*(?:\\x07|${ESC}\\\\|$)|[^\\[\\]])`;
const COLOURS = `(${ESC}\\[[\\d;:]*m)*`;

const escapeCharacter = (char) => char.replace(/[\\^$.*+?()[\]{}|/]/, "\\$&");

/**
 * The parameters of the server's routes. The server searches lines as they were written, with escape sequences. A
 * plain text must match the visible text: colours may change within it, and it never lies within an escape sequence.
 * A regular expression is sent unchanged.
 */
export function buildServerQuery({ text, isRegex, ignoreCase }) {
  const common = ignoreCase ? { ignore_case: "true" } : {};
  if (isRegex) return { q: text, regex: "true", ...common };
  const characters = [...text].map(escapeCharacter);
  for (const separator of [COLOURS, ""]) {
    const q = `^(?:[^${ESC}]|${ESCAPE_SEQUENCE})*?${characters.join(separator)}`;
    if (q.length <= MAX_QUERY) return { q, regex: "true", ...common };
  }
  return { q: text, ...common };
}

/** Translate the RE2 syntax that JavaScript writes differently; the rest is the same in both. */
function translateRe2(source) {
  return source.replace(/\\Q([\s\S]*?)(?:\\E|$)|\\A|\\z|\(\?P<|\\p([A-Z])|\[:(\w+):\]|\\[\s\S]/g, (whole, quoted, letter, name) => {
    if (quoted !== undefined) return [...quoted].map(escapeCharacter).join("");
    if (letter) return `\\p{${letter}}`;
    if (name) return POSIX_CLASSES[name] ?? whole;
    return { "\\A": "^", "\\z": "$", "(?P<": "(?<" }[whole] ?? whole;
  });
}
const POSIX_CLASSES = { alpha: "a-zA-Z", digit: "0-9", alnum: "a-zA-Z0-9", upper: "A-Z", lower: "a-z", space: "\\s", punct: "!-\\/:-@\\[-`{-~", xdigit: "0-9a-fA-F", word: "\\w" };

/** {source, flags} of a RegExp, or null where JavaScript has no equivalent: then only whole rows are highlighted. */
export function buildPattern({ text, isRegex, ignoreCase }) {
  if (!isRegex) return { source: [...text].map(escapeCharacter).join(""), flags: ignoreCase ? "giu" : "gu" };
  const [, inlineFlags, rest] = /^(?:\(\?([ims]+)\))?([\s\S]*)$/.exec(text);
  const flags = `g${ignoreCase || inlineFlags?.includes("i") ? "i" : ""}${inlineFlags?.includes("s") ? "s" : ""}`;
  const source = translateRe2(rest);
  for (const mode of ["u", ""]) { // without "u", JavaScript accepts more escapes
    try {
      new RegExp(source, flags + mode);
      return { source, flags: flags + mode };
    } catch {
      // try the next mode
    }
  }
  return null;
}

/** The matches of `regExp` in `text`, as [from, to], at most `limit`; empty matches are left out. */
export function findSpans(regExp, text, limit = 200) {
  const spans = [];
  for (const match of text.matchAll(regExp)) {
    if (match[0]) spans.push([match.index, match.index + match[0].length]);
    if (spans.length === limit) break;
  }
  return spans;
}
