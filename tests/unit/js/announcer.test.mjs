import assert from "node:assert/strict";
import { test } from "node:test";
import { Announcer } from "../../../frontend/src/run/announcer.js";

/** An announcer and the texts that its live region received. */
function rig(t) {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  let now = 60_000;
  t.mock.method(performance, "now", () => now);
  const said = [];
  const region = { get textContent() { return said.at(-1) ?? ""; }, set textContent(text) { said.push(text); } };
  const part = { textContent: "", setAttribute() {} };
  const status = { dataset: {}, querySelector: () => part };
  const announcer = new Announcer({ status, toast: { textContent: "" }, say: region, sprite: "" });
  return { announcer, said, pass: (ms) => { now += ms; t.mock.timers.tick(ms); } };
}
const live = (text) => ({ kind: "live", text });

test("a status that can wait does not delay an urgent announcement", (t) => {
  const { announcer, said, pass } = rig(t);
  announcer.announceNow("Match 3 of 17, line 40");
  announcer.showStatus(live("48 lines"), false);
  pass(0);
  assert.deepEqual(said, ["Match 3 of 17, line 40"]);
  pass(10_000);
  assert.deepEqual(said, ["Match 3 of 17, line 40", "48 lines"]);
});

test("the status is announced at a limited rate, and not again after each announcement", (t) => {
  const { announcer, said, pass } = rig(t);
  for (let n = 1; n <= 100; n++) { announcer.showStatus(live(`${n} lines`), false); pass(100); }
  pass(10_000);
  assert.deepEqual(said, ["1 lines", "100 lines"]);
  announcer.announceNow("No match");
  announcer.showStatus(live("100 lines"), false);
  pass(20_000);
  assert.deepEqual(said.slice(2), ["No match"]);
});

test("an urgent status drops the older pending one", (t) => {
  const { announcer, said, pass } = rig(t);
  announcer.showStatus(live("1 line"), true);
  pass(0);
  announcer.showStatus(live("2 lines"), false);
  announcer.showStatus({ kind: "wait", text: "2 lines, reconnecting" }, true);
  pass(20_000);
  assert.deepEqual(said, ["1 line", "2 lines, reconnecting"]);
});
