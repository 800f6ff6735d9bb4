import assert from "node:assert/strict";
import { test } from "node:test";
import { LineSet } from "../../../frontend/src/run/line_set.js";

const made = (...pairs) => {
  const lineSet = new LineSet();
  for (const [first, last] of pairs) lineSet.addRange(first, last);
  return lineSet;
};

test("positions and lines are converted both ways", () => {
  const lineSet = made([2, 4], [10, 10], [20, 29]);
  assert.equal(lineSet.count, 14);
  assert.deepEqual([1, 3, 4, 5, 14].map((n) => lineSet.getNth(n)), [2, 4, 10, 20, 29]);
  assert.deepEqual([1, 2, 4, 5, 10, 15, 25, 29, 99, Infinity].map((seq) => lineSet.countTo(seq)), [0, 1, 3, 3, 4, 4, 10, 14, 14, 14]);
  assert.deepEqual([1, 2, 4, 5, 29, 30].map((seq) => lineSet.has(seq)), [false, true, true, false, true, false]);
});

test("adjacent ranges become one range", () => {
  const lineSet = made([1, 5], [6, 6], [7, 9], [11, 11]);
  assert.equal(lineSet.rangeCount, 2);
  assert.equal(lineSet.getNth(10), 11);
});

test("an empty set has no line", () => {
  const lineSet = new LineSet();
  assert.deepEqual([lineSet.count, lineSet.countTo(5), lineSet.has(1)], [0, 0, false]);
});

test("it agrees with a JavaScript Set for random ranges", () => {
  let seed = 7;
  const random = (n) => (seed = (seed * 1103515245 + 12345) % 2147483648) % n;
  const lineSet = new LineSet(), all = [];
  for (let at = 1; at < 5000; ) {
    const first = at + random(4), last = first + random(5);
    lineSet.addRange(first, last);
    for (let seq = first; seq <= last; seq++) all.push(seq);
    at = last + 1;
  }
  const inside = new Set(all);
  assert.equal(lineSet.count, all.length);
  all.forEach((seq, at) => assert.equal(lineSet.getNth(at + 1), seq));
  for (let seq = 1; seq < 5010; seq++) {
    assert.equal(lineSet.has(seq), inside.has(seq));
    assert.equal(lineSet.countTo(seq), all.filter((line) => line <= seq).length);
  }
});

test("it holds a limited number of ranges and reports that it is full", () => {
  const lineSet = new LineSet(3);
  assert.deepEqual([1, 3, 5, 7].map((seq) => lineSet.addRange(seq, seq)), [true, true, true, false]);
  assert.equal(lineSet.isFull, true);
  assert.equal(lineSet.count, 3);
});
