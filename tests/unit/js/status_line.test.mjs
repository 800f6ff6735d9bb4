import assert from "node:assert/strict";
import { test } from "node:test";
import { describeGap, parseGaps, summariseGaps } from "../../../frontend/src/run/gaps.js";
import { NO_ANSWER, buildStatusLine } from "../../../frontend/src/run/status_line.js";

const said = (log) => { const { kind, text } = buildStatusLine({ expected: null, trouble: "", ...log }); return [kind, text]; };

test("a live log", () => {
  assert.deepEqual(said({ state: "live", total: 812 }), ["live", "812 lines · live"]);
  assert.deepEqual(said({ state: "live", total: 48_211, gaps: 1 }), ["gap", "48,211 lines, 1 gap · live"]);
  assert.deepEqual(said({ state: "reconnecting", total: 1 }), ["wait", "1 line · reconnecting…"]);
  assert.deepEqual(said({ state: "connecting", total: 0 }), ["wait", "0 lines · connecting…"]);
  assert.equal(said({ state: "refused", total: 3 })[0], "gap");
  assert.deepEqual(said({ state: "reconnecting", total: 5, trouble: "The archive is away." }), ["wait", "5 lines · The archive is away."]);
});

test("a log that has ended", () => {
  const ended = (log) => said({ state: "done", ...log });
  assert.deepEqual(ended({ total: 48_213, expected: 48_213 }), ["good", "48,213 lines, complete"]);
  assert.deepEqual(ended({ total: 9, expected: 9, isChecked: false }), ["wait", "9 lines · reading…"]);
  assert.deepEqual(ended({ total: 48_211, expected: 48_211, gaps: 1 }), ["gap", "48,211 lines, 1 gap"]);
  assert.deepEqual(ended({ total: 5, expected: 5, pruned: "It was removed." }), ["gap", "5 lines · It was removed."]);
  assert.deepEqual(ended({ total: 800, expected: 812 }), ["gap", "800 of 812 lines · 12 missing"]);
  assert.deepEqual(ended({ total: 900, expected: 900, dropped: 12_900_000 }), ["gap", "900 lines · 12.3 MB after that were not kept"]);
  assert.deepEqual(ended({ total: 900, expected: 900, dropped: 0, gaps: 2 }), ["gap", "900 lines, 2 gaps · later output was not kept"]);
});

test("a log without a seal is not complete", () => {
  const ended = (log) => said({ state: "done", total: 48, expected: 48, isSealed: false, ...log });
  assert.deepEqual(ended({ isHostGone: true }), ["gap", "48 lines · may be incomplete: its host went away"]);
  assert.deepEqual(ended({}), ["gap", "48 lines · may be incomplete"]);
  assert.deepEqual(ended({ gaps: 1, isHostGone: true }), ["gap", "48 lines, 1 gap · may be incomplete: its host went away"]);
  assert.deepEqual(ended({ dropped: 0 }), ["gap", "48 lines · later output was not kept · may be incomplete"]);
  assert.deepEqual(ended({ isSealed: null }), ["good", "48 lines, ended"]); // read over HTTP: unknown
  assert.deepEqual(said({ state: "live", total: 48, isSealed: false }), ["live", "48 lines · live"]);
});

test("a filter reports that the server does not answer", () => {
  const filter = { name: "stderr", count: 8, isSearching: true, isFailing: true, isFull: false, upTo: 0 };
  const words = "8 of 48 lines shown (stderr) · the server does not answer, trying again…";
  assert.deepEqual(said({ state: "live", total: 48, filter }), ["wait", `${words} · live`]);
  assert.deepEqual(said({ state: "done", total: 48, expected: 48, trouble: NO_ANSWER, filter }), ["wait", words]);
});

test("a filter reports how many lines it shows", () => {
  const filter = { name: "stderr", count: 812, isSearching: false, isFull: false, upTo: 0 };
  const shown = (log, more = {}) => said({ total: 40_000, filter: { ...filter, ...more }, ...log })[1];
  assert.equal(shown({ state: "live" }), "812 of 40,000 lines shown (stderr) · live");
  assert.equal(shown({ state: "done", expected: 40_000 }), "812 of 40,000 lines shown (stderr) · complete");
  assert.equal(shown({ state: "done", expected: 40_000, gaps: 1 }), "812 of 40,000 lines shown (stderr), 1 gap");
  assert.match(shown({ state: "live" }, { isSearching: true }), /\(stderr\) · searching… · live/);
  assert.match(shown({ state: "live" }, { isFull: true, upTo: 9000 }), /only up to line 9,000: too many to list/);
});

test("a split line is no loss", () => {
  const split = { after: 7, cause: "split", message: "The line continues: it is longer than 1 MB." };
  const gaps = parseGaps([{ after: 3, cause: "engine_lost", message: "Lines are missing." }, split]);
  assert.deepEqual(summariseGaps(gaps), { gaps: 1, dropped: null });
  assert.equal(describeGap(gaps[1]), split.message);
});

test("a silent server is not live", () => {
  const words = "No word from the server for 12 s, trying again";
  for (const state of ["connecting", "live", "reconnecting"]) {
    assert.deepEqual(said({ state, total: 5, silence: 12_345 }), ["wait", `5 lines · ${words}`]);
    assert.equal(said({ state, total: 5, silence: 9_999 })[1].includes("No word"), false);
  }
  assert.deepEqual(said({ state: "live", total: 5, gaps: 1, silence: 12_345 }), ["wait", `5 lines, 1 gap · ${words}`]);
  assert.deepEqual(said({ state: "live", total: 5, isOffline: true }), ["wait", "5 lines · this browser is offline, trying again"]);
  assert.deepEqual(said({ state: "done", total: 5, expected: 5, silence: 99_000 }), ["good", "5 lines, complete"]);
});
