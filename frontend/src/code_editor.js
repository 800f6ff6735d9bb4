// CodeMirror settings shared by the editors: the dashboard's colours and labels, and workarounds for the content security
// policy.
import { HighlightStyle, syntaxHighlighting } from "@codemirror/language";
import { EditorState } from "@codemirror/state";
import { EditorView } from "@codemirror/view";
import { tags } from "@lezer/highlight";

const highlight = HighlightStyle.define([
  { tag: [tags.keyword, tags.operatorKeyword, tags.controlKeyword, tags.definitionKeyword], color: "var(--c-magenta)" },
  { tag: [tags.string, tags.special(tags.string), tags.regexp], color: "var(--c-green)" },
  { tag: [tags.comment], color: "var(--c-grey)", fontStyle: "italic" },
  { tag: [tags.number, tags.bool, tags.null, tags.atom], color: "var(--c-amber)" },
  { tag: [tags.function(tags.variableName), tags.definition(tags.variableName), tags.className, tags.standard(tags.name)], color: "var(--c-blue)" },
  { tag: [tags.propertyName, tags.meta, tags.typeName], color: "var(--c-cyan)" },
  { tag: [tags.invalid], color: "var(--c-red)" },
]);
const theme = EditorView.theme({
  "&": { color: "var(--c-text)", backgroundColor: "var(--c-log)", height: "100%" },
  "&.cm-focused": { outline: "2px solid var(--c-accent)", outlineOffset: "-2px" },
  ".cm-gutters": { backgroundColor: "var(--c-log)", color: "var(--c-no)", border: "0", borderRight: "1px solid var(--c-line)" },
  ".cm-activeLine, .cm-activeLineGutter": { backgroundColor: "color-mix(in srgb, var(--c-accent) 7%, transparent)" },
  ".cm-activeLineGutter": { color: "var(--c-text)" },
  ".cm-content": { caretColor: "var(--c-accent)" },
  ".cm-cursor": { borderLeftColor: "var(--c-accent)" },
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground": { backgroundColor: "color-mix(in srgb, var(--c-accent) 28%, transparent) !important" },
  ".cm-panel.cm-search": { display: "flex", flexWrap: "wrap", alignItems: "center", gap: "6px", padding: "6px 8px", fontFamily: "inherit", position: "relative" },
  ".cm-panel.cm-search br": { display: "none" },
  ".cm-panel.cm-search .cm-textfield": { flex: "1 1 160px", minWidth: "0", maxWidth: "260px", minHeight: "28px", margin: "0", padding: "3px 9px", border: "1px solid var(--c-edge)", borderRadius: "6px", background: "var(--c-surface)", color: "var(--c-text)", font: "13px/18px var(--c-mono)" },
  ".cm-panel.cm-search .cm-button, .cm-panel.cm-search label": { display: "inline-flex", alignItems: "center", gap: "5px", minHeight: "28px", margin: "0", padding: "0 9px", border: "1px solid var(--c-line)", borderRadius: "6px", background: "var(--c-surface)", color: "var(--c-text)", fontFamily: "inherit", fontSize: "13px", fontWeight: "500", lineHeight: "18px", cursor: "pointer" },
  ".cm-panel.cm-search label:has(:checked)": { borderColor: "var(--c-accent)", color: "var(--c-accent)" },
  ".cm-panel.cm-search label input": { margin: "0", accentColor: "var(--c-accent)" },
  ".cm-panel.cm-search [name=close]": { position: "static", marginLeft: "auto", width: "28px", height: "28px", fontSize: "18px", color: "var(--c-text)", cursor: "pointer" },
  ".cm-panels": { backgroundColor: "var(--c-surface)", color: "var(--c-text)" },
  ".cm-tooltip": { backgroundColor: "var(--c-surface)", borderColor: "var(--c-line)", color: "var(--c-text)" },
});

// When the user types over a selection of several lines, the browser would join them with inline styles, which the
// policy blocks.
export const selectionTyping = EditorView.domEventHandlers({
  beforeinput(event, editor) {
    const { from, to } = editor.state.selection.main;
    if (event.inputType !== "insertText" || !event.data || from === to || editor.composing) return false;
    const insert = () => editor.state.update(editor.state.replaceSelection(event.data), { userEvent: "input.type" });
    const handlers = editor.state.facet(EditorView.inputHandler);
    if (!handlers.some((handler) => handler(editor, from, to, event.data, insert))) editor.dispatch(insert());
    event.preventDefault();
    return true;
  },
});

// The same labels as in the log's find bar.
const phrases = EditorState.phrases.of({
  "next": "Next", "previous": "Previous", "all": "Select all", "match case": "Match case", "regexp": "Regular expression",
  "by word": "Whole words", "replace": "Replace", "replace all": "Replace all", "close": "Close find",
});

export const appearance = [theme, phrases, syntaxHighlighting(highlight)];

/** The value of a compartment that follows the page's theme. */
export const getThemeExtension = () => EditorView.darkTheme.of(document.documentElement.getAttribute("data-bs-theme") === "dark");
