import assert from "node:assert/strict";
import { test } from "node:test";
import { computeContrast, chooseTextColour, ensureContrast, convertPaletteToRgb } from "../../../frontend/src/run/colour.js";

const BACKGROUNDS = [[255, 255, 255], [14, 17, 22]];

test("the 256 colours", () => {
  assert.deepEqual([convertPaletteToRgb(16), convertPaletteToRgb(196), convertPaletteToRgb(231), convertPaletteToRgb(232), convertPaletteToRgb(255)], [[0, 0, 0], [255, 0, 0], [255, 255, 255], [8, 8, 8], [238, 238, 238]]);
});

test("every palette colour has enough contrast on each background, and as a background", () => {
  for (let n = 16; n < 256; n++) {
    for (const background of BACKGROUNDS) assert.ok(computeContrast(ensureContrast(convertPaletteToRgb(n), background), background) >= 4.5, `${n}`);
    assert.ok(computeContrast(chooseTextColour(convertPaletteToRgb(n)), convertPaletteToRgb(n)) >= 4.5, `on ${n}`);
    for (let m = 16; m < 256; m += 7) assert.ok(computeContrast(ensureContrast(convertPaletteToRgb(m), convertPaletteToRgb(n)), convertPaletteToRgb(n)) >= 4.5, `${m} on ${n}`);
  }
});

test("a colour with enough contrast stays", () => {
  assert.deepEqual(ensureContrast([255, 255, 255], BACKGROUNDS[1]), [255, 255, 255]);
  assert.notDeepEqual(ensureContrast([255, 255, 0], BACKGROUNDS[0]), [255, 255, 0]);
});
