import assert from "node:assert/strict";
import { test } from "node:test";
import { LineSet } from "../../../frontend/src/run/line_set.js";
import { ServerSearch } from "../../../frontend/src/run/server_search.js";
import { StreamLines } from "../../../frontend/src/run/line_view.js";

const soon = () => new Promise((resolve) => setImmediate(resolve));

/** A search whose responses come from `ask`. */
function rig(t, ask, total = 100, max = 1000) {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const asked = [];
  const matches = new LineSet(max);
  const search = new ServerSearch({ fetchMatches: (after, signal) => { asked.push(after); return ask(after, signal); }, matches, total, onChange() {} });
  const go = async (ms = 0) => { t.mock.timers.tick(ms); await soon(); };
  return { search, matches, asked, go };
}

test("it sends requests until the whole log was searched", async (t) => {
  const { search, matches, asked, go } = rig(t, async (after) => ({ ranges: [[after + 1, after + 2]], next: after + 40, lines: 100 }));
  for (let i = 0; i < 6; i++) await go(0);
  assert.deepEqual(asked, [0, 40, 80]);
  assert.equal(search.isDone, true);
  assert.equal(matches.count, 6);
});

test("it continues when the log grows, at most twice a second", async (t) => {
  const { search, asked, go } = rig(t, async (after) => ({ ranges: [], next: 100, lines: 100 }));
  await go();
  search.setTotal(110);
  search.setTotal(120);
  await go(400);
  assert.deepEqual(asked, [0]);
  await go(200);
  assert.deepEqual(asked, [0, 100]);
});

test("added lines need no request and are never counted twice", async (t) => {
  let answer;
  const { search, matches, asked, go } = rig(t, () => new Promise((resolve) => { answer = resolve; }), 2);
  await go();
  const lines = (...seqs) => seqs.map((seq) => ({ seq, stream: seq % 2 ? "stdout" : "stderr" }));
  search.addLines(lines(5, 6), () => true); // not adjacent to the searched lines: the server must search them
  assert.equal(matches.count, 0);
  search.addLines(lines(1, 2, 3), (line) => line.stream === "stdout");
  assert.deepEqual([matches.count, search.searchedTo], [2, 3]);
  answer({ ranges: [[1, 1], [3, 3], [5, 5]], next: 6, lines: 6 });
  await go();
  assert.deepEqual([matches.count, matches.getNth(3), search.searchedTo], [3, 5, 6]);
  search.addLines(lines(6, 7), (line) => line.stream === "stdout");
  assert.deepEqual([matches.count, search.isDone, asked.length], [4, true, 1]);
});

test("a rejected expression is reported and not retried", async (t) => {
  const { search, asked, go } = rig(t, async () => { throw Object.assign(new Error(), { rejection: "missing )" }); });
  await go();
  await go(60_000);
  assert.deepEqual([search.rejection, search.isDone, asked.length], ["missing )", true, 1]);
});

test("a failed request is retried", async (t) => {
  let fails = 1;
  const { search, asked, go } = rig(t, async () => { if (fails-- > 0) throw new Error("502"); return { ranges: [], next: 100, lines: 100 }; });
  await go();
  assert.equal(search.isFailing, true);
  await go(1000);
  assert.deepEqual([asked.length, search.isFailing, search.isDone], [2, false, true]);
});

test("a stopped search is aborted and changes nothing", async (t) => {
  let answer, aborted;
  const { search, matches, go } = rig(t, (after, signal) => { aborted = signal; return new Promise((resolve) => { answer = resolve; }); });
  await go();
  search.stop();
  assert.equal(aborted.aborted, true);
  answer({ ranges: [[1, 1]], next: 100, lines: 100 });
  await go(1000);
  assert.equal(matches.count, 0);
});

test("waitUntilSearched resolves when all lines up to its line were searched", async (t) => {
  const { search, go } = rig(t, async (after) => ({ ranges: [], next: after + 40, lines: 100 }));
  const heard = [];
  for (const seq of [30, 70, Infinity]) search.waitUntilSearched(seq).then(() => heard.push(seq));
  await soon();
  assert.deepEqual(heard, []);
  await go();
  assert.deepEqual(heard, [30]);
  search.addLines([{ seq: 41 }, ...Array.from({ length: 40 }, (_, i) => ({ seq: 42 + i }))], () => false);
  await soon();
  assert.deepEqual(heard, [30, 70]);
  for (let i = 0; i < 3; i++) await go();
  assert.deepEqual(heard, [30, 70, Infinity]);
  await search.waitUntilSearched(100);
});

test("waitUntilSearched rejects when a request fails", async (t) => {
  const { search, go } = rig(t, async () => { throw new Error("502"); });
  const told = assert.rejects(search.waitUntilSearched(10));
  await go();
  await told;
});

test("waitUntilSearched rejects when the search is stopped", async (t) => {
  const { search } = rig(t, () => new Promise(() => {}));
  const told = assert.rejects(search.waitUntilSearched(10));
  search.stop();
  await told;
  await assert.rejects(search.waitUntilSearched(10));
});

test("a full set ends the search", async (t) => {
  const { search, matches, asked, go } = rig(t, async (after) => ({ ranges: [[after + 1, after + 1], [after + 3, after + 3]], next: after + 4, lines: 100 }), 100, 3);
  for (let i = 0; i < 5; i++) await go();
  assert.deepEqual([matches.isFull, matches.count, search.isDone, asked.length], [true, 3, true, 2]);
});

test("after a response without progress it waits before the next request", async (t) => {
  const { asked, go } = rig(t, async (after) => ({ ranges: [], next: after, lines: 100 }));
  await go();
  await go(0);
  assert.equal(asked.length, 1);
  await go(1000);
  assert.equal(asked.length, 2);
});

test("the lines of one stream have their own positions and are fetched by them", async (t) => {
  const errors = [3, 7, 8, 20];
  const asked = [];
  const source = {
    fetchMatches: async (query, after) => ({ ranges: [[3, 3], [7, 8], [20, 20]].filter(([first]) => first > after), next: 20, lines: 20 }),
    fetchLines: async ({ after, limit, stream }) => {
      asked.push([after, limit, stream]);
      return { lines: errors.filter((seq) => seq > after).slice(0, limit).map((seq) => ({ seq, stream, text: `line ${seq}` })) };
    },
  };
  const lines = new StreamLines(source, "stderr", 20, { delay: 0, onChange() {}, onFound() {} });
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.deepEqual([lines.count, lines.getSeq(3), lines.countTo(10)], [4, 8, 3]);
  lines.requestLines(2, 4);
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.deepEqual(asked, [[2, 4, "stderr"]]);
  assert.equal(lines.getLine(4).text, "line 20");
  lines.addLines([{ seq: 21, stream: "stdout", text: "" }, { seq: 22, stream: "stderr", text: "new" }]);
  assert.deepEqual([lines.count, lines.getLine(5).text, lines.getSeq(5)], [5, "new", 22]);
});
