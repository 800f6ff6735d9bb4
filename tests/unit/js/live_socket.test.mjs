import assert from "node:assert/strict";
import { test } from "node:test";
import { LiveSocket } from "../../../frontend/src/run/live_socket.js";

/** A LiveSocket with fake WebSockets that the test controls. */
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

test("each line is delivered once and in order, also when sent twice", (t) => {
  const { sockets, got, now } = rig(t);
  now().lines(1, 2, 3);
  now().lines(2, 3, 4);
  assert.deepEqual(got, [1, 2, 3, 4]);
  assert.equal(sockets.length, 1);
});

test("a missing line causes a reconnect after the last delivered line", (t) => {
  const { sockets, got, now } = rig(t);
  now().lines(1, 2);
  now().lines(5, 6);
  assert.deepEqual(got, [1, 2]);
  assert.equal(sockets.length, 2);
  assert.equal(now().url, "ws://x?after=2");
});

test("a closed connection reconnects after the last delivered line", (t) => {
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

test("after the end there is no reconnect, and the partial line is removed", (t) => {
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

test("a partial line is removed by the first message of a new connection", async (t) => {
  const { partials, now } = rig(t);
  now().say({ type: "partial", lines: [["stdout", "name? "]] });
  now().drop();
  t.mock.timers.tick(1000);
  assert.equal(partials.at(-1).length, 1); // no message yet
  now().lines(1);
  assert.deepEqual(partials.at(-1), []);
  now().say({ type: "partial", lines: [["stdout", "age? "]] });
  now().lines(2);
  assert.deepEqual(partials.at(-1), [{ stream: "stdout", text: "age? " }]);
});

test("lines read over HTTP remove the partial line", async (t) => {
  const { partials, got, now } = rig(t, { page: { lines: [{ seq: 1, ms: 1, stream: "stdout", text: "name? anna" }], ended: false } });
  now().say({ type: "partial", lines: [["stdout", "name? "]] });
  for (let i = 0; i < 3; i++) { now().drop(); t.mock.timers.tick(20_000); }
  await new Promise(setImmediate);
  assert.deepEqual([got, partials.at(-1)], [[1], []]);
});

test("an end with more lines than were delivered causes a reconnect", (t) => {
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

test("gaps and errors are passed on", (t) => {
  const { gaps, errors, states, now } = rig(t);
  now().say({ type: "gaps", gaps: [{ after: 1 }] });
  now().say({ type: "error", code: "log_storage_unavailable", detail: "The archive is away." });
  now().drop(1013);
  assert.deepEqual([gaps, errors, states.at(-1)], [[[{ after: 1 }]], ["The archive is away."], "reconnecting"]);
});

test("the end of a pruned log is accepted without its lines", (t) => {
  const { ends, states, now } = rig(t);
  now().say({ type: "end", status: "succeeded", lines: 7, pruned: "It was removed." });
  assert.deepEqual([ends[0].pruned, states.at(-1)], ["It was removed.", "done"]);
});

test("a refused connection is not retried", (t) => {
  const { sockets, states, now } = rig(t);
  now().drop(4403);
  t.mock.timers.tick(60_000);
  assert.equal(states.at(-1), "refused");
  assert.equal(sockets.length, 1);
});

test("while no socket opens, lines and the end are read over HTTP", async (t) => {
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

test("a socket without a message for ten seconds is replaced, one with heartbeats is not", (t) => {
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
  assert.equal(Date.now() - liveSocket.lastMessageAt, 10_500); // an opened socket is no message
});

test("a socket that never opens is replaced too", (t) => {
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
