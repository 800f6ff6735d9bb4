// The editor of a variable: JSON highlighting, a hint while typing, drafts. The form works without it.
import { indentWithTab } from "@codemirror/commands";
import { json } from "@codemirror/lang-json";
import { Compartment, EditorState } from "@codemirror/state";
import { EditorView, keymap } from "@codemirror/view";
import { basicSetup } from "codemirror";
import { appearance, getThemeExtension, selectionTyping } from "./code_editor.js";
import { loadDraft, markSent, removeDraft, saveDraft } from "./drafts.js";
import { formatAgo } from "./durations.js";

const HINT_AFTER_MS = 300;
const form = document.getElementById("variable-form");
const area = form?.elements.text;
const path = location.pathname;
// Without the version: a restored draft must be compared with the version that this page was loaded with.
const getFields = () => [...new FormData(form)].filter(([name]) => !["csrfmiddlewaretoken", "version"].includes(name));
let view = null;
let savedFields = ""; // of getFields(), as JSON
let isLeaving = false;
let timer = null;
const hasChanges = () => JSON.stringify(getFields()) !== savedFields;

function startEditor() {
  const themeCompartment = new Compartment();
  const attributes = { "aria-labelledby": "text-label", "aria-describedby": area.getAttribute("aria-describedby") };
  if (area.getAttribute("aria-invalid")) attributes["aria-invalid"] = "true";
  view = new EditorView({
    state: EditorState.create({
      doc: area.value,
      extensions: [
        EditorView.cspNonce.of(form.dataset.nonce),
        keymap.of(["Mod-s", "Mod-Enter"].map((key) => ({ key, run: () => (form.requestSubmit(), true) }))),
        selectionTyping, basicSetup, keymap.of([indentWithTab]), json(), themeCompartment.of(getThemeExtension()), appearance,
        EditorView.contentAttributes.of({ tabindex: "0", ...attributes }),
        EditorView.updateListener.of((update) => { if (update.docChanged) onChange(); }),
      ],
    }),
  });
  area.after(view.dom);
  area.parentElement.classList.add("has-cm");
  document.getElementById("text-label").addEventListener("click", () => view.focus());
  document.addEventListener("cronium:theme", () => view.dispatch({ effects: themeCompartment.reconfigure(getThemeExtension()) }));
}

/** Copy the editor's text to the form's field. Called before the field is read, not after every key. */
function updateField() {
  clearTimeout(timer);
  area.value = view.state.doc.toString();
  form.dataset.dirty = hasChanges();
  document.getElementById("unsaved").hidden = !hasChanges();
  updateHint();
}

function onChange() {
  clearTimeout(timer);
  form.dataset.dirty = "true"; // updateField() compares
  timer = setTimeout(() => {
    updateField();
    if (hasChanges()) saveDraft(path, getFields());
    else removeDraft(path);
  }, HINT_AFTER_MS);
}

/** Show the line and column of the first JSON error; the server validates. */
function updateHint() {
  const hint = form.querySelector("[data-json-hint]");
  hint.dataset.first ??= hint.textContent;
  let text = hint.dataset.first;
  if (area.value.trim()) {
    try {
      JSON.parse(area.value);
      text = "Valid JSON.";
    } catch (error) {
      const at = Number(/position (\d+)/.exec(error.message)?.[1] ?? NaN);
      const line = Number.isNaN(at) ? null : view.state.doc.lineAt(Math.min(at, view.state.doc.length));
      text = line ? `Not valid JSON yet, from line ${line.number}, column ${at - line.from + 1}.` : `Not valid JSON yet: ${error.message}`;
    }
  }
  if (hint.textContent !== text) hint.textContent = text;
}

/** Move the cursor to the JSON error that the server reported. */
function goToError() {
  const position = /line (\d+), column (\d+)/.exec(document.getElementById("text-error")?.textContent ?? "");
  if (!position) return;
  const line = view.state.doc.line(Math.min(Number(position[1]), view.state.doc.lines));
  const at = Math.min(line.from + Number(position[2]) - 1, line.to);
  view.dispatch({ selection: { anchor: at }, effects: EditorView.scrollIntoView(at, { y: "center" }) });
  view.focus();
}

function restoreDraft(fields) {
  for (const [name, value] of fields) if (form.elements[name]) form.elements[name].value = value;
  view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: area.value } });
  view.focus();
}

function offerDraft() {
  const draft = loadDraft(path);
  if (!draft || JSON.stringify(draft.fields) === savedFields || form.dataset.bound === "true") return;
  const bar = document.getElementById("draft");
  bar.hidden = false;
  bar.querySelector("[data-draft-age]").textContent = draft.at ? `, typed ${formatAgo(Date.now() - draft.at)}` : "";
  bar.querySelector("[data-draft-restore]").addEventListener("click", () => { restoreDraft(draft.fields); bar.hidden = true; });
  bar.querySelector("[data-draft-drop]").addEventListener("click", () => { removeDraft(path); bar.hidden = true; view.focus(); });
}

if (form) {
  startEditor();
  updateField();
  savedFields = JSON.stringify(getFields());
  document.getElementById("unsaved").hidden = true;
  offerDraft();
  if (form.dataset.bound === "true") { // the form came back with errors: nothing is saved
    savedFields = "";
    updateField();
    goToError();
  }
  form.addEventListener("input", onChange);
  form.addEventListener("submit", () => { updateField(); saveDraft(path, getFields()); markSent(path); isLeaving = true; });
  addEventListener("pageshow", () => { isLeaving = false; });
  addEventListener("pagehide", () => { if (isLeaving) return; updateField(); if (hasChanges()) saveDraft(path, getFields()); });
  addEventListener("beforeunload", (event) => { updateField(); if (!isLeaving && hasChanges()) event.preventDefault(); });
}
