import assert from "node:assert/strict";
import { test } from "node:test";
import { Marker } from "../../../frontend/src/run/match_highlighter.js";
import { asked, pattern, spans } from "../../../frontend/src/run/find_query.js";

/** What the server would find: its expressions without their few own ways are JavaScript's too. */
const finds = (query, line) => {
  const { q, regex, ignore_case: ignore } = asked({ regex: false, ignoreCase: false, ...query });
  return regex ? new RegExp(q, ignore ? "iu" : "u").test(line) : line.includes(q);
};

test("a text is looked for as it is seen", () => {
  assert.equal(finds({ text: "INFO: started" }, "\x1b[1mINFO\x1b[0m: started"), true);
  assert.equal(finds({ text: "31" }, "\x1b[31mred\x1b[0m"), false);
  assert.equal(finds({ text: "31" }, "\x1b[31mred 31\x1b[0m"), true);
  assert.equal(finds({ text: "title" }, "\x1b]0;title\x07after"), false);
  assert.equal(finds({ text: "after" }, "\x1b]0;title\x07\x1b(Bafter"), true);
  assert.equal(finds({ text: "a.b*(c)" }, "x a.b*(c) y"), true);
  assert.equal(finds({ text: "a.b" }, "axb"), false);
  assert.equal(finds({ text: "É/x{", ignoreCase: true }, "é/X{"), true);
});

test("a long text is still looked for, and an expression goes as it is", () => {
  const long = "ab ".repeat(120);
  assert.ok(asked({ text: long, regex: false, ignoreCase: false }).q.length <= 1000);
  assert.equal(finds({ text: long }, `\x1b[31m${long}`), true);
  assert.equal(asked({ text: "x".repeat(1000), regex: false, ignoreCase: false }).q, "x".repeat(1000));
  assert.deepEqual(asked({ text: "a+", regex: true, ignoreCase: true }), { q: "a+", regex: "true", ignore_case: "true" });
});

test("the server's expressions in JavaScript's words", () => {
  const matched = (text, line, ignoreCase = false) => {
    const given = pattern({ text, regex: true, ignoreCase });
    return given && spans(new RegExp(given.source, given.flags), line).map(([from, to]) => line.slice(from, to));
  };
  assert.deepEqual(matched("o+", "foo bool"), ["oo", "oo"]);
  assert.deepEqual(matched("(?i)FOO", "foo Foo"), ["foo", "Foo"]);
  assert.deepEqual(matched("(?P<n>\\d)\\z", "12"), ["2"]);
  assert.deepEqual(matched("\\Qa.b\\E+", "a.bb axb"), ["a.bb"]);
  assert.deepEqual(matched("[[:digit:]x]+", "ab1x2"), ["1x2"]);
  assert.deepEqual(matched("\\pL+", "é1a"), ["é", "a"]);
  assert.deepEqual(matched("a\\-b\\_", "a-b_"), ["a-b_"]);
  assert.deepEqual(matched("x*", "axxb"), ["xx"]);
  assert.equal(matched("a**", "aa"), null);
});

test("texts are marked at once", () => {
  const marker = new Marker("seek.js", () => {});
  marker.look({ text: "a.", regex: false, ignoreCase: true });
  assert.deepEqual(marker.matches(1, "xA.a."), [{ from: 1, to: 3 }, { from: 3, to: 5 }]);
  marker.look(null);
  assert.deepEqual(marker.matches(1, "xA.a."), []);
});

test("an expression is marked by a worker, which is ended when it takes too long", (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const workers = [];
  class Work { constructor() { workers.push(this); } postMessage(message) { this.asked = message; } terminate() { this.ended = true; } }
  let found = 0;
  const marker = new Marker("seek.js", () => { found++; }, Work);
  marker.look({ text: "o+", regex: true, ignoreCase: false });
  assert.deepEqual([marker.matches(1, "foo"), marker.matches(2, "bar")], [[], []]);
  t.mock.timers.tick(1);
  assert.deepEqual(workers[0].asked.texts, [[1, "foo"], [2, "bar"]]);
  workers[0].onmessage({ data: [[1, [[1, 3]]], [2, []]] });
  assert.deepEqual([found, marker.matches(1, "foo"), marker.matches(2, "bar")], [1, [{ from: 1, to: 3 }], []]);
  marker.matches(3, "aaaa");
  t.mock.timers.tick(1);
  t.mock.timers.tick(2000);
  assert.deepEqual([workers[0].ended, marker.matches(4, "foo"), found], [true, [], 2]);
});
