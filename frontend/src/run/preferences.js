// How the reader likes the log, kept in this browser; a browser that keeps nothing forgets it.

const key = (name) => `cronium-log-${name}`;

/** What was kept under `name` if it is one of `allowed`, else `otherwise`. */
export function recall(name, allowed, otherwise) {
  try {
    const value = localStorage.getItem(key(name));
    return allowed.includes(value) ? value : otherwise;
  } catch {
    return otherwise;
  }
}

export function keep(name, value) {
  try {
    localStorage.setItem(key(name), value);
  } catch {
    // only a preference
  }
}

export const recallFlag = (name, otherwise) => recall(name, ["on", "off"], otherwise ? "on" : "off") === "on";
export const keepFlag = (name, on) => keep(name, on ? "on" : "off");
