// The editor of a variable: JSON with highlighting, a hint while typing, drafts. Without it the form still works.
import { indentWithTab } from "@codemirror/commands";
import { json } from "@codemirror/lang-json";
import { Compartment, EditorState } from "@codemirror/state";
import { EditorView, keymap } from "@codemirror/view";
import { basicSetup } from "codemirror";
import { isDark, looks, typeOver } from "./code_editor.js";
import { dropDraft, loadDraft, markSent, saveDraft } from "./drafts.js";
import { ago } from "./durations.js";

const HINT_AFTER_MS = 300;
const form = document.getElementById("variable-form");
const area = form?.elements.text;
const path = location.pathname;
// The version is no draft: what is brought back is compared with the value that was looked at since.
const fieldsNow = () => [...new FormData(form)].filter(([name]) => !["csrfmiddlewaretoken", "version"].includes(name));
let view = null;
let clean = "";
let leaving = false;
let timer = null;
const dirty = () => JSON.stringify(fieldsNow()) !== clean;

function startEditor() {
  const dark = new Compartment();
  const described = { "aria-labelledby": "text-label", "aria-describedby": area.getAttribute("aria-describedby") };
  if (area.getAttribute("aria-invalid")) described["aria-invalid"] = "true";
  view = new EditorView({
    state: EditorState.create({
      doc: area.value,
      extensions: [
        EditorView.cspNonce.of(form.dataset.nonce),
        keymap.of(["Mod-s", "Mod-Enter"].map((key) => ({ key, run: () => (form.requestSubmit(), true) }))),
        typeOver, basicSetup, keymap.of([indentWithTab]), json(), dark.of(isDark()), looks,
        EditorView.contentAttributes.of({ tabindex: "0", ...described }),
        EditorView.updateListener.of((update) => { if (update.docChanged) changed(); }),
      ],
    }),
  });
  area.after(view.dom);
  area.parentElement.classList.add("has-cm");
  document.getElementById("text-label").addEventListener("click", () => view.focus());
  document.addEventListener("cronium:theme", () => view.dispatch({ effects: dark.reconfigure(isDark()) }));
}

/** The form's own field is as new as the editor; copied before it is read, not at every key. */
function settle() {
  clearTimeout(timer);
  area.value = view.state.doc.toString();
  form.dataset.dirty = dirty();
  document.getElementById("unsaved").hidden = !dirty();
  say();
}

function changed() {
  clearTimeout(timer);
  form.dataset.dirty = "true"; // until it is compared
  timer = setTimeout(() => {
    settle();
    if (dirty()) saveDraft(path, fieldsNow());
    else dropDraft(path);
  }, HINT_AFTER_MS);
}

/** Where it stops being JSON, as line and column; the server decides. */
function say() {
  const hint = form.querySelector("[data-json-hint]");
  hint.dataset.first ??= hint.textContent;
  let words = hint.dataset.first;
  if (area.value.trim()) {
    try {
      JSON.parse(area.value);
      words = "Valid JSON.";
    } catch (error) {
      const at = Number(/position (\d+)/.exec(error.message)?.[1] ?? NaN);
      const line = Number.isNaN(at) ? null : view.state.doc.lineAt(Math.min(at, view.state.doc.length));
      words = line ? `Not valid JSON yet, from line ${line.number}, column ${at - line.from + 1}.` : `Not valid JSON yet: ${error.message}`;
    }
  }
  if (hint.textContent !== words) hint.textContent = words;
}

/** The cursor goes to where the server's answer says that it stops being JSON. */
function goToError() {
  const found = /line (\d+), column (\d+)/.exec(document.getElementById("text-error")?.textContent ?? "");
  if (!found) return;
  const line = view.state.doc.line(Math.min(Number(found[1]), view.state.doc.lines));
  const at = Math.min(line.from + Number(found[2]) - 1, line.to);
  view.dispatch({ selection: { anchor: at }, effects: EditorView.scrollIntoView(at, { y: "center" }) });
  view.focus();
}

function restore(fields) {
  for (const [name, value] of fields) if (form.elements[name]) form.elements[name].value = value;
  view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: area.value } });
  view.focus();
}

function offerDraft() {
  const draft = loadDraft(path);
  if (!draft || JSON.stringify(draft.fields) === clean || form.dataset.bound === "true") return;
  const bar = document.getElementById("draft");
  bar.hidden = false;
  bar.querySelector("[data-draft-age]").textContent = draft.at ? `, typed ${ago(Date.now() - draft.at)}` : "";
  bar.querySelector("[data-draft-restore]").addEventListener("click", () => { restore(draft.fields); bar.hidden = true; });
  bar.querySelector("[data-draft-drop]").addEventListener("click", () => { dropDraft(path); bar.hidden = true; view.focus(); });
}

if (form) {
  startEditor();
  settle();
  clean = JSON.stringify(fieldsNow());
  document.getElementById("unsaved").hidden = true;
  offerDraft();
  if (form.dataset.bound === "true") { // what came back was not saved
    clean = "";
    settle();
    goToError();
  }
  form.addEventListener("input", changed);
  form.addEventListener("submit", () => { settle(); saveDraft(path, fieldsNow()); markSent(path); leaving = true; });
  addEventListener("pageshow", () => { leaving = false; });
  addEventListener("pagehide", () => { if (leaving) return; settle(); if (dirty()) saveDraft(path, fieldsNow()); });
  addEventListener("beforeunload", (event) => { settle(); if (!leaving && dirty()) event.preventDefault(); });
}
