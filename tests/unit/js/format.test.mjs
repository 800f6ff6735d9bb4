import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { formatBytes, formatDay, formatHash, formatFullTime, formatLines, parseHash, formatSinceStart } from "../../../frontend/src/run/format.js";
import { formatAgo, formatDuration, formatUntil } from "../../../frontend/src/durations.js";

const durations = JSON.parse(readFileSync(new URL("durations.json", import.meta.url)));

test("line links", () => {
  assert.deepEqual(parseHash("#L12"), [12, 12]);
  assert.deepEqual(parseHash("#L12-20"), [12, 20]);
  assert.deepEqual(parseHash("#L20-L12"), [12, 20]);
  for (const other of ["", "#", "#L0", "#L", "#Lx", "#main", "#L1-2-3"]) assert.equal(parseHash(other), null);
  assert.equal(formatHash([12, 12]), "#L12");
  assert.equal(formatHash([12, 20]), "#L12-20");
});

test("times since the start", () => {
  assert.equal(formatSinceStart(0), "0:00.000");
  assert.equal(formatSinceStart(62_345), "1:02.345");
  assert.equal(formatSinceStart(3_602_345.4), "1:00:02.345");
  assert.equal(formatSinceStart(-1500), "-0:01.500");
});

test("day and clock in full", () => {
  const ms = new Date(2026, 0, 3, 9, 4, 5, 67).getTime();
  assert.deepEqual([formatDay(ms), formatFullTime(ms)], ["3 Jan", "2026-01-03 09:04:05.067"]);
});

test("durations and ages", () => {
  for (const [ms, text] of durations) assert.equal(formatDuration(ms), text);
  assert.equal(formatDuration(12_900, true), "0:12");
  assert.deepEqual([formatAgo(1000), formatAgo(40_000), formatAgo(300_000), formatAgo(10_800_000), formatAgo(864_000_000)], ["just now", "40 s ago", "5 min ago", "3 h ago", "10 d ago"]);
});

test("counts and sizes", () => {
  assert.deepEqual([formatLines(1), formatLines(48_211)], ["1 line", "48,211 lines"]);
  assert.deepEqual([formatBytes(1), formatBytes(812), formatBytes(3500), formatBytes(12_900_000), formatBytes(5e12)], ["1 byte", "812 bytes", "3.4 KB", "12.3 MB", "4.5 TB"]);
});

test("a distance to a later time", () => {
  assert.deepEqual([formatUntil(-5000), formatUntil(300), formatUntil(40_000), formatUntil(10_800_000)], ["now", "now", "in 40 s", "in 3 h"]);
});
