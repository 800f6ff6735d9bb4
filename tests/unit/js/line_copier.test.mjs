import assert from "node:assert/strict";
import { test } from "node:test";
import { LineCopier } from "../../../frontend/src/run/line_copier.js";

/** A copier for a log of ten lines with a text selection over rows 4 to 6; the lines in `loading` are not loaded. */
function rig({ loading = [], clipboard, command = () => true } = {}) {
  const messages = [], written = [], put = [], listeners = [];
  const row = (n) => ({ intersectsNode: n, querySelector: () => ({ contains: () => false, querySelector: () => null }) });
  const range = { collapsed: false, intersectsNode: ({ intersectsNode: n }) => n >= 4 && n <= 6, compareBoundaryPoints: () => 0 };
  const field = { select() {}, remove() {}, addEventListener: (name, then) => listeners.push(then) };
  const take = () => { listeners.forEach((then) => then({ preventDefault() {}, clipboardData: { setData: (kind, text) => written.push(text) } })); return command(); };
  Object.assign(globalThis, {
    Range: { START_TO_START: 0, END_TO_END: 2 }, isSecureContext: clipboard !== undefined,
    getSelection: () => ({ rangeCount: 1, getRangeAt: () => range }),
    document: { activeElement: null, body: { append() {} }, createElement: () => field, createRange: () => ({ selectNodeContents() {} }), execCommand: take },
  });
  Object.defineProperty(globalThis, "navigator", { value: { clipboard }, configurable: true });
  const text = (seq) => (loading.includes(seq) ? undefined : `line ${seq}`);
  const lines = { waitUntilKnown: async () => {}, countTo: (seq) => Math.min(seq, 10), readLines: async (from, to) => Array.from({ length: to - from + 1 }, (_, at) => ({ seq: from + at, text: `line ${from + at}` })) };
  const copier = new LineCopier({
    getLines: () => lines, getRows: () => Array.from({ length: 10 }, (_, at) => [at + 1, row(at + 1)]),
    getRowLine: (n) => ({ seq: n, text: text(n) }), announcer: { showMessage: (text) => messages.push(text) },
  });
  const copied = async () => {
    copier.onCopy({ preventDefault() {}, clipboardData: { setData: (kind, words) => put.push(words) } });
    await new Promise(setImmediate);
    return { put, written, messages };
  };
  return { copier, copied, messages, written };
}
const writing = (written) => ({ writeText: async (text) => written.push(text) });

test("a text selection is copied as selected", async () => {
  const { copied } = rig({ clipboard: writing([]) });
  assert.deepEqual((await copied()).put, ["line 4\nline 5\nline 6"]);
});

test("a selection with lines that are not loaded is copied by line numbers", async () => {
  const written = [];
  const { copied } = rig({ loading: [5, 6], clipboard: writing(written) });
  const { put, messages } = await copied();
  assert.deepEqual([put, written, messages], [[], ["line 4\nline 5\nline 6\n"], ["3 lines copied."]]);
});

test("without the Clipboard API, a copy uses execCommand", async () => {
  const { copier, written, messages } = rig();
  await copier.copyLines(2, 3);
  assert.deepEqual([written, messages], [["line 2\nline 3\n"], ["2 lines copied."]]);
});

test("a copy that fails shows the reason", async () => {
  const { copier, messages } = rig({ command: () => false });
  await copier.copyLines(2, 3);
  assert.deepEqual(messages, ["Nothing was copied: copying needs https or localhost. Use Download."]);
});
