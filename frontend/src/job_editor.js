// The job editor: syntax highlighting, rows of environment variables, drafts and shortcuts. The form works without it.
import { indentWithTab } from "@codemirror/commands";
import { javascript } from "@codemirror/lang-javascript";
import { python } from "@codemirror/lang-python";
import { StreamLanguage, indentUnit } from "@codemirror/language";
import { openSearchPanel, search } from "@codemirror/search";
import { shell } from "@codemirror/legacy-modes/mode/shell";
import { Compartment, EditorState } from "@codemirror/state";
import { EditorView, keymap } from "@codemirror/view";
import { basicSetup } from "codemirror";
import { appearance, getThemeExtension, selectionTyping } from "./code_editor.js";
import { loadDraft, markSent, removeDraft, saveDraft } from "./drafts.js";
import { formatAgo } from "./durations.js";
import { Changes } from "./editor/changes.js";
import { EnvRows, revealField, startJsonHint } from "./editor/fields.js";
import { fillForm } from "./editor/form_fields.js";
import { HelpersPanel } from "./editor/helpers_panel.js";
import { InPlaceForm } from "./editor/in_place.js";
import { startInputSection } from "./editor/input_section.js";
import { jumpToHash, markedLine } from "./editor/marked_line.js";
import { RunPane } from "./editor/run_pane.js";
import { ScriptChecks, checkExtensions } from "./editor/script_checks.js";
import { SecretDialog } from "./editor/secret_dialog.js";
import { Summaries } from "./editor/summaries.js";
import { startImageChoice } from "./image_choice.js";

const form = document.getElementById("job-form");
const path = location.pathname;
const LANGUAGES = { bash: () => StreamLanguage.define(shell), python, node: () => javascript() };

let savedFields = ""; // of getFields(), as JSON
let isLeaving = false;
let view = null;
let imageChoice = null;
let [summaries, helpersPanel, changes, checks, inputSection] = [null, null, null, null, null];
const area = form?.elements.script;
const NOT_TYPED = ["csrfmiddlewaretoken", "revision"];
const getFields = () => [...new FormData(form)].filter(([name]) => !NOT_TYPED.includes(name));
const getLanguage = () => form.elements.language.value;
const hasChanges = () => JSON.stringify(getFields()) !== savedFields || Boolean(inputSection?.hasEdits());

const createLanguage = () => LANGUAGES[getLanguage()]();
const setText = (text) => view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: text } });

function startEditor() {
  const languageCompartment = new Compartment();
  const themeCompartment = new Compartment();
  const createIndent = () => indentUnit.of(getLanguage() === "python" ? "    " : "  ");
  view = new EditorView({
    state: EditorState.create({
      doc: area.value,
      extensions: [
        EditorView.cspNonce.of(form.dataset.nonce),
        keymap.of([
          { key: "Mod-Enter", run: () => (submitForm("run"), true) }, { key: "Mod-s", run: () => (submitForm("save"), true) },
          { key: "Shift-Alt-f", run: () => (checks?.format(), Boolean(checks)) }, { key: "Shift-Alt-c", run: () => (checks?.check(), Boolean(checks)) },
        ]),
        selectionTyping, markedLine, search({ top: true }), basicSetup, checkExtensions, keymap.of([indentWithTab]), languageCompartment.of([createLanguage(), createIndent()]), themeCompartment.of(getThemeExtension()), appearance,
        EditorView.contentAttributes.of({
          "aria-label": "Script", tabindex: "0", "aria-describedby": "script-hint", ...(area.getAttribute("aria-invalid") ? { "aria-invalid": "true" } : {}),
        }),
        EditorView.updateListener.of((update) => { checks?.onUpdate(update); if (update.docChanged) { area.value = view.state.doc.toString(); onChange(); } }),
      ],
    }),
  });
  area.after(view.dom);
  area.parentElement.classList.add("has-cm");
  document.addEventListener("cronium:theme", () => view.dispatch({ effects: themeCompartment.reconfigure(getThemeExtension()) }));
  for (const radio of form.elements.language) {
    radio.addEventListener("change", () => {
      view.dispatch({ effects: languageCompartment.reconfigure([createLanguage(), createIndent()]) });
      offerStarter();
      showImageNote();
      checks?.updateLanguage();
    });
  }
}

/** After a change of language: replaces an unchanged starter script; for another script, offers the new starter. */
function offerStarter() {
  const starters = JSON.parse(document.getElementById("starters").textContent);
  const text = area.value.trim();
  const isEdited = text && !Object.values(starters).some((starter) => starter.trim() === text);
  const offer = document.getElementById("starter-offer");
  offer.hidden = !isEdited;
  offer.querySelector("[data-language]").textContent = form.querySelector('[name="language"]:checked').closest("label").textContent.trim();
  if (!isEdited) insertStarter();
}

