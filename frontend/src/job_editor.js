// The job editor: code with highlighting, rows of variables, drafts and short cuts. Without it the form still works.
import { indentWithTab } from "@codemirror/commands";
import { javascript } from "@codemirror/lang-javascript";
import { python } from "@codemirror/lang-python";
import { StreamLanguage, indentUnit } from "@codemirror/language";
import { shell } from "@codemirror/legacy-modes/mode/shell";
import { Compartment, EditorState } from "@codemirror/state";
import { EditorView, keymap } from "@codemirror/view";
import { basicSetup } from "codemirror";
import { isDark, looks, typeOver } from "./code_editor.js";
import { dropDraft, loadDraft, markSent, saveDraft } from "./drafts.js";
import { ago } from "./durations.js";

const form = document.getElementById("job-form");
const path = location.pathname;
const LANGUAGES = { bash: () => StreamLanguage.define(shell), python, node: () => javascript() };

let clean = "";
let leaving = false;
let view = null;
const area = form?.elements.script;
const fieldsNow = () => [...new FormData(form)].filter(([name]) => name !== "csrfmiddlewaretoken");
const chosen = () => form.elements.language.value;
const dirty = () => JSON.stringify(fieldsNow()) !== clean;

function startEditor() {
  const language = new Compartment();
  const dark = new Compartment();
  const speak = () => LANGUAGES[chosen()]();
  const indent = () => indentUnit.of(chosen() === "python" ? "    " : "  ");
  view = new EditorView({
    state: EditorState.create({
      doc: area.value,
      extensions: [
        EditorView.cspNonce.of(form.dataset.nonce),
        keymap.of([{ key: "Mod-Enter", run: () => (send("run"), true) }, { key: "Mod-s", run: () => (send("save"), true) }]),
        typeOver, basicSetup, keymap.of([indentWithTab]), language.of([speak(), indent()]), dark.of(isDark()), looks,
        EditorView.contentAttributes.of({
          "aria-label": "Script", tabindex: "0", "aria-describedby": "script-hint", ...(area.getAttribute("aria-invalid") ? { "aria-invalid": "true" } : {}),
        }),
        EditorView.updateListener.of((update) => { if (update.docChanged) { area.value = view.state.doc.toString(); changed(); } }),
      ],
    }),
  });
  area.after(view.dom);
  area.parentElement.classList.add("has-cm");
  document.addEventListener("cronium:theme", () => view.dispatch({ effects: dark.reconfigure(isDark()) }));
  for (const radio of form.elements.language) {
    radio.addEventListener("change", () => {
      view.dispatch({ effects: language.reconfigure([speak(), indent()]) });
      offerStarter();
      showImage();
    });
  }
}

/** Another language keeps the text and offers its example; a starter that nobody touched gives way to it at once. */
function offerStarter() {
  const starters = JSON.parse(document.getElementById("starters").textContent);
  const text = area.value.trim();
  const isOwn = text && !Object.values(starters).some((starter) => starter.trim() === text);
  const offer = document.getElementById("starter-offer");
  offer.hidden = !isOwn;
  offer.querySelector("[data-language]").textContent = form.querySelector('[name="language"]:checked').closest("label").textContent.trim();
  if (!isOwn) takeStarter();
}

function takeStarter() {
  const starters = JSON.parse(document.getElementById("starters").textContent);
  document.getElementById("starter-offer").hidden = true;
  view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: starters[chosen()] } });
}

function showImage() {
  for (const note of form.querySelectorAll("[data-image-for]")) note.hidden = note.dataset.imageFor !== chosen();
}

// ---- variables: rows that can be added and taken away
function rows() {
  const list = document.getElementById("env-rows");
  const template = document.getElementById("env-row");
  form.addEventListener("click", (event) => {
    if (event.target.closest("[data-env-add]")) {
      list.append(template.content.cloneNode(true));
      list.lastElementChild.querySelector("input").focus();
      changed();
    }
    const remove = event.target.closest("[data-env-remove]");
    if (!remove) return;
    const row = remove.closest(".env-row");
    const next = row.nextElementSibling || row.previousElementSibling;
    row.remove();
    (next?.querySelector("input") || form.querySelector("[data-env-add]")).focus();
    changed();
  });
}

