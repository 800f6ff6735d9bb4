// The line of the script in the page's address, as #line-8: scrolled to and marked until another line is named.
import { StateEffect, StateField } from "@codemirror/state";
import { Decoration, EditorView } from "@codemirror/view";

const markLine = StateEffect.define();
const decoration = Decoration.line({ class: "cm-marked-line" });

export const markedLine = StateField.define({
  create: () => Decoration.none,
  update(marks, transaction) {
    const named = transaction.effects.find((effect) => effect.is(markLine));
    return named ? Decoration.set([decoration.range(named.value)]) : marks.map(transaction.changes);
  },
  provide: (field) => EditorView.decorations.from(field),
});

/** Scrolls to the line of the address and puts the cursor there. */
export function jumpToHash(view) {
  const number = Number(/^#line-(\d{1,7})$/.exec(location.hash)?.[1]);
  if (!number) return;
  const line = view.state.doc.line(Math.min(number, view.state.doc.lines));
  view.dispatch({
    selection: { anchor: line.from },
    effects: [markLine.of(line.from), EditorView.scrollIntoView(line.from, { y: "center" })],
  });
  view.focus();
}
