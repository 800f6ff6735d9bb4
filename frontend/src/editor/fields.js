// Fields of the editor's form: rows of environment variables, a hint about JSON, and fields in closed groups.

/** Opens the closed groups around a field, and the tab of the settings. */
export function revealField(field) {
  document.querySelector('[data-settings-tab="settings"]').click();
  for (let group = field.closest("details"); group; group = group.parentElement.closest("details")) group.open = true;
}

export class EnvRows {
  constructor(form, onChange) {
    Object.assign(this, { form, onChange, list: document.getElementById("env-rows") });
    form.addEventListener("click", (event) => {
      if (event.target.closest("[data-env-add]")) this.add("");
      const button = event.target.closest("[data-env-remove]");
      if (button) this.#remove(button.closest(".env-row"));
    });
  }

  add(name) {
    this.list.append(document.getElementById("env-row").content.cloneNode(true));
    const [nameField, valueField] = this.list.lastElementChild.querySelectorAll("input, textarea");
    nameField.value = name;
    revealField(nameField);
    (name ? valueField : nameField).focus();
    this.onChange();
  }

  #remove(row) {
    const next = row.nextElementSibling || row.previousElementSibling;
    row.remove();
    (next?.querySelector("input") || this.form.querySelector("[data-env-add]")).focus();
    this.onChange();
  }
}

/** While typing; the server validates. */
export function startJsonHint(form) {
  const field = form.elements.input_text;
  const hint = document.getElementById("input-hint");
  const updateHint = () => {
    let text = "Any JSON value. Empty: none.";
    if (field.value.trim()) {
      try {
        JSON.parse(field.value);
        text = "Valid JSON.";
      } catch (error) {
        text = `Not valid JSON yet: ${error.message}`;
      }
    }
    if (hint.textContent !== text) hint.textContent = text;
  };
  field.addEventListener("input", updateHint);
  if (field.value.trim()) updateHint();
}
