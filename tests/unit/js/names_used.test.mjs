import assert from "node:assert/strict";
import { test } from "node:test";
import { findNamesUsed } from "../../../frontend/src/editor/names_used.js";

test("python", () => {
  const text = `import os, cronium
key = os.environ["STRIPE_KEY"]; os.environ.get('REGION', ""); os.getenv("STRIPE_KEY")
# os.environ["OLD"]
cronium.set_variable("last_day", cronium.get_variable('shared/day'))
os.environ["PATH"], os.environ["CRONIUM_RUN_ID"]`;
  assert.deepEqual(findNamesUsed(text, "python"), { environment: ["STRIPE_KEY", "REGION"], variables: ["last_day", "shared/day"] });
});

test("node", () => {
  const text = "const a = process.env.API_KEY, b = process.env['other'];\n// process.env.OLD\nawait cronium.incrementVariable('rows');";
  assert.deepEqual(findNamesUsed(text, "node"), { environment: ["API_KEY", "other"], variables: ["rows"] });
});

test("bash: what the script sets itself is not missing", () => {
  const text = 'DAY=1\nfor FILE in *; do echo "$FILE $DAY ${API_KEY:?} $lower $HOME"; done\nread -r LINE_TEXT\necho $LINE_TEXT\ncronium_get_variable last_day';
  assert.deepEqual(findNamesUsed(text, "bash"), { environment: ["API_KEY"], variables: ["last_day"] });
});
