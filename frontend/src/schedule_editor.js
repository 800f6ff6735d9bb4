// The form of a schedule: unsaved text, and Ctrl-S. The form and its preview work without it.
import { loadDraft, markSent, removeDraft, saveDraft } from "./drafts.js";
import { formatAgo } from "./durations.js";
import { RunFill } from "./run_fill.js";
import { TypedInput } from "./typed_input.js";

const SAVE_AFTER_MS = 300;
const NOT_KEPT = ["csrfmiddlewaretoken", "version", "schedule", "job"];
const form = document.getElementById("schedule-form");
const path = location.pathname;
const getFields = () => [...new FormData(form)].filter(([name]) => !NOT_KEPT.includes(name));
let savedFields = ""; // of getFields(), as JSON
let isSent = false;
let timer = null;
let typedInput = null; // of a job with a schema
const hasChanges = () => JSON.stringify(getFields()) !== savedFields || Boolean(typedInput?.hasEdits);

function showSaid(text) {
  document.getElementById("said").textContent = text;
  document.getElementById("said").classList.toggle("err", Boolean(text));
}

function onChange() {
  showSaid("");
  form.dataset.dirty = hasChanges();
  document.getElementById("unsaved").hidden = !hasChanges();
  clearTimeout(timer);
  timer = setTimeout(storeDraft, SAVE_AFTER_MS);
}

function storeDraft() {
  clearTimeout(timer);
  if (hasChanges()) saveDraft(path, getFields());
  else removeDraft(path);
}

/** Fields that the draft does not know keep their values. */
function restoreDraft(fields) {
  const values = new Map(fields);
  for (const element of form.elements) {
    if (!element.name || element.type === "hidden" || element.type === "submit") continue;
    const before = element.type === "checkbox" || element.type === "radio" ? element.checked : element.value;
    if (element.type === "checkbox") element.checked = values.has(element.name);
    else if (element.type === "radio") element.checked = values.get(element.name) === element.value;
    else if (values.has(element.name)) element.value = values.get(element.name);
    const after = element.type === "checkbox" || element.type === "radio" ? element.checked : element.value;
    const folded = element.closest("details");
    if (folded && before !== after) folded.open = true;
  }
  form.dispatchEvent(new Event("input", { bubbles: true })); // the preview follows
  typedInput?.refresh();
}

function offerDraft() {
  const draft = loadDraft(path);
  if (!draft || JSON.stringify(draft.fields) === savedFields || form.dataset.bound === "true") return;
  const bar = document.getElementById("draft");
  const close = () => { bar.hidden = true; form.elements.name.focus(); };
  bar.hidden = false;
  bar.querySelector("[data-draft-age]").textContent = draft.at ? `, typed ${formatAgo(Date.now() - draft.at)}` : "";
  bar.querySelector("[data-draft-restore]").addEventListener("click", () => { restoreDraft(draft.fields); close(); });
  bar.querySelector("[data-draft-drop]").addEventListener("click", () => { removeDraft(path); close(); });
}

function startTypedInput() {
  const [area, root] = [form.elements.input, form.querySelector("[data-typed-input]")];
  const addSettings = (body) => body.set("job", form.elements.job.value);
  const onHeld = (why) => showSaid(`Not saved. The fields of the input: ${why}`);
  if (root) typedInput = new TypedInput({ root, area, addSettings, onHeld });
  const fill = form.querySelector("[data-run-fill]");
  if (fill) new RunFill({ root: fill, area, address: form.dataset.fieldsAddress, addSettings, typed: typedInput });
}

if (form) {
  startTypedInput();
  savedFields = JSON.stringify(getFields());
  offerDraft();
  if (form.dataset.bound === "true") { // it came back with errors
    savedFields = "";
    onChange();
  }
  form.addEventListener("input", onChange);
  form.addEventListener("change", onChange);
  form.addEventListener("submit", () => { saveDraft(path, getFields()); markSent(path); isSent = true; });
  addEventListener("pageshow", () => { isSent = false; });
  addEventListener("pagehide", () => { if (!isSent && hasChanges()) saveDraft(path, getFields()); }); // the timer would fire too late
  document.addEventListener("keydown", (event) => {
    if (event.key !== "s" || !(event.ctrlKey || event.metaKey) || event.altKey || event.shiftKey) return;
    event.preventDefault();
    form.requestSubmit(form.querySelector(".savebar .main-act"));
  });
}
