// Cuts the styled pieces of a line where links and matches begin and end. Pure.

/** The text of `pieces`; a mark that stands for a hidden character is no part of a word or an address. */
export function flat(pieces) {
  return pieces.map((piece) => (piece.ctl ? "\0".repeat(piece.text.length) : piece.text)).join("");
}

/**
 * The pieces again, each within at most one link and one match: {text, style, ctl, link, match}, where `link` and
 * `match` are the elements of `links` and `matches`, both {from, to} in order and without overlap, or null.
 */
export function cut(pieces, links, matches) {
  if (!links.length && !matches.length) return pieces;
  const out = [];
  const at = { links: 0, matches: 0 };
  const within = (spans, name, from) => {
    while (at[name] < spans.length && spans[at[name]].to <= from) at[name]++;
    const span = spans[at[name]];
    return span && span.from <= from ? [span, span.to] : [null, span ? span.from : Infinity];
  };
  let start = 0;
  for (const piece of pieces) {
    const end = start + piece.text.length;
    for (let from = start; from < end; ) {
      const [link, linkEnds] = within(links, "links", from);
      const [match, matchEnds] = within(matches, "matches", from);
      const to = Math.min(end, linkEnds, matchEnds);
      out.push({ ...piece, text: piece.text.slice(from - start, to - start), link, match });
      from = to;
    }
    start = end;
  }
  return out;
}

const isHigh = (code) => code >= 0xd800 && code < 0xdc00;
const isLow = (code) => code >= 0xdc00 && code < 0xe000;

/** `end`, or one less where a character of two units would be cut there. */
const wholeTo = (text, end) => (isHigh(text.charCodeAt(end - 1)) && isLow(text.charCodeAt(end)) ? end - 1 : end);

/** The first `room` characters of `pieces`, in `most` pieces at most; whether that is all, and how many there are. */
export function clip(pieces, room, most) {
  const out = [];
  let length = 0;
  for (const piece of pieces) {
    if (out.length === most || length >= room) return { pieces: out, all: false, length };
    const text = piece.text.slice(0, wholeTo(piece.text, room - length));
    out.push(text === piece.text ? piece : { ...piece, text });
    length += text.length;
    if (text !== piece.text) return { pieces: out, all: false, length };
  }
  return { pieces: out, all: true, length };
}
