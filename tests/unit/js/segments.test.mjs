import assert from "node:assert/strict";
import { test } from "node:test";
import { clipSegments } from "../../../frontend/src/run/segments.js";

test("no surrogate pair is split", () => {
  const createSegments = (text) => [{ text, style: { cls: "" } }];
  const shown = (text, room) => clipSegments(createSegments(text), room, 10).segments.map((segment) => segment.text).join("");
  assert.equal(shown("ab🦊cd", 3), "ab");
  assert.equal(shown("ab🦊cd", 4), "ab🦊");
  assert.equal(shown("🦊", 1), "");
  assert.equal(shown("\ud83dx", 1), "\ud83d"); // an unpaired surrogate in the input
  assert.equal(clipSegments(createSegments("ab🦊"), 4, 10).isComplete, true);
});
