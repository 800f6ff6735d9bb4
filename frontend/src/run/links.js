// Finds the addresses in a line that are safe to make links of. Pure.

const ADDRESS = /\bhttps?:\/\/[^\s<>"'`\x00-\x1f\x7f\\^{}|]+/gi;
const MOST = 100; // in one line
const LONGEST = 2048; // characters
const PAIRS = { ")": "(", "]": "[" };

const count = (text, char) => text.split(char).length - 1;

/** Without the punctuation that belongs to the sentence: "(see http://a/b)." is about http://a/b. */
function trimmed(address) {
  for (;;) {
    const last = address[address.length - 1];
    const unpaired = PAIRS[last] && count(address, last) > count(address, PAIRS[last]);
    if (!unpaired && !/[.,;:!?*_~…»”’]$/u.test(address)) return address;
    address = address.slice(0, -1);
  }
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

/** The links in `text`, as {from, to, href}, in order. */
export function linksIn(text) {
  const found = [];
  if (!text.includes("://")) return found;
  for (const match of text.matchAll(ADDRESS)) {
    if (match[0].length > LONGEST) continue;
    const address = trimmed(match[0]);
    const url = parsed(address);
    if (url) found.push({ from: match.index, to: match.index + address.length, href: url.href });
    if (found.length === MOST) break;
  }
  return found;
}
