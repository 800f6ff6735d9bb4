// Checks and formats the script on the server: marks in the text, the list of problems below it, and "Format".
import { isolateHistory } from "@codemirror/commands";
import { forEachDiagnostic, lintGutter, setDiagnostics } from "@codemirror/lint";
import { diff } from "@codemirror/merge";
import { ChangeSet } from "@codemirror/state";
import { EditorView } from "@codemirror/view";
import { ToolClient } from "./tool_client.js";

const ON_SAVE = "cronium-editor-format-on-save";
const SAVE_WAIT_MS = 3000; // a save does not wait longer for the formatted text
const FORMATTED = ["bash", "python"];

export const checkExtensions = lintGutter();

/** The position of a line and column of the server, which count characters from 1. */
function findPosition(doc, line, column) {
  if (line > doc.lines) return doc.length;
  const { from, text } = doc.line(line);
  return from + [...text].slice(0, column - 1).join("").length;
}

/** The edits from one text to the other: the cursor and the undo steps follow them. */
export function listEdits(before, after) {
  return diff(before, after, { scanLimit: 500, timeout: 500 }).map(({ fromA, toA, fromB, toB }) => ({ from: fromA, to: toA, insert: after.slice(fromB, toB) }));
}

export class ScriptChecks {
  /** `strip`: the element with the problems. */
  constructor({ strip, view, getLanguage, token, form }) {
    const buttons = Object.fromEntries(["check", "format", "onSave"].map((name) => [name, form.querySelector(`[data-lint="${name}"]`)]));
    Object.assign(this, { strip, view, getLanguage, form, buttons, client: new ToolClient(token) });
    this.status = strip.querySelector("[data-lint-status]");
    this.list = strip.querySelector("[data-lint-list]");
    this.changes = ChangeSet.empty(view.state.doc.length); // since the text that is being checked, or was
    this.cancel = new AbortController();
    buttons.check.addEventListener("click", () => this.check());
    buttons.format.addEventListener("click", () => this.format());
    buttons.onSave.checked = readOnSave();
    buttons.onSave.addEventListener("change", () => saveOnSave(buttons.onSave.checked));
    this.updateLanguage();
    const known = document.getElementById("known-problems"); // of the text of the page
    if (known) this.#showAnswer(JSON.parse(known.textContent));
  }

  updateLanguage() {
    const isFormatted = FORMATTED.includes(this.getLanguage());
    this.buttons.format.disabled = !isFormatted;
    this.buttons.format.title = isFormatted ? "Format the script (Shift-Alt-F)" : "Node.js scripts can't be formatted here.";
  }

  /** To be called for each update of the view. */
  onUpdate(update) {
    if (!update.docChanged) return;
    this.changes = this.changes.compose(update.changes);
    this.strip.classList.add("is-stale");
  }

  async check() {
    const [doc, language] = [this.view.state.doc, this.getLanguage()];
    this.cancel.abort();
    this.cancel = new AbortController();
    this.changes = ChangeSet.empty(doc.length);
    const { signal } = this.cancel;
    this.#report("Checking…");
    const answer = await this.client.ask("check", language, doc.toString(), signal).catch(() => null);
    if (signal.aborted || !answer) return;
    this.#showAnswer(answer, doc);
  }

  /** Resolves to true if the text in the editor is formatted now. */
  async format() {
    const [doc, language] = [this.view.state.doc, this.getLanguage()];
    if (!FORMATTED.includes(language)) return false;
    this.#report("Formatting…");
    const answer = await this.client.ask("format", language, doc.toString(), new AbortController().signal);
    if (answer.state !== "done") return this.#report(`Not formatted: ${answer.message}`), false;
    if (!this.view.state.doc.eq(doc)) return this.#report("Not formatted: the text was changed meanwhile."), false;
    if (answer.formatted === null) return this.#report("The text is formatted already."), true;
    const changes = listEdits(doc.toString(), answer.formatted);
    this.view.dispatch({ changes, annotations: isolateHistory.of("full"), userEvent: "format" });
    this.#report("Formatted. Ctrl-Z takes it back.");
    return true;
  }

