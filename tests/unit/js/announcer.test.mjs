import assert from "node:assert/strict";
import { test } from "node:test";
import { Voice } from "../../../frontend/src/run/announcer.js";

/** A voice whose words are gathered as they are said. */
function rig(t) {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  let now = 60_000;
  t.mock.method(performance, "now", () => now);
  const said = [];
  const region = { get textContent() { return said.at(-1) ?? ""; }, set textContent(text) { said.push(text); } };
  const part = { textContent: "", setAttribute() {} };
  const status = { dataset: {}, querySelector: () => part };
  const voice = new Voice({ status, toast: { textContent: "" }, say: region, sprite: "" });
  return { voice, said, pass: (ms) => { now += ms; t.mock.timers.tick(ms); } };
}
const live = (text) => ({ kind: "live", text });

test("a status that can wait does not keep an answer from being said", (t) => {
  const { voice, said, pass } = rig(t);
  voice.whisper("Match 3 of 17, line 40");
  voice.status(live("48 lines"), false);
  pass(0);
  assert.deepEqual(said, ["Match 3 of 17, line 40"]);
  pass(10_000);
  assert.deepEqual(said, ["Match 3 of 17, line 40", "48 lines"]);
});

test("the status is said at a bearable rate, and not again after every answer", (t) => {
  const { voice, said, pass } = rig(t);
  for (let n = 1; n <= 100; n++) { voice.status(live(`${n} lines`), false); pass(100); }
  pass(10_000);
  assert.deepEqual(said, ["1 lines", "100 lines"]);
  voice.whisper("No match");
  voice.status(live("100 lines"), false);
  pass(20_000);
  assert.deepEqual(said.slice(2), ["No match"]);
});

test("what is said at once is not followed by what it replaced", (t) => {
  const { voice, said, pass } = rig(t);
  voice.status(live("1 line"), true);
  pass(0);
  voice.status(live("2 lines"), false);
  voice.status({ kind: "wait", text: "2 lines, reconnecting" }, true);
  pass(20_000);
  assert.deepEqual(said, ["1 line", "2 lines, reconnecting"]);
});
