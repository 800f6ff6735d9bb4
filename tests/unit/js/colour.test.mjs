import assert from "node:assert/strict";
import { test } from "node:test";
import { contrast, inkOn, legible, rgb256 } from "../../../frontend/src/run/colour.js";

const GROUNDS = [[255, 255, 255], [14, 17, 22]];

test("the 256 colours", () => {
  assert.deepEqual([rgb256(16), rgb256(196), rgb256(231), rgb256(232), rgb256(255)], [[0, 0, 0], [255, 0, 0], [255, 255, 255], [8, 8, 8], [238, 238, 238]]);
});

test("every colour of the 256 can be read on every ground, and as a ground", () => {
  for (let n = 16; n < 256; n++) {
    for (const ground of GROUNDS) assert.ok(contrast(legible(rgb256(n), ground), ground) >= 4.5, `${n}`);
    assert.ok(contrast(inkOn(rgb256(n)), rgb256(n)) >= 4.5, `on ${n}`);
    for (let m = 16; m < 256; m += 7) assert.ok(contrast(legible(rgb256(m), rgb256(n)), rgb256(n)) >= 4.5, `${m} on ${n}`);
  }
});

test("what can be read already stays", () => {
  assert.deepEqual(legible([255, 255, 255], GROUNDS[1]), [255, 255, 255]);
  assert.notDeepEqual(legible([255, 255, 0], GROUNDS[0]), [255, 255, 0]);
});