// ---- hints while typing; the server decides
function jsonHint() {
  const field = form.elements.input_text;
  const hint = document.getElementById("input-hint");
  const say = () => {
    let words = "Any JSON value. Empty: none.";
    if (field.value.trim()) {
      try {
        JSON.parse(field.value);
        words = "Valid JSON.";
      } catch (error) {
        words = `Not valid JSON yet: ${error.message}`;
      }
    }
    if (hint.textContent !== words) hint.textContent = words;
  };
  field.addEventListener("input", say);
  if (field.value.trim()) say();
}

// ---- drafts, sending, leaving
let draftTimer = null;
function changed() {
  clearTimeout(draftTimer);
  draftTimer = setTimeout(() => (dirty() ? saveDraft(path, fieldsNow()) : dropDraft(path)), 400);
  form.dataset.dirty = dirty();
  document.getElementById("unsaved").hidden = !dirty();
}

function send(then) {
  form.requestSubmit(form.querySelector(`button[name="then"][value="${then}"]`));
}

function restore(fields) {
  const values = (name) => fields.filter(([key]) => key === name).map(([, value]) => value);
  const [names, texts] = [values("env_name"), values("env_value")];
  const list = document.getElementById("env-rows");
  list.replaceChildren();
  names.forEach((name, at) => {
    list.append(document.getElementById("env-row").content.cloneNode(true));
    list.lastElementChild.querySelector("input").value = name;
    list.lastElementChild.querySelector("textarea").value = texts[at];
  });
  for (const element of form.elements) {
    if (!element.name || element.name.startsWith("env_") || element.type === "hidden" || element.type === "submit") continue;
    if (element.type === "radio" || element.type === "checkbox") element.checked = values(element.name).includes(element.value);
    else element.value = values(element.name)[0] ?? "";
  }
  view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: area.value } });
  form.elements.language.forEach?.((radio) => radio.checked && radio.dispatchEvent(new Event("change")));
  changed();
}

function offerDraft() {
  const draft = loadDraft(path);
  if (!draft || JSON.stringify(draft.fields) === clean || form.dataset.bound === "true") return;
  const bar = document.getElementById("draft");
  bar.hidden = false;
  bar.querySelector("[data-draft-age]").textContent = draft.at ? `, typed ${ago(Date.now() - draft.at)}` : "";
  bar.querySelector("[data-draft-restore]").addEventListener("click", () => { restore(draft.fields); bar.hidden = true; view.focus(); });
  bar.querySelector("[data-draft-drop]").addEventListener("click", () => { dropDraft(path); bar.hidden = true; view.focus(); });
}

if (form) {
  startEditor();
  document.querySelector("[data-starter]").addEventListener("click", () => { takeStarter(); view.focus(); });
  rows();
  jsonHint();
  showImage();
  clean = JSON.stringify(fieldsNow());
  offerDraft();
  if (form.dataset.bound === "true") { // what came back with errors is not saved yet
    clean = "";
    changed();
  }
  form.addEventListener("input", changed);
  form.addEventListener("change", changed);
  form.addEventListener("submit", () => { saveDraft(path, fieldsNow()); markSent(path); leaving = true; });
  addEventListener("pageshow", () => { leaving = false; });
  addEventListener("pagehide", () => { if (!leaving && dirty()) saveDraft(path, fieldsNow()); }); // the timer comes too late
  addEventListener("beforeunload", (event) => { if (!leaving && dirty()) event.preventDefault(); });
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || !(event.ctrlKey || event.metaKey)) return;
    if (event.key === "s") { event.preventDefault(); send("save"); }
    if (event.key === "Enter" && form.querySelector('button[value="run"]')) { event.preventDefault(); send("run"); }
  });
  for (const link of document.querySelectorAll("[data-focus-script]")) link.addEventListener("click", (event) => { event.preventDefault(); view.focus(); });
}
