import assert from "node:assert/strict";
import { test } from "node:test";
import { LiveSocket } from "../../../frontend/src/run/live_socket.js";

/** A live socket with sockets the test speaks for. */
function rig(t, { last = 0, page = { lines: [], ended: false } } = {}) {
  t.mock.timers.enable({ apis: ["setTimeout", "Date"] });
  const sockets = [];
  class Socket {
    constructor(url) { this.url = url; this.readyState = 1; sockets.push(this); }
    close() { this.readyState = 3; }
    say(message) { this.onmessage({ data: JSON.stringify(message) }); }
    lines(...seqs) { this.say({ type: "lines", lines: seqs.map((seq) => [seq, seq * 1e6, "stdout", `line ${seq}`]) }); }
    drop(code = 1006) { this.readyState = 3; this.onclose({ code }); }
  }
  const got = [], states = [], ends = [], partials = [], gaps = [], errors = [];
  const liveSocket = new LiveSocket({
    buildUrl: (after) => `ws://x?after=${after}`, fetchPage: async () => page, lastSeq: last, Socket, random: () => 0,
    callbacks: { onLines: (l) => got.push(...l.map((line) => line.seq)), onPartials: (l) => partials.push(l), onGaps: (l) => gaps.push(l), onError: (words) => errors.push(words), onStatus() {}, onEnd: (m) => ends.push(m), onStateChange: (s) => states.push(s) },
  });
  liveSocket.connect();
  return { liveSocket, sockets, got, states, ends, partials, gaps, errors, now: () => sockets[sockets.length - 1] };
}

test("lines come once and in order, whatever is sent twice", (t) => {
  const { sockets, got, now } = rig(t);
  now().lines(1, 2, 3);
  now().lines(2, 3, 4);
  assert.deepEqual(got, [1, 2, 3, 4]);
  assert.equal(sockets.length, 1);
});

test("a hole makes it ask again from the last line it has", (t) => {
  const { sockets, got, now } = rig(t);
  now().lines(1, 2);
  now().lines(5, 6);
  assert.deepEqual(got, [1, 2]);
  assert.equal(sockets.length, 2);
  assert.equal(now().url, "ws://x?after=2");
});

test("a cut connection comes back with the last line's number", (t) => {
  const { sockets, got, states, now } = rig(t);
  now().lines(1, 2);
  now().drop();
  assert.equal(states.at(-1), "reconnecting");
  t.mock.timers.tick(1000);
  assert.equal(sockets.length, 2);
  assert.equal(now().url, "ws://x?after=2");
  now().lines(3);
  assert.deepEqual(got, [1, 2, 3]);
});

test("the end is the end: no new connection, the unfinished line goes", (t) => {
  const { sockets, states, ends, partials, now } = rig(t);
  now().lines(1);
  now().say({ type: "partial", lines: [["stdout", "name? "]] });
  now().say({ type: "end", status: "succeeded", lines: 1 });
  t.mock.timers.tick(60_000);
  assert.equal(sockets.length, 1);
  assert.equal(ends.length, 1);
  assert.equal(states.at(-1), "done");
  assert.deepEqual(partials.at(-1), []);
});

test("a line that was begun is forgotten as a new connection speaks, until it is said anew", async (t) => {
  const { partials, now } = rig(t);
  now().say({ type: "partial", lines: [["stdout", "name? "]] });
  now().drop();
  t.mock.timers.tick(1000);
  assert.equal(partials.at(-1).length, 1); // nobody knows better yet
  now().lines(1);
  assert.deepEqual(partials.at(-1), []);
  now().say({ type: "partial", lines: [["stdout", "age? "]] });
  now().lines(2);
  assert.deepEqual(partials.at(-1), [{ stream: "stdout", text: "age? " }]);
});

test("what REST brings ends the line that was begun", async (t) => {
  const { partials, got, now } = rig(t, { page: { lines: [{ seq: 1, ms: 1, stream: "stdout", text: "name? anna" }], ended: false } });
  now().say({ type: "partial", lines: [["stdout", "name? "]] });
  for (let i = 0; i < 3; i++) { now().drop(); t.mock.timers.tick(20_000); }
  await new Promise(setImmediate);
  assert.deepEqual([got, partials.at(-1)], [[1], []]);
});

test("an end that counts more lines than came is not believed", (t) => {
  const { sockets, ends, got, now } = rig(t);
  now().lines(1);
  now().say({ type: "end", status: "succeeded", lines: 2 });
  assert.equal(ends.length, 0);
  t.mock.timers.tick(1000);
  assert.equal(sockets.length, 2);
  now().lines(2);
  now().say({ type: "end", status: "succeeded", lines: 2 });
  assert.deepEqual(got, [1, 2]);
  assert.equal(ends.length, 1);
});

test("gaps and the reason why nothing can be read are handed on", (t) => {
  const { gaps, errors, states, now } = rig(t);
  now().say({ type: "gaps", gaps: [{ after: 1 }] });
  now().say({ type: "error", code: "log_storage_unavailable", detail: "The archive is away." });
  now().drop(1013);
  assert.deepEqual([gaps, errors, states.at(-1)], [[[{ after: 1 }]], ["The archive is away."], "reconnecting"]);
});

test("the end of a log that was removed is believed, though its lines never come", (t) => {
  const { ends, states, now } = rig(t);
  now().say({ type: "end", status: "succeeded", lines: 7, pruned: "It was removed." });
  assert.deepEqual([ends[0].pruned, states.at(-1)], ["It was removed.", "done"]);
});

test("refused is said and not tried again", (t) => {
  const { sockets, states, now } = rig(t);
  now().drop(4403);
  t.mock.timers.tick(60_000);
  assert.equal(states.at(-1), "refused");
  assert.equal(sockets.length, 1);
});

test("where no socket opens, REST brings lines and the end", async (t) => {
  const page = { lines: [{ seq: 1, ms: 1, stream: "stdout", text: "a" }], ended: true };
  const { got, ends, now } = rig(t, { page });
  for (let i = 0; i < 3; i++) { now().drop(); t.mock.timers.tick(20_000); }
  await new Promise(setImmediate);
  assert.deepEqual(got, [1]);
  page.lines = [];
  now().drop();
  await new Promise(setImmediate);
  assert.equal(ends.length, 1);
});

test("a socket that says nothing for ten seconds is replaced, and one that beats is not", (t) => {
  const { liveSocket, sockets, states, now } = rig(t, { last: 4 });
  now().say({ type: "status", status: "running" });
  for (let beat = 0; beat < 5; beat++) { t.mock.timers.tick(6000); now().say({ type: "beat" }); }
  assert.deepEqual([sockets.length, states.at(-1)], [1, "live"]);
  t.mock.timers.tick(9_999);
  assert.equal(sockets.length, 1);
  t.mock.timers.tick(1);
  assert.equal(states.at(-1), "reconnecting");
  t.mock.timers.tick(500);
  assert.deepEqual([sockets.length, now().url, sockets[0].readyState], [2, "ws://x?after=4", 3]);
  assert.equal(Date.now() - liveSocket.lastMessageAt, 10_500); // a socket that opens is no word
});

test("a socket that never opens, as at a frozen server, is replaced too", (t) => {
  const { sockets, got, now } = rig(t);
  t.mock.timers.tick(10_000);
  t.mock.timers.tick(1000);
  assert.equal(sockets.length, 2);
  t.mock.timers.tick(10_000);
  t.mock.timers.tick(1000);
  assert.equal(sockets.length, 3);
  now().lines(1);
  assert.deepEqual(got, [1]);
});
