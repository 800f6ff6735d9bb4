// Keeps unsaved text of an editor in the tab's sessionStorage, so that the end of a session loses nothing.

const PREFIX = "cronium-draft:";

export function saveDraft(path, fields) {
  writeDraft(path, { fields, at: Date.now(), sent: false });
}

export function loadDraft(path) {
  try {
    return JSON.parse(sessionStorage.getItem(PREFIX + path));
  } catch {
    return null;
  }
}

/** The form was submitted: the draft is removed when the next page is another one than the editor. */
export function markSent(path) {
  const draft = loadDraft(path);
  if (draft) writeDraft(path, { ...draft, sent: true });
}

export function removeDraft(path) {
  try {
    sessionStorage.removeItem(PREFIX + path);
  } catch {
    // no storage, no draft
  }
}

/** Called on every page: removes sent drafts, except the draft of this editor, on the sign-in page and on error pages. */
export function removeSentDrafts(path) {
  try {
    if (path.startsWith("/sign-in") || document.body.dataset.page === "error") return;
    for (const key of Object.keys(sessionStorage)) {
      if (!key.startsWith(PREFIX) || key === PREFIX + path) continue;
      if (loadDraft(key.slice(PREFIX.length))?.sent) sessionStorage.removeItem(key);
    }
  } catch {
    // no storage, no draft
  }
}

function writeDraft(path, draft) {
  try {
    sessionStorage.setItem(PREFIX + path, JSON.stringify(draft));
  } catch {
    // full or not allowed: the form itself still holds the text
  }
}
