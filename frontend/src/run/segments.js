// Splits and clips the styled segments of a line. Pure.

/** The text of `segments`; NUL replaces the code of a control character, so it is no part of a word or an address. */
export function joinText(segments) {
  return segments.map((segment) => (segment.isControl ? "\0".repeat(segment.text.length) : segment.text)).join("");
}

/**
 * The segments, split so that each lies within at most one link and one match: {text, style, isControl, link, match}.
 * `link` and `match` are elements of `links` and `matches`, or null; both lists hold {from, to}, in order and without
 * overlap.
 */
export function splitSegments(segments, links, matches) {
  if (!links.length && !matches.length) return segments;
  const parts = [];
  const positions = { links: 0, matches: 0 };
  const findSpan = (spans, name, from) => {
    while (positions[name] < spans.length && spans[positions[name]].to <= from) positions[name]++;
    const span = spans[positions[name]];
    return span && span.from <= from ? [span, span.to] : [null, span ? span.from : Infinity];
  };
  let start = 0;
  for (const segment of segments) {
    const end = start + segment.text.length;
    for (let from = start; from < end; ) {
      const [link, linkEnd] = findSpan(links, "links", from);
      const [match, matchEnd] = findSpan(matches, "matches", from);
      const to = Math.min(end, linkEnd, matchEnd);
      parts.push({ ...segment, text: segment.text.slice(from - start, to - start), link, match });
      from = to;
    }
    start = end;
  }
  return parts;
}

const isHighSurrogate = (code) => code >= 0xd800 && code < 0xdc00;
const isLowSurrogate = (code) => code >= 0xdc00 && code < 0xe000;

/** `end`, or one less where it would split a surrogate pair. */
const alignToCharacter = (text, end) => (isHighSurrogate(text.charCodeAt(end - 1)) && isLowSurrogate(text.charCodeAt(end)) ? end - 1 : end);

/** The first `maxLength` characters in at most `maxSegments` segments; `isComplete` if nothing was cut, and their length. */
export function clipSegments(segments, maxLength, maxSegments) {
  const clipped = [];
  let length = 0;
  for (const segment of segments) {
    if (clipped.length === maxSegments || length >= maxLength) return { segments: clipped, isComplete: false, length };
    const text = segment.text.slice(0, alignToCharacter(segment.text, maxLength - length));
    clipped.push(text === segment.text ? segment : { ...segment, text });
    length += text.length;
    if (text !== segment.text) return { segments: clipped, isComplete: false, length };
  }
  return { segments: clipped, isComplete: true, length };
}
