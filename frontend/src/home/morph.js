// Changes elements of the page into those that the server sent. Equal elements stay, with their focus.

// The page's script writes the text of these; the attribute says whether they show the same.
const TICKING = [["time", "datetime"], ["[data-clock]", "data-clock"], ["[data-since]", "data-since"]];

function isSame(shown, sent) {
  return shown.nodeType === sent.nodeType && shown.nodeName === sent.nodeName && (shown.id ?? "") === (sent.id ?? "");
}

function isSameTick(shown, sent) {
  return TICKING.some(([selector, name]) =>
    shown.matches(selector) && sent.matches(selector) && shown.getAttribute(name) === sent.getAttribute(name));
}

function copyAttributes(shown, sent) {
  for (const { name, value } of sent.attributes) if (shown.getAttribute(name) !== value) shown.setAttribute(name, value);
  for (const { name } of [...shown.attributes]) {
    if (!sent.hasAttribute(name) && name !== "open") shown.removeAttribute(name);
  }
}

export function morphElement(shown, sent) {
  if (shown.isEqualNode(sent) || isSameTick(shown, sent)) return;
  if (shown.matches("progress, input[name=csrfmiddlewaretoken]")) return;
  copyAttributes(shown, sent);
  morphChildren(shown, sent);
}

function morphNode(shown, sent) {
  if (shown.nodeType === Node.ELEMENT_NODE) morphElement(shown, sent);
  else if (shown.data !== sent.data) shown.data = sent.data;
}

function morphChildren(shown, sent) {
  const byId = new Map([...shown.children].filter((child) => child.id).map((child) => [child.id, child]));
  let place = shown.firstChild;
  for (const node of sent.childNodes) {
    const known = node.id ? byId.get(node.id) : place;
    if (known && isSame(known, node)) {
      if (known === place) place = place.nextSibling;
      else shown.insertBefore(known, place);
      morphNode(known, node);
    } else shown.insertBefore(document.importNode(node, true), place);
  }
  while (place) {
    const following = place.nextSibling;
    place.remove();
    place = following;
  }
}
