// Finds the URLs in a line that are safe to link. Pure.

const ADDRESS = /\bhttps?:\/\/[^\s<>"'`\x00-\x1f\x7f\\^{}|]+/gi;
const MAX_LINKS = 100; // in one line
const MAX_CANDIDATES = 1000; // addresses that are checked for them
const MAX_LENGTH = 2048; // characters
const PAIRS = { ")": "(", "]": "[" };
const PUNCTUATION = ".,;:!?*_~…»”’";

// The script's file and line, as Python, Node and bash write them.
const SCRIPT_PLACE = /\/workspace\/(script\.(?:py", line |m?js:|sh: line )(\d{1,7}))/g;

const countCharacter = (text, char) => text.split(char).length - 1;

/** Without the punctuation of the sentence around it: "(see http://a/b)." contains http://a/b. */
function trimPunctuation(address) {
  const unpaired = {};
  for (const [close, open] of Object.entries(PAIRS)) unpaired[close] = countCharacter(address, close) - countCharacter(address, open);
  let end = address.length;
  for (; end; end--) {
    const last = address[end - 1];
    if (unpaired[last] > 0) unpaired[last]--;
    else if (!PUNCTUATION.includes(last)) break;
  }
  return address.slice(0, end);
}

/** The URL, or null: only http and https, a plain host, and no "user@" before it, which can imitate a host name. */
function parseSafeUrl(address) {
  const host = /^https?:\/\/([^/?#]*)/i.exec(address)[1];
  if (!/^[a-z0-9.:[\]_-]+$/i.test(host)) return null;
  try {
    const url = new URL(address);
    return url.protocol === "http:" || url.protocol === "https:" ? url : null;
  } catch {
    return null;
  }
}

/** The links that begin in the first `limit` characters of `text`, as {from, to, href}, in order. */
export function findLinks(text, limit = text.length) {
  const links = [];
  let candidates = 0;
  const searched = text.slice(0, limit + MAX_LENGTH); // a link that begins before the limit may end after it
  if (!searched.includes("://")) return links;
  for (const match of searched.matchAll(ADDRESS)) {
    if (match.index >= limit || ++candidates > MAX_CANDIDATES) break;
    if (match[0].length > MAX_LENGTH) continue;
    const address = trimPunctuation(match[0]);
    const url = parseSafeUrl(address);
    if (url) links.push({ from: match.index, to: match.index + address.length, href: url.href });
    if (links.length === MAX_LINKS) break;
  }
  return links;
}

/** Links to the lines of the script that `text` names, in the form of findLinks; `scriptUrl` is the page of the script. */
export function findScriptLinks(text, scriptUrl, limit = text.length) {
  if (!scriptUrl || !text.includes("/workspace/script.")) return [];
  return [...text.slice(0, limit).matchAll(SCRIPT_PLACE)].slice(0, MAX_LINKS).map((match) => {
    const from = match.index + match[0].length - match[1].length;
    return { from, to: from + match[1].length, href: `${scriptUrl}#line-${match[2]}`, isOwn: true };
  });
}