  /** With "Format on save": holds a save back until the text is formatted, for three seconds at most. */
  holdForFormat(event) {
    const { submitter } = event;
    if (this.isFormatted || !this.buttons.onSave.checked || !FORMATTED.includes(this.getLanguage()) || submitter?.value === "try") return false;
    event.preventDefault();
    if (this.isHolding) return true;
    this.isHolding = true;
    const pause = new Promise((resolve) => { setTimeout(resolve, SAVE_WAIT_MS); });
    Promise.race([this.format().catch(() => false), pause]).then(() => {
      this.isHolding = false;
      this.isFormatted = true;
      this.form.requestSubmit(submitter);
      this.isFormatted = false;
    });
    return true;
  }

  #report(text) {
    this.strip.hidden = false;
    this.status.textContent = text;
  }

  #showAnswer(answer, doc = this.view.state.doc) {
    if (answer.state !== "done") {
      this.#show([], []);
      return this.#report(`Not checked: ${answer.message}`);
    }
    const convert = (position) => this.changes.mapPos(position);
    const diagnostics = answer.problems.map((problem) => {
      const from = convert(findPosition(doc, problem.line, problem.column));
      const to = Math.max(from, convert(findPosition(doc, problem.end_line, problem.end_column)));
      return { from, to, severity: problem.severity, source: problem.tool, message: `${problem.message} (${problem.rule})` };
    });
    this.#show(answer.problems, diagnostics);
    const number = `${answer.problems.length}${answer.more ? " or more" : ""}`;
    this.#report(answer.problems.length ? `${number} problem${answer.problems.length === 1 ? "" : "s"} in the text` : "No problems found.");
    if (this.changes.empty) this.strip.classList.remove("is-stale");
  }

  #show(problems, diagnostics) {
    this.view.dispatch(setDiagnostics(this.view.state, diagnostics));
    this.list.replaceChildren(...problems.map((problem, index) => this.#buildRow(problem, diagnostics[index])));
    this.list.hidden = !problems.length;
    this.buttons.check.querySelector("[data-lint-count]").textContent = problems.length || "";
  }

  #buildRow(problem, diagnostic) {
    const row = document.createElement("li");
    row.className = `lint-${problem.severity}`;
    const jump = Object.assign(document.createElement("button"), { type: "button", className: "lint-jump" });
    const kind = Object.assign(document.createElement("b"), { textContent: problem.severity === "error" ? "Error" : "Warning" });
    const line = Object.assign(document.createElement("span"), { className: "num", textContent: `line ${problem.line}` });
    jump.append(kind, " ", line, " ", Object.assign(document.createElement("span"), { className: "lint-words", textContent: problem.message }));
    jump.addEventListener("click", () => this.#jump(diagnostic));
    row.append(jump, this.#buildRule(problem));
    return row;
  }

  #buildRule({ rule, url, tool }) {
    if (!url.startsWith("https://")) return Object.assign(document.createElement("span"), { className: "mono meta", textContent: rule });
    const link = Object.assign(document.createElement("a"), { className: "mono", href: url, target: "_blank", rel: "noopener noreferrer", textContent: rule });
    link.setAttribute("aria-label", `${rule}, the page of ${tool}`);
    return link;
  }

  #jump(diagnostic) {
    forEachDiagnostic(this.view.state, (found, from, to) => {
      if (found === diagnostic) this.view.dispatch({ selection: { anchor: from, head: to }, effects: EditorView.scrollIntoView(from, { y: "center" }) });
    });
    this.view.focus();
  }
}

function readOnSave() {
  try {
    return localStorage.getItem(ON_SAVE) === "on";
  } catch {
    return false;
  }
}

function saveOnSave(isOn) {
  try {
    localStorage.setItem(ON_SAVE, isOn ? "on" : "off");
  } catch {
    // only a preference
  }
}