function insertStarter() {
  const starters = JSON.parse(document.getElementById("starters").textContent);
  document.getElementById("starter-offer").hidden = true;
  setText(starters[getLanguage()]);
}

function showImageNote() {
  for (const note of form.querySelectorAll("[data-image-for]")) note.hidden = note.dataset.imageFor !== getLanguage();
  imageChoice.showChoice();
}

// ---- drafts, submit, leaving the page
let draftTimer = null;
function onChange() {
  clearTimeout(draftTimer);
  draftTimer = setTimeout(() => {
    if (hasChanges()) saveDraft(path, getFields());
    else removeDraft(path);
    changes?.update();
  }, 400);
  imageChoice.checkLater();
  const isChanged = hasChanges();
  form.dataset.dirty = isChanged;
  for (const id of ["unsaved", "discard"]) document.getElementById(id).hidden = !isChanged;
  if (isChanged) showSaid("");
  summaries.update();
  helpersPanel.updateLater();
}

const getButton = (action) => document.querySelector(`.savebar button.btn[name="then"][value="${action}"]`);

/** `action`: save or run. */
function submitForm(action) {
  form.requestSubmit(getButton(action));
}

// ---- in place
function showSaid(text, isError = false) {
  const said = document.getElementById("said");
  said.textContent = text;
  said.classList.toggle("err", isError);
}

/** The form as it was sent is what the server has now; what was typed since stays unsaved. */
function onSaved(sentFields, { revision, name }) {
  savedFields = sentFields;
  if (form.elements.revision) form.elements.revision.value = revision;
  const savedAs = document.getElementById("saved-as");
  if (savedAs) savedAs.textContent = `Revision ${revision}`;
  document.title = document.title.replace(/^Edit .* · /, () => `Edit ${name} · `);
  form.dataset.bound = "false";
  changes?.setSaved(JSON.parse(sentFields).find(([field]) => field === "script")[1].replace(/\r\n?/g, "\n"));
  for (const id of ["problems", "conflict", "restored-note"]) document.getElementById(id)?.remove();
  removeDraft(path);
  onChange();
  checks?.check();
}

function startInPlace() {
  const [main, cancel] = [getButton("run"), document.getElementById("cancel-live")];
  const pane = new RunPane({
    box: document.getElementById("run-pane"), separator: document.getElementById("pane-splitter"),
    token: () => form.elements.csrfmiddlewaretoken.value,
    onLiveChange: (isLive, isCancelling) => {
      const hadFocus = [main, cancel].includes(document.activeElement);
      main.hidden = isLive;
      cancel.hidden = !isLive;
      cancel.disabled = isCancelling;
      cancel.querySelector("span").textContent = isCancelling ? "Cancelling…" : "Cancel the run";
      if (hadFocus) (isLive ? cancel : main).focus();
    },
    onClose: () => view.focus(),
  });
  cancel.addEventListener("click", () => pane.cancel());
  let sentFields = "";
  const inPlace = new InPlaceForm(form, { pane, say: showSaid, isNew: path.endsWith("/jobs/new/"), onSaved: (saved) => {
    onSaved(sentFields, saved);
    if (!path.endsWith("/jobs/new/")) return;
    if (hasChanges()) saveDraft(saved.address, getFields()); // typed since: its editor offers it
    isLeaving = true;
  } });
  form.addEventListener("submit", (event) => {
    saveDraft(path, getFields());
    if (checks?.holdForFormat(event)) return;
    if (!inPlace.isSending) sentFields = JSON.stringify(getFields());
    if (inPlace.handle(event.submitter)) return event.preventDefault();
    markSent(path);
    isLeaving = true;
  });
  pane.reopen();
}

function restoreDraft(fields) {
  fillForm(form, fields);
  setText(area.value);
  inputSection.refresh();
  form.elements.language.forEach?.((radio) => radio.checked && radio.dispatchEvent(new Event("change")));
  document.getElementById("starter-offer").hidden = true; // the text is that of its language
  onChange();
}

function offerDraft() {
  const draft = loadDraft(path);
  if (!draft || JSON.stringify(draft.fields) === savedFields || form.dataset.bound === "true" || form.dataset.changed === "true") return;
  const bar = document.getElementById("draft");
  bar.hidden = false;
  bar.querySelector("[data-draft-age]").textContent = draft.at ? `, typed ${formatAgo(Date.now() - draft.at)}` : "";
  bar.querySelector("[data-draft-restore]").addEventListener("click", () => { restoreDraft(draft.fields); bar.hidden = true; view.focus(); });
  bar.querySelector("[data-draft-drop]").addEventListener("click", () => { removeDraft(path); bar.hidden = true; view.focus(); });
}

function discardChanges() {
  removeDraft(path);
  isLeaving = true;
  location.replace(path);
}

