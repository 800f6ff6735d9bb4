import assert from "node:assert/strict";
import { test } from "node:test";
import { formatHash, lines, parseHash, sinceStart, statusLine } from "../../../frontend/src/run/format.js";
import { ago, duration } from "../../../frontend/src/times.js";

test("line links", () => {
  assert.deepEqual(parseHash("#L12"), [12, 12]);
  assert.deepEqual(parseHash("#L12-20"), [12, 20]);
  assert.deepEqual(parseHash("#L20-L12"), [12, 20]);
  for (const other of ["", "#", "#L0", "#L", "#Lx", "#main", "#L1-2-3"]) assert.equal(parseHash(other), null);
  assert.equal(formatHash([12, 12]), "#L12");
  assert.equal(formatHash([12, 20]), "#L12-20");
});

test("times since the start", () => {
  assert.equal(sinceStart(0), "0:00.000");
  assert.equal(sinceStart(62_345), "1:02.345");
  assert.equal(sinceStart(3_602_345.4), "1:00:02.345");
  assert.equal(sinceStart(-1500), "-0:01.500");
});

test("durations and ages", () => {
  assert.deepEqual([duration(380), duration(12_340), duration(125_000), duration(3_725_000)], ["380 ms", "12.3 s", "2:05", "1:02:05"]);
  assert.equal(duration(12_900, true), "0:12");
  assert.deepEqual([ago(1000), ago(40_000), ago(300_000), ago(10_800_000), ago(864_000_000)], ["just now", "40 s ago", "5 min ago", "3 h ago", "10 d ago"]);
});

test("the status line says live, lost and whole", () => {
  assert.equal(statusLine({ state: "live", total: 812, expected: null }).text, "812 lines · live · nothing missing");
  assert.equal(statusLine({ state: "reconnecting", total: 1, expected: null }).kind, "wait");
  assert.deepEqual(statusLine({ state: "done", total: 812, expected: 812 }), { kind: "good", text: "812 of 812 lines, complete" });
  assert.deepEqual(statusLine({ state: "done", total: 800, expected: 812 }), { kind: "gap", text: "800 of 812 lines; 12 missing" });
  assert.equal(statusLine({ state: "refused", total: 3, expected: null }).kind, "gap");
  assert.equal(lines(1), "1 line");
});
