import assert from "node:assert/strict";
import { test } from "node:test";
import { LineBuffer } from "../../../frontend/src/run/line_buffer.js";

const line = (seq) => ({ seq, ms: seq, stream: "stdout", text: `line ${seq}` });
const range = (after, limit) => Array.from({ length: limit }, (_, at) => line(after + 1 + at));
const soon = () => new Promise((resolve) => setTimeout(resolve, 5));

function counted(total, options = {}) {
  const asked = [];
  const buffer = new LineBuffer(async (after, limit, signal) => {
    asked.push({ after, limit, signal });
    return range(after, Math.min(limit, total - after));
  }, total, { delay: 0, ...options });
  return { buffer, asked };
}

test("visible lines are fetched in windows, once", async () => {
  const { buffer, asked } = counted(10_000);
  buffer.requestLines(4990, 5020);
  await soon();
  assert.deepEqual(asked.map((each) => each.after), [4500, 5000]);
  assert.equal(buffer.getLine(5000).text, "line 5000");
  buffer.requestLines(4990, 5020);
  await soon();
  assert.equal(asked.length, 2);
});

test("requests for lines that are no longer visible are aborted", async () => {
  let release;
  const gate = new Promise((resolve) => { release = resolve; });
  const signals = [];
  const buffer = new LineBuffer(async (after, limit, signal) => { signals.push(signal); await gate; return range(after, limit); }, 100_000, { delay: 0 });
  buffer.requestLines(1, 30);
  await soon();
  buffer.requestLines(50_000, 50_030);
  assert.equal(signals[0].aborted, true);
  release();
  await soon();
  await soon();
  assert.equal(buffer.getLine(1), undefined);
  assert.equal(buffer.getLine(50_010).seq, 50_010);
});

test("live lines raise the total, and the cache stays bounded", () => {
  const { buffer } = counted(0);
  for (let after = 0; after < 100_000; after += 1000) buffer.storeLines(range(after, 1000));
  assert.equal(buffer.total, 100_000);
  assert.ok(buffer.windows.size <= 40);
  assert.equal(buffer.getLine(100_000).seq, 100_000);
  assert.equal(buffer.getLine(1), undefined);
});

test("a failed request is reported and retried", async () => {
  let failures = 1, told = 0;
  const changed = new Promise((resolve) => {
    const buffer = new LineBuffer(async (after, limit) => {
      if (failures-- > 0) throw new Error("502");
      return range(after, limit);
    }, 500, { delay: 0, onError: () => { told++; }, onChange: () => resolve(buffer) });
    buffer.requestLines(1, 10);
  });
  const buffer = await changed;
  assert.equal(told, 1);
  assert.equal(buffer.getLine(3).seq, 3);
});

test("a copy reads its lines without the cache", async () => {
  const { buffer, asked } = counted(12_000);
  const lines = await buffer.readLines(1001, 12_000);
  assert.equal(lines.length, 11_000);
  assert.deepEqual(asked.map((each) => each.limit), [5000, 5000, 1000]);
});

test("a window that comes in several responses is fetched to its end", async () => {
  const asked = [];
  const buffer = new LineBuffer(async (after, limit) => { asked.push(after); return range(after, Math.min(limit, 200)); }, 500, { delay: 0 });
  buffer.requestLines(1, 500);
  await soon();
  assert.deepEqual(asked, [0, 200, 400]);
  assert.equal(buffer.getLine(500).seq, 500);
});