// ---- beside the script
function giveSecret(name) {
  let box = [...form.querySelectorAll('[name="secrets"]')].find((other) => other.value === name);
  if (!box) {
    const label = document.createElement("label");
    label.className = "check";
    box = Object.assign(document.createElement("input"), { type: "checkbox", name: "secrets", value: name });
    label.append(box, Object.assign(document.createElement("span"), { className: "mono wrap-any", textContent: name }));
    document.getElementById("secrets-hint").before(label);
  }
  box.checked = true;
  onChange();
  helpersPanel.update();
}

/** Puts a helper's call at the cursor, and the line that it needs at the top of the script. */
function insertHelper(text, line) {
  const { doc, selection } = view.state;
  const edits = [{ from: selection.main.from, to: selection.main.to, insert: text }];
  if (line && !doc.toString().includes(line)) {
    const isBehindFirst = /^(#!|"""|'use strict'|"use strict")/.test(doc.line(1).text) && doc.lines > 1 && doc.line(1).text.startsWith("#!");
    const at = isBehindFirst ? doc.line(2).from : 0;
    if (at <= selection.main.from) edits.unshift({ from: at, insert: `${line}\n` });
  }
  view.dispatch({ changes: edits, userEvent: "input" });
  view.focus();
}

function startPanels() {
  const envRows = new EnvRows(form, onChange);
  const getToken = () => form.elements.csrfmiddlewaretoken.value;
  const dialog = document.getElementById("new-secret");
  const secretDialog = dialog && new SecretDialog(dialog, { token: getToken, onStored: giveSecret });
  summaries = new Summaries(form);
  helpersPanel = new HelpersPanel({
    form, getLanguage, insert: insertHelper, giveSecret, addVariable: (name) => envRows.add(name), getText: () => area.value,
    askForSecret: secretDialog && ((name) => secretDialog.open(name)),
  });
  form.querySelector("[data-new-secret]")?.addEventListener("click", () => secretDialog.open());
  summaries.update();
  const strip = document.getElementById("script-problems");
  if (strip) checks = new ScriptChecks({ strip, view, getLanguage, token: getToken, form });
  const changesDialog = document.getElementById("changes");
  if (!changesDialog) return;
  changes = new Changes({
    dialog: changesDialog, button: document.getElementById("show-changes"), slug: changesDialog.dataset.slug, nonce: form.dataset.nonce,
    getDoc: () => view.state.doc, createLanguage, form, restore: (text) => { setText(text); view.focus(); }, restoreAll: (fields) => { restoreDraft(fields); view.focus(); },
  });
  changes.setSaved(JSON.parse(document.getElementById("saved-script").textContent));
  const conflict = document.getElementById("conflict");
  conflict?.querySelector("[data-compare]")?.addEventListener("click", () => changes.open(conflict.dataset.revision));
  // Mine stays as a draft: the editor offers it.
  conflict?.querySelector("[data-take-theirs]")?.addEventListener("click", () => { saveDraft(path, getFields()); isLeaving = true; });
}

if (form) {
  startEditor();
  imageChoice = startImageChoice(form, getLanguage);
  document.querySelector("[data-starter]").addEventListener("click", () => { insertStarter(); view.focus(); });
  document.querySelector("[data-keep-text]").addEventListener("click", () => { document.getElementById("starter-offer").hidden = true; view.focus(); });
  const find = document.getElementById("find-in-script");
  find.hidden = false;
  find.addEventListener("click", () => openSearchPanel(view));
  startPanels();
  document.querySelector("[data-discard]").addEventListener("click", discardChanges);
  startJsonHint(form);
  inputSection = startInputSection(form, (why) => showSaid(`Not saved. The fields of the input: ${why}`, true));
  showImageNote();
  savedFields = JSON.stringify(getFields());
  offerDraft();
  if (form.dataset.bound === "true" || form.dataset.changed === "true") { // it came back with errors, or has another image
    savedFields = "";
    onChange();
  }
  form.addEventListener("input", onChange);
  form.addEventListener("change", onChange);
  startInPlace();
  jumpToHash(view);
  addEventListener("hashchange", () => jumpToHash(view));
  addEventListener("pageshow", () => { isLeaving = false; });
  addEventListener("pagehide", () => { if (!isLeaving && hasChanges()) saveDraft(path, getFields()); }); // the timer would fire too late
  addEventListener("beforeunload", (event) => { if (!isLeaving && hasChanges()) event.preventDefault(); });
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || !(event.ctrlKey || event.metaKey)) return;
    if (event.key === "s") { event.preventDefault(); submitForm("save"); }
    if (event.key === "Enter") { event.preventDefault(); submitForm("run"); }
  });
  document.getElementById("problems")?.addEventListener("click", (event) => {
    const field = document.getElementById(event.target.closest("a")?.hash.slice(1));
    if (field) revealField(field);
  });
  for (const link of document.querySelectorAll("[data-focus-script]")) link.addEventListener("click", (event) => { event.preventDefault(); view.focus(); });
}
