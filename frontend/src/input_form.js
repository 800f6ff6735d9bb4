// The form "Run with…": marks fields that were changed, shows times in the reader's zone, moves to the first error.

/** The server writes instants in UTC; fields for local times hold them in the time zone of this browser. */
export function fillInstants(from) {
  for (const input of from.querySelectorAll("input[data-instant]")) {
    const at = new Date(input.dataset.instant);
    delete input.dataset.instant;
    if (Number.isNaN(at.getTime())) continue;
    const local = new Date(at.getTime() - at.getTimezoneOffset() * 60_000);
    input.value = input.defaultValue = local.toISOString().slice(0, 19);
  }
}

function isChanged(control) {
  if (control.type === "hidden" || control.name?.startsWith("drop-")) return control.type === "checkbox" && control.checked;
  if (control.type === "checkbox") return control.checked !== control.defaultChecked;
  if (control.tagName === "SELECT") return hasOtherChoice(control);
  return control.value !== control.defaultValue;
}

function hasOtherChoice(select) {
  const options = [...select.options];
  const hasDefault = options.some((option) => option.defaultSelected);
  if (!hasDefault && !select.multiple) return select.selectedIndex > 0;
  return options.some((option) => option.selected !== option.defaultSelected);
}

function updateMark(field) {
  const mark = field.querySelector("[data-mark]");
  if (!mark) return;
  mark.dataset.first ??= mark.textContent;
  const changed = [...field.querySelectorAll("input, select, textarea")].some(isChanged);
  const text = changed ? `Was: ${field.dataset.was}` : mark.dataset.first;
  mark.textContent = text;
  mark.hidden = !text;
}

export function startInputForm() {
  for (const type of ["input", "change"]) {
    document.addEventListener(type, (event) => {
      const field = event.target.closest?.(".input-field");
      if (field) updateMark(field);
    });
  }
  document.body.addEventListener("htmx:afterSettle", (event) => {
    const form = event.target.closest?.("form[data-focus-error]");
    form?.querySelector("[aria-invalid='true']")?.focus();
  });
}
