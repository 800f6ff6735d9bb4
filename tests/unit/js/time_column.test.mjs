import assert from "node:assert/strict";
import { test } from "node:test";
import { TimeColumn } from "../../../frontend/src/run/time_column.js";

const NOON = new Date(2026, 0, 31, 12).getTime();

/** The time column of a page rendered at noon; `narrow`: on a narrow screen. */
function rig(t, { narrow = false, serverNow = NOON } = {}) {
  t.mock.timers.enable({ apis: ["setInterval", "Date"], now: NOON });
  globalThis.matchMedia = () => ({ matches: narrow, addEventListener() {} });
  globalThis.document = { hidden: false };
  const room = [];
  const passed = { count: 0 };
  const block = { style: { setProperty: (name, value) => room.push(value) } };
  return { column: new TimeColumn({ block, serverNow, onTick: () => passed.count++ }), room, passed };
}

test("relative times are updated once a second, and only while the page is visible", (t) => {
  const { column, room, passed } = rig(t);
  t.mock.timers.tick(5000);
  assert.equal(passed.count, 0);
  column.setKind("ago");
  assert.deepEqual([column.formatTime(NOON, NOON), room.at(-1)], ["5 s ago", "12ch"]);
  t.mock.timers.tick(180_000);
  assert.deepEqual([column.formatTime(NOON, NOON), passed.count], ["3 min ago", 180]);
  document.hidden = true;
  t.mock.timers.tick(10_000);
  assert.equal(passed.count, 180);
  document.hidden = false;
  column.setKind("clock");
  t.mock.timers.tick(10_000);
  assert.equal(passed.count, 180);
});

test("relative times use the server's clock", (t) => {
  const { column } = rig(t, { serverNow: NOON + 3_600_000 });
  column.setKind("ago");
  assert.equal(column.formatTime(NOON, NOON), "1 h ago");
});

test("the clock shows the day if the run did not start today", (t) => {
  const { column, room } = rig(t);
  column.setKind("clock");
  assert.deepEqual([column.formatTime(NOON + 1, NOON), room.at(-1)], ["12:00:00.001", "14ch"]);
  const yesterday = NOON - 86_400_000;
  assert.deepEqual([column.formatTime(yesterday, yesterday), room.at(-1)], ["30 Jan 12:00:00.000", "21ch"]);
  assert.equal(column.formatTime(NOON, yesterday), "31 Jan 12:00:00.000"); // the same format for all lines of a log
  t.mock.timers.tick(43_200_000); // midnight
  assert.equal(column.formatTime(NOON, NOON), "31 Jan 12:00:00.000");
  column.setKind("off");
  assert.deepEqual([column.formatTime(NOON, NOON), room.at(-1)], ["", "0ch"]);
});

test("a narrow screen shows the day without milliseconds", (t) => {
  const { column, room } = rig(t, { narrow: true });
  column.setKind("clock");
  assert.deepEqual([column.formatTime(NOON, NOON - 86_400_000), room.at(-1)], ["31 Jan 12:00:00", "17ch"]);
});

test("the kinds follow each other: off, start, ago, clock, off", (t) => {
  const { column } = rig(t);
  const seen = [];
  for (let i = 0; i < 5; i++) { seen.push(column.kind); column.setKind(column.nextKind); }
  assert.deepEqual(seen, ["off", "start", "ago", "clock", "off"]);
});
