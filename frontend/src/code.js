// How code looks and types in CodeMirror: the dashboard's colours, and what the content policy asks of it.
import { HighlightStyle, syntaxHighlighting } from "@codemirror/language";
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
const look = EditorView.theme({
  "&": { color: "var(--c-text)", backgroundColor: "var(--c-log)", height: "100%" },
  "&.cm-focused": { outline: "2px solid var(--c-accent)", outlineOffset: "-2px" },
  ".cm-gutters": { backgroundColor: "var(--c-log)", color: "var(--c-no)", border: "0", borderRight: "1px solid var(--c-line)" },
  ".cm-activeLine, .cm-activeLineGutter": { backgroundColor: "color-mix(in srgb, var(--c-accent) 7%, transparent)" },
  ".cm-activeLineGutter": { color: "var(--c-text)" },
  ".cm-content": { caretColor: "var(--c-accent)" },
  ".cm-cursor": { borderLeftColor: "var(--c-accent)" },
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground": { backgroundColor: "color-mix(in srgb, var(--c-accent) 28%, transparent) !important" },
  ".cm-panels": { backgroundColor: "var(--c-surface)", color: "var(--c-text)" },
  ".cm-tooltip": { backgroundColor: "var(--c-surface)", borderColor: "var(--c-line)", color: "var(--c-text)" },
});

// Typing over several lines: left to itself, the browser joins them with inline styles, which the policy refuses.
export const typeOver = EditorView.domEventHandlers({
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

export const looks = [look, syntaxHighlighting(highlight)];

/** For a compartment that follows the theme. */
export const isDark = () => EditorView.darkTheme.of(document.documentElement.getAttribute("data-bs-theme") === "dark");
