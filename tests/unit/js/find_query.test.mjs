import assert from "node:assert/strict";
import { test } from "node:test";
import { MatchHighlighter } from "../../../frontend/src/run/match_highlighter.js";
import { buildPattern, buildServerQuery, findSpans } from "../../../frontend/src/run/find_query.js";

/** Whether the server would match: this subset of its syntax is valid in JavaScript too. */
const finds = (query, line) => {
  const { q, regex, ignore_case: ignore } = buildServerQuery({ isRegex: false, ignoreCase: false, ...query });
  return regex ? new RegExp(q, ignore ? "iu" : "u").test(line) : line.includes(q);
};

test("a text query matches the visible text", () => {
  assert.equal(finds({ text: "INFO: started" }, "\x1b[1mINFO\x1b[0m: started"), true);
  assert.equal(finds({ text: "31" }, "\x1b[31mred\x1b[0m"), false);
  assert.equal(finds({ text: "31" }, "\x1b[31mred 31\x1b[0m"), true);
  assert.equal(finds({ text: "title" }, "\x1b]0;title\x07after"), false);
  assert.equal(finds({ text: "after" }, "\x1b]0;title\x07\x1b(Bafter"), true);
  assert.equal(finds({ text: "a.b*(c)" }, "x a.b*(c) y"), true);
  assert.equal(finds({ text: "a.b" }, "axb"), false);
  assert.equal(finds({ text: "É/x{", ignoreCase: true }, "é/X{"), true);
});

test("a long text stays within the limit, and an expression is sent unchanged", () => {
  const long = "ab ".repeat(120);
  assert.ok(buildServerQuery({ text: long, isRegex: false, ignoreCase: false }).q.length <= 1000);
  assert.equal(finds({ text: long }, `\x1b[31m${long}`), true);
  assert.equal(buildServerQuery({ text: "x".repeat(1000), isRegex: false, ignoreCase: false }).q, "x".repeat(1000));
  assert.deepEqual(buildServerQuery({ text: "a+", isRegex: true, ignoreCase: true }), { q: "a+", regex: "true", ignore_case: "true" });
});

test("RE2 expressions are translated to JavaScript", () => {
  const matched = (text, line, ignoreCase = false) => {
    const pattern = buildPattern({ text, isRegex: true, ignoreCase });
    return pattern && findSpans(new RegExp(pattern.source, pattern.flags), line).map(([from, to]) => line.slice(from, to));
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

test("text queries are matched without a worker", () => {
  const highlighter = new MatchHighlighter("match.worker.js", () => {});
  highlighter.setQuery({ text: "a.", isRegex: false, ignoreCase: true });
  assert.deepEqual(highlighter.findMatches(1, "xA.a."), [{ from: 1, to: 3 }, { from: 3, to: 5 }]);
  highlighter.setQuery(null);
  assert.deepEqual(highlighter.findMatches(1, "xA.a."), []);
});

test("expressions are matched by a worker, which is terminated at its timeout", (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const workers = [];
  class Work { constructor() { workers.push(this); } postMessage(message) { this.asked = message; } terminate() { this.ended = true; } }
  let found = 0;
  const highlighter = new MatchHighlighter("match.worker.js", () => { found++; }, Work);
  highlighter.setQuery({ text: "o+", isRegex: true, ignoreCase: false });
  assert.deepEqual([highlighter.findMatches(1, "foo"), highlighter.findMatches(2, "bar")], [[], []]);
  t.mock.timers.tick(1);
  assert.deepEqual(workers[0].asked.texts, [[1, "foo"], [2, "bar"]]);
  workers[0].onmessage({ data: [[1, [[1, 3]]], [2, []]] });
  assert.deepEqual([found, highlighter.findMatches(1, "foo"), highlighter.findMatches(2, "bar")], [1, [{ from: 1, to: 3 }], []]);
  highlighter.findMatches(3, "aaaa");
  t.mock.timers.tick(1);
  t.mock.timers.tick(2000);
  assert.deepEqual([workers[0].ended, highlighter.findMatches(4, "foo"), found], [true, [], 2]);
});
