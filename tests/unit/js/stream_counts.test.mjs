import assert from "node:assert/strict";
import { test } from "node:test";
import { StreamCounts } from "../../../frontend/src/run/stream_counts.js";

const of = (first, ...streams) => streams.map((stream, at) => ({ seq: first + at, stream }));

test("lines are counted once, also when the socket sends lines that the page has counted", () => {
  const counts = new StreamCounts({ lines: 10, stdout: 8, stderr: 2, merged: false });
  assert.equal(counts.addLines(of(9, "stderr", "stderr")), false);
  assert.equal(counts.addLines(of(10, "stderr", "stderr", "stdout")), true);
  assert.deepEqual([counts.stdout, counts.stderr], [9, 3]);
});

test("the order is inexact once both streams have a line, and exact for merged streams", () => {
  const separate = new StreamCounts({ lines: 0, stdout: 0, stderr: 0, merged: false });
  for (const [first, stream, inexact] of [[1, "stderr", false], [2, "stderr", false], [3, "stdout", true]]) {
    separate.addLines(of(first, stream));
    assert.equal(separate.isOrderInexact, inexact);
  }
  const merged = new StreamCounts({ lines: 2, stdout: 2, stderr: 1, merged: true });
  assert.equal(merged.isOrderInexact, false);
});
