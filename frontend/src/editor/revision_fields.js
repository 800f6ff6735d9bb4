// All settings of a stored revision as fields of the editor's form, and which of them differ from the form.

/** The fields that the editor of the revision has, as `[...new FormData(form)]`; null without an answer. */
export async function fetchRevisionFields(path, number) {
  const response = await fetch(`${path}?revision=${encodeURIComponent(number)}`, { signal: AbortSignal.timeout(15_000) }).catch(() => null);
  if (!response?.ok) return null;
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  for (const part of page.querySelectorAll("noscript")) part.remove(); // here, scripts are off
  const form = page.getElementById("job-form");
  return form && [...new FormData(form)];
}

/** The labels of the settings whose fields differ from those of the form; not of the script. */
export function listDifferentSettings(form, fields) {
  const [mine, theirs] = [groupValues([...new FormData(form)]), groupValues(fields)];
  const names = [...new Set([...mine.keys(), ...theirs.keys()])].filter((name) => !["csrfmiddlewaretoken", "revision", "script"].includes(name));
  const different = names.filter((name) => (mine.get(name) ?? "").replace(/\r\n?/g, "\n") !== (theirs.get(name) ?? "").replace(/\r\n?/g, "\n"));
  return [...new Set(different.map((name) => findLabel(form, name)))];
}

function groupValues(fields) {
  const groups = new Map();
  for (const [name, value] of fields) if (value !== "" || name.startsWith("env_")) groups.set(name, groups.has(name) ? `${groups.get(name)}\n${value}` : value);
  return groups;
}

function findLabel(form, name) {
  if (name.startsWith("env_")) return "Environment";
  const element = [...form.elements].find((other) => other.name === name);
  const legend = element?.closest("fieldset")?.querySelector("legend");
  const text = name === "name" ? "Name" : (legend ?? element?.labels?.[0]?.querySelector("span") ?? element?.labels?.[0])?.firstChild?.textContent;
  return text?.trim() || name;
}
