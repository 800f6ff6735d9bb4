import assert from "node:assert/strict";
import { test } from "node:test";
import { gapWords, readGaps, tally } from "../../../frontend/src/run/gaps.js";
import { Rows } from "../../../frontend/src/run/row_index.js";

const gap = (after, more = {}) => ({ after, cause: "engine_lost", lines: null, bytes: null, message: "Lost.", ...more });

test("gaps stand between lines, the begun ones at the end", () => {
  const rows = new Rows();
  const [a, b, c, d] = [0, 2, 2, 4].map((after) => gap(after));
  rows.set({ lines: 4, gaps: [[0, a], [2, b], [2, c], [4, d]], partials: 1 });
  assert.equal(rows.count, 9);
  const all = Array.from({ length: 9 }, (_, at) => rows.at(at + 1));
  assert.deepEqual(all, [{ gap: a }, { place: 1 }, { place: 2 }, { gap: b }, { gap: c }, { place: 3 }, { place: 4 }, { gap: d }, { partial: 0 }]);
  assert.deepEqual([1, 2, 3, 4].map((place) => rows.of(place)), [2, 3, 6, 7]);
  assert.deepEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9].map((n) => rows.linesTo(n)), [0, 0, 1, 2, 2, 2, 3, 4, 4, 4]);
});

test("without gaps a row is its line's place", () => {
  const rows = new Rows();
  rows.set({ lines: 3, gaps: [], partials: 0 });
  assert.deepEqual([rows.at(2), rows.of(2), rows.count], [{ place: 2 }, 2, 3]);
});

test("what the server says of gaps is read with care", () => {
  assert.deepEqual(readGaps(undefined), []);
  assert.deepEqual(readGaps([null, {}, { after: -1 }, { after: "3" }]), []);
  assert.deepEqual(readGaps([gap(9), gap(3, { lines: 2, bytes: 0 })]).map(({ after, lines, bytes }) => [after, lines, bytes]), [[3, 2, null], [9, null, null]]);
  assert.match(readGaps([{ after: 1, cause: "engine_restarted" }])[0].message, /restarted/);
});

test("a gap in words, and what the status line counts", () => {
  assert.equal(gapWords(gap(1)), "Lost (how much is not known).");
  assert.equal(gapWords(gap(1, { lines: 1, bytes: 3500 })), "Lost (1 line, 3.4 KB).");
  assert.equal(gapWords(gap(1, { bytes: 500, message: "500 bytes were lost." })), "500 bytes were lost.");
  assert.deepEqual(tally([gap(1), gap(5)]), { gaps: 2, dropped: null });
  const limit = gap(9, { cause: "limit", bytes: 500 });
  assert.deepEqual(tally([gap(1), limit]), { gaps: 1, dropped: 500 });
  assert.deepEqual(tally([limit], 900), { gaps: 0, dropped: 900 });
  assert.deepEqual(tally([gap(9, { cause: "limit" })]), { gaps: 0, dropped: 0 });
  assert.equal(gapWords(gap(9, { cause: "limit" })), "Lost.");
});
