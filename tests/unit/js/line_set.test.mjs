import assert from "node:assert/strict";
import { test } from "node:test";
import { Ranges } from "../../../frontend/src/run/line_set.js";

const made = (...pairs) => {
  const ranges = new Ranges();
  for (const [first, last] of pairs) ranges.push(first, last);
  return ranges;
};

test("places and lines, forth and back", () => {
  const ranges = made([2, 4], [10, 10], [20, 29]);
  assert.equal(ranges.count, 14);
  assert.deepEqual([1, 3, 4, 5, 14].map((n) => ranges.nth(n)), [2, 4, 10, 20, 29]);
  assert.deepEqual([1, 2, 4, 5, 10, 15, 25, 29, 99, Infinity].map((seq) => ranges.upTo(seq)), [0, 1, 3, 3, 4, 4, 10, 14, 14, 14]);
  assert.deepEqual([1, 2, 4, 5, 29, 30].map((seq) => ranges.has(seq)), [false, true, true, false, true, false]);
});

test("neighbours become one run", () => {
  const ranges = made([1, 5], [6, 6], [7, 9], [11, 11]);
  assert.equal(ranges.size, 2);
  assert.equal(ranges.nth(10), 11);
});

test("nothing is in an empty one", () => {
  const ranges = new Ranges();
  assert.deepEqual([ranges.count, ranges.upTo(5), ranges.has(1)], [0, 0, false]);
});

test("it agrees with a plain set, whatever is put in", () => {
  let seed = 7;
  const random = (n) => (seed = (seed * 1103515245 + 12345) % 2147483648) % n;
  const ranges = new Ranges(), all = [];
  for (let at = 1; at < 5000; ) {
    const first = at + random(4), last = first + random(5);
    ranges.push(first, last);
    for (let seq = first; seq <= last; seq++) all.push(seq);
    at = last + 1;
  }
  const inside = new Set(all);
  assert.equal(ranges.count, all.length);
  all.forEach((seq, at) => assert.equal(ranges.nth(at + 1), seq));
  for (let seq = 1; seq < 5010; seq++) {
    assert.equal(ranges.has(seq), inside.has(seq));
    assert.equal(ranges.upTo(seq), all.filter((one) => one <= seq).length);
  }
});

test("it takes so many runs and says when there are more", () => {
  const ranges = new Ranges(3);
  assert.deepEqual([1, 3, 5, 7].map((seq) => ranges.push(seq, seq)), [true, true, true, false]);
  assert.equal(ranges.full, true);
  assert.equal(ranges.count, 3);
});
