// Keeps what is typed into the job editor in this tab until it is saved, so that an ended session loses nothing.

const PREFIX = "cronium-draft:";

export function saveDraft(path, fields) {
  write(path, { fields, at: Date.now(), sent: false });
}

export function loadDraft(path) {
  try {
    return JSON.parse(sessionStorage.getItem(PREFIX + path));
  } catch {
    return null;
  }
}

/** The form is on its way: when another page than this one answers, the draft has been saved. */
export function markSent(path) {
  const draft = loadDraft(path);
  if (draft) write(path, { ...draft, sent: true });
}

export function dropDraft(path) {
  try {
    sessionStorage.removeItem(PREFIX + path);
  } catch {
    // no storage, no draft
  }
}

/** Called on every page: a sent draft is done with unless we are at its editor, at the sign-in page or at an error. */
export function settleDrafts(path) {
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

function write(path, draft) {
  try {
    sessionStorage.setItem(PREFIX + path, JSON.stringify(draft));
  } catch {
    // full or refused: the form itself still holds the text
  }
}
