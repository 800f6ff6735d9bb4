import assert from "node:assert/strict";
import { test } from "node:test";
import { describeGap, parseGaps, summariseGaps } from "../../../frontend/src/run/gaps.js";
import { RowIndex } from "../../../frontend/src/run/row_index.js";

const gap = (after, more = {}) => ({ after, cause: "engine_lost", lines: null, bytes: null, message: "Lost.", ...more });

test("gaps are between lines, partial lines at the end", () => {
  const rowIndex = new RowIndex();
  const [a, b, c, d] = [0, 2, 2, 4].map((after) => gap(after));
  rowIndex.update({ lines: 4, gaps: [[0, a], [2, b], [2, c], [4, d]], partials: 1 });
  assert.equal(rowIndex.count, 9);
  const all = Array.from({ length: 9 }, (_, at) => rowIndex.getRow(at + 1));
  assert.deepEqual(all, [{ gap: a }, { position: 1 }, { position: 2 }, { gap: b }, { gap: c }, { position: 3 }, { position: 4 }, { gap: d }, { partial: 0 }]);
  assert.deepEqual([1, 2, 3, 4].map((position) => rowIndex.findRow(position)), [2, 3, 6, 7]);
  assert.deepEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9].map((n) => rowIndex.countLinesTo(n)), [0, 0, 1, 2, 2, 2, 3, 4, 4, 4]);
});

test("without gaps the row number is the position", () => {
  const rowIndex = new RowIndex();
  rowIndex.update({ lines: 3, gaps: [], partials: 0 });
  assert.deepEqual([rowIndex.getRow(2), rowIndex.findRow(2), rowIndex.count], [{ position: 2 }, 2, 3]);
});

test("malformed gaps are ignored", () => {
  assert.deepEqual(parseGaps(undefined), []);
  assert.deepEqual(parseGaps([null, {}, { after: -1 }, { after: "3" }]), []);
  assert.deepEqual(parseGaps([gap(9), gap(3, { lines: 2, bytes: 0 })]).map(({ after, lines, bytes }) => [after, lines, bytes]), [[3, 2, null], [9, null, null]]);
  assert.equal(parseGaps([{ after: 1, cause: "engine_restarted" }])[0].message, "Output is missing here.");
});

test("the description of a gap, and the summary for the status line", () => {
  assert.equal(describeGap(gap(1)), "Lost (amount unknown).");
  assert.equal(describeGap(gap(1, { lines: 1, bytes: 3500 })), "Lost (1 line, 3.4 KB).");
  assert.equal(describeGap(gap(1, { bytes: 500, message: "500 bytes were lost." })), "500 bytes were lost.");
  assert.deepEqual(summariseGaps([gap(1), gap(5)]), { gaps: 2, dropped: null });
  const limit = gap(9, { cause: "limit", bytes: 500 });
  assert.deepEqual(summariseGaps([gap(1), limit]), { gaps: 1, dropped: 500 });
  assert.deepEqual(summariseGaps([limit], 900), { gaps: 0, dropped: 900 });
  assert.deepEqual(summariseGaps([gap(9, { cause: "limit" })]), { gaps: 0, dropped: 0 });
  assert.equal(describeGap(gap(9, { cause: "limit" })), "Lost.");
});
