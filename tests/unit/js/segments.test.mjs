import assert from "node:assert/strict";
import { test } from "node:test";
import { clip } from "../../../frontend/src/run/segments.js";

test("no character of two units is cut in half", () => {
  const piece = (text) => [{ text, style: { cls: "" } }];
  const shown = (text, room) => clip(piece(text), room, 10).pieces.map((one) => one.text).join("");
  assert.equal(shown("ab🦊cd", 3), "ab");
  assert.equal(shown("ab🦊cd", 4), "ab🦊");
  assert.equal(shown("🦊", 1), "");
  assert.equal(shown("\ud83dx", 1), "\ud83d"); // half a pair as it came
  assert.equal(clip(piece("ab🦊"), 4, 10).all, true);
});
