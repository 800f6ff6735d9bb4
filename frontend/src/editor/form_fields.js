// Fills the form of the editor with fields, as `[...new FormData(form)]` has them.

export function fillForm(form, fields) {
  const getValues = (name) => fields.filter(([key]) => key === name).map(([, value]) => value);
  const [names, texts] = [getValues("env_name"), getValues("env_value")];
  const list = document.getElementById("env-rows");
  list.replaceChildren();
  names.forEach((name, index) => {
    list.append(document.getElementById("env-row").content.cloneNode(true));
    list.lastElementChild.querySelector("input").value = name;
    list.lastElementChild.querySelector("textarea").value = texts[index];
  });
  for (const element of form.elements) {
    if (!element.name || element.name.startsWith("env_") || element.type === "hidden" || element.type === "submit") continue;
    if (element.type === "radio" || element.type === "checkbox") element.checked = getValues(element.name).includes(element.value);
    else element.value = getValues(element.name)[0] ?? "";
  }
}
