// The part Input of the job editor: the builder of its schema, and its input as the form that the schema makes.
import { RunFill } from "../run_fill.js";
import { TypedInput } from "../typed_input.js";
import { SchemaBuilder } from "./schema_builder.js";

/** `onHeld(text)` gets why a save waits. Returns `refresh()`, for texts that a script changed, and `hasEdits()`: whether
 * the fields of the input have edits that the JSON lacks. */
export function startInputSection(form, onHeld) {
  const area = form.elements.input_schema_text;
  let builder = null;
  const root = form.querySelector("[data-typed-input]");
  const addSettings = (body) => {
    body.set("job", root.dataset.job);
    body.set("input_schema_text", area.value);
    for (const box of form.querySelectorAll('[name="secrets"]:checked')) body.append("secrets", box.value);
  };
  const typed = new TypedInput({
    root, addSettings, area: form.elements.input_text,
    onProblems: (problems) => builder.showProblems(problems),
    onHeld,
  });
  const fill = root.querySelector("[data-run-fill]");
  if (fill) new RunFill({ root: fill, area: form.elements.input_text, address: root.dataset.address, addSettings, typed });
  builder = new SchemaBuilder({ root: document.getElementById("schema-field"), area, onChange: () => typed.refreshLater() });
  document.getElementById("secret-names").addEventListener("change", () => typed.refreshLater());
  return { refresh() { builder.draw(); typed.refresh(); }, hasEdits: () => typed.hasEdits };
}
