// Display preferences of the log, kept in localStorage. Without storage, the defaults apply.

const buildKey = (name) => `cronium-log-${name}`;

/** The stored value of `name` if it is one of `allowed`, else `fallback`. */
export function loadPreference(name, allowed, fallback) {
  try {
    const value = localStorage.getItem(buildKey(name));
    return allowed.includes(value) ? value : fallback;
  } catch {
    return fallback;
  }
}

export function savePreference(name, value) {
  try {
    localStorage.setItem(buildKey(name), value);
  } catch {
    // only a preference
  }
}

export const loadFlag = (name, fallback) => loadPreference(name, ["on", "off"], fallback ? "on" : "off") === "on";
export const saveFlag = (name, isOn) => savePreference(name, isOn ? "on" : "off");
