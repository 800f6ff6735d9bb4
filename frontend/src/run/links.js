// Finds the addresses in a line that are safe to make links of. Pure.

const ADDRESS = /\bhttps?:\/\/[^\s<>"'`\x00-\x1f\x7f\\^{}|]+/gi;
const MOST = 100; // in one line
const TRIES = 1000; // addresses that are looked at for them
const LONGEST = 2048; // characters
const PAIRS = { ")": "(", "]": "[" };
const PUNCTUATION = ".,;:!?*_~…»”’";

const count = (text, char) => text.split(char).length - 1;

/** Without the punctuation that belongs to the sentence: "(see http://a/b)." is about http://a/b. */
function trimmed(address) {
  const unpaired = {};
  for (const [close, open] of Object.entries(PAIRS)) unpaired[close] = count(address, close) - count(address, open);
  let end = address.length;
  for (; end; end--) {
    const last = address[end - 1];
    if (unpaired[last] > 0) unpaired[last]--;
    else if (!PUNCTUATION.includes(last)) break;
  }
  return address.slice(0, end);
}

/** The URL, or null: only http and https, a plain host, and no "user@" before it, which passes for one. */
function parsed(address) {
  const host = /^https?:\/\/([^/?#]*)/i.exec(address)[1];
  if (!/^[a-z0-9.:[\]_-]+$/i.test(host)) return null;
  try {
    const url = new URL(address);
    return url.protocol === "http:" || url.protocol === "https:" ? url : null;
  } catch {
    return null;
  }
}

/** The links that begin in the first `room` characters of `text`, as {from, to, href}, in order. */
export function linksIn(text, room = text.length) {
  const found = [];
  let tries = 0;
  const near = text.slice(0, room + LONGEST); // what begins within may end behind, and is known whole
  if (!near.includes("://")) return found;
  for (const match of near.matchAll(ADDRESS)) {
    if (match.index >= room || ++tries > TRIES) break;
    if (match[0].length > LONGEST) continue;
    const address = trimmed(match[0]);
    const url = parsed(address);
    if (url) found.push({ from: match.index, to: match.index + address.length, href: url.href });
    if (found.length === MOST) break;
  }
  return found;
}
