// The difference between the text in the editor and a stored revision, and restoring that revision's text.
import { Chunk, unifiedMergeView } from "@codemirror/merge";
import { EditorState, Text } from "@codemirror/state";
import { EditorView, lineNumbers } from "@codemirror/view";
import { appearance, getThemeExtension } from "../code_editor.js";
import { formatAgo } from "../durations.js";
import { SIGNED_OUT, isSignedOut } from "../signed_out.js";
import { fetchRevisionFields, listDifferentSettings } from "./revision_fields.js";

const PAGE = 100; // revisions in the list

/** With a newline at the end: else a line after the last one would change that one, too. */
const ensureNewline = (text) => (text.lines > 1 && text.line(text.lines).length === 0 ? text : text.append(Text.of(["", ""])));

/** Lines that `mine` adds and removes. */
export function countChanges(theirs, mine) {
  const [before, after] = [ensureNewline(theirs), ensureNewline(mine)];
  const countLines = (text, from, to) => text.lineAt(Math.min(to, text.length)).number - text.lineAt(from).number;
  let [added, removed] = [0, 0];
  for (const chunk of Chunk.build(before, after)) {
    removed += countLines(before, chunk.fromA, chunk.toA);
    added += countLines(after, chunk.fromB, chunk.toB);
  }
  return { added, removed };
}

export class Changes {
  /** `getDoc()` is the text in the editor; `createLanguage()` its CodeMirror language; `restore(text)` replaces it, and
   * `restoreAll(fields)` fills the whole form. */
  constructor({ button, dialog, slug, nonce, form, getDoc, createLanguage, restore, restoreAll }) {
    Object.assign(this, { button, dialog, slug, nonce, form, getDoc, createLanguage, restore, restoreAll });
    this.saved = null; // the text of the stored revision
    this.select = dialog.querySelector("select");
    this.body = dialog.querySelector("[data-changes]");
    this.take = dialog.querySelector("[data-take]");
    this.takeAll = dialog.querySelector("[data-take-all]");
    this.differ = dialog.querySelector("[data-settings-differ]");
    button.addEventListener("click", () => this.open());
    this.takeAll.addEventListener("click", () => { dialog.close(); this.restoreAll(this.fields); });
    this.select.addEventListener("change", () => this.#show());
    this.take.addEventListener("click", () => { dialog.close(); this.restore(this.theirs); }); // closing moves the focus
    dialog.addEventListener("close", () => this.#clear());
  }

  setSaved(text) {
    this.saved = Text.of(text.split("\n"));
    this.update();
  }

  /** Shows the number of changed lines on the button. */
  update() {
    if (!this.saved) return;
    const { added, removed } = this.saved.eq(this.getDoc()) ? { added: 0, removed: 0 } : countChanges(this.saved, this.getDoc());
    this.button.querySelector("[data-added]").textContent = added ? `+${added}` : "";
    this.button.querySelector("[data-removed]").textContent = removed ? `−${removed}` : "";
  }

  async open(number = "") {
    this.dialog.showModal();
    this.body.textContent = "Loading…";
    const page = await this.#fetch(`?limit=${PAGE}`);
    if (!page) return;
    this.select.replaceChildren(...page.items.map((item) => new Option(`Revision ${item.number}${item.by ? `, by ${item.by}` : ""}, ${formatAgo(Date.now() - new Date(item.at))}`, item.number)));
    if (number) this.select.value = number;
    await this.#show();
  }

  async #show() {
    const number = this.select.value;
    const revision = await this.#fetch(`/${number}`);
    if (!revision || number !== this.select.value) return;
    this.#clear();
    this.theirs = revision.settings.script;
    const isSame = Text.of(this.theirs.split("\n")).eq(this.getDoc());
    this.take.hidden = isSame;
    this.take.querySelector("span").textContent = `Take the text of revision ${number}`;
    this.#showSettings(number);
    if (isSame) return this.#showText(`The text in the editor is that of revision ${number}.`);
    this.view = new EditorView({
      parent: this.body,
      state: EditorState.create({
        doc: ensureNewline(this.getDoc()),
        extensions: [
          EditorView.cspNonce.of(this.nonce), EditorState.readOnly.of(true), EditorView.editable.of(false), lineNumbers(), this.createLanguage(), appearance, getThemeExtension(),
          EditorView.contentAttributes.of({ "aria-label": "Changes", tabindex: "0" }),
          unifiedMergeView({ original: ensureNewline(Text.of(this.theirs.split("\n"))), mergeControls: false, collapseUnchanged: { margin: 3, minSize: 6 } }),
        ],
      }),
    });
  }

  async #showSettings(number) {
    [this.differ.textContent, this.takeAll.hidden] = ["", true];
    const fields = await fetchRevisionFields(location.pathname, number);
    if (number !== this.select.value) return;
    const labels = fields ? listDifferentSettings(this.form, fields) : [];
    this.fields = fields;
    this.differ.textContent = !fields ? "The settings can't be read." : labels.length ? `Settings that differ: ${labels.join(", ")}.` : "All settings are the same.";
    this.takeAll.hidden = !labels.length;
    this.takeAll.querySelector("span").textContent = `Take text and settings of revision ${number}`;
  }

  #clear() {
    this.view?.destroy();
    this.view = null;
    this.body.replaceChildren();
  }

  #showText(text) { this.body.textContent = text; }

  async #fetch(path) {
    const response = await fetch(`/api/v1/jobs/${encodeURIComponent(this.slug)}/revisions${path}`, { signal: AbortSignal.timeout(15_000) }).catch(() => null);
    if (response?.ok) return response.json();
    this.#showText(!response ? "No answer from the server." : isSignedOut(response) ? SIGNED_OUT : "This revision can't be read.");
    return null;
  }
}
