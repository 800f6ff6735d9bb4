import assert from "node:assert/strict";
import { test } from "node:test";
import { findLinks, findScriptLinks } from "../../../frontend/src/run/links.js";
import { clipSegments, splitSegments, joinText } from "../../../frontend/src/run/segments.js";
import { parseAnsi } from "../../../frontend/src/run/ansi.js";

const texts = (line) => findLinks(line).map(({ from, to }) => line.slice(from, to));

test("links end before the punctuation of the sentence", () => {
  assert.deepEqual(texts("see http://a.example/b?c=d#e, and https://B.example."), ["http://a.example/b?c=d#e", "https://B.example"]);
  assert.deepEqual(texts("(http://a.example/b) [https://a.example/x] <http://a.example/y> \"http://a.example/z\"!"), ["http://a.example/b", "https://a.example/x", "http://a.example/y", "http://a.example/z"]);
  assert.deepEqual(texts("http://a.example/w_(film) http://a.example/b)). http://[::1]:80/x"), ["http://a.example/w_(film)", "http://a.example/b", "http://[::1]:80/x"]);
  assert.deepEqual(texts("{\"url\":\"https://a.example/1\",\"n\":2}"), ["https://a.example/1"]);
  assert.deepEqual(texts("http://127.0.0.1:8000/runs/é?x=1&y=2"), ["http://127.0.0.1:8000/runs/é?x=1&y=2"]);
});

test("nothing else becomes a link", () => {
  for (const line of [
    "javascript:alert(1)", "javascript://a.example/%0aalert(1)", "data:text/html,x", "vbscript:x", "file:///etc/passwd", "ftp://a.example", "xhttp://a.example/",
    "http://", "http:///x", "https://?", "http://user:pw@a.example/", "https://bank.example@evil.example/", "http://\u0430pple.example/",
    "http://a\u202eb.example/", "//a.example", "http://a.example:99999/", "www.a.example",
  ]) assert.deepEqual(texts(line), [], line);
});

test("the href is the browser's normalised URL", () => {
  assert.equal(findLinks("HTTP://A.Example/%3Cb%3E")[0].href, "http://a.example/%3Cb%3E");
});

test("a line has at most a hundred links, and many addresses take linear time", () => {
  const began = performance.now();
  assert.equal(findLinks("http://a.example ".repeat(60_000)).length, 100);
  assert.deepEqual(findLinks(`http://a.example/${")".repeat(1_000_000)}`), []);
  findLinks("http://".repeat(150_000));
  assert.ok(performance.now() - began < 2000);
});

test("addresses that end in brackets and periods take linear time", () => {
  const line = `http://a/${")".repeat(2000)} http://a/${").".repeat(1000)} `.repeat(50);
  const began = performance.now();
  assert.deepEqual([findLinks(line).length, findLinks(line)[0].href], [100, "http://a/"]);
  assert.ok(performance.now() - began < 500);
  const refused = "http://u@a/ ".repeat(100_000);
  assert.deepEqual(findLinks(refused), []);
  assert.ok(performance.now() - began < 1000);
});

test("only the drawn part is searched, and a link at its end keeps the whole address", () => {
  const line = `${"x".repeat(90)} http://a.example/long/path http://b.example/`;
  assert.deepEqual(findLinks(line, 100).map(({ from, href }) => [from, href]), [[91, "http://a.example/long/path"]]);
  assert.deepEqual(findLinks(line, 91), []);
  const { segments, length } = clipSegments(parseAnsi(line), 100, 9);
  assert.deepEqual([length, splitSegments(segments, findLinks(line, length), []).map(({ text }) => text)], [100, [`${"x".repeat(90)} `, "http://a."]]);
});

test("a link across colours with a match inside keeps the text", () => {
  const segments = parseAnsi("go \x1b[31mhttp://a.ex\x1b[32mample/b\x1b[0m now");
  const plain = joinText(segments);
  const [link] = findLinks(plain);
  const out = splitSegments(segments, [link], [{ from: 5, to: 12 }]);
  assert.equal(out.map((segment) => segment.text).join(""), plain);
  assert.deepEqual(out.filter((segment) => segment.link).map((segment) => [segment.text, segment.style.cls, Boolean(segment.match)]), [
    ["ht", "f1", false], ["tp://a.", "f1", true], ["ex", "f1", false], ["ample/b", "f2", false],
  ]);
});

test("the code of a hidden character ends an address", () => {
  const plain = joinText(parseAnsi("http://a.example/\u202egpj.exe"));
  assert.deepEqual(findLinks(plain).map(({ href }) => href), ["http://a.example/"]);
});

test("segments are clipped by characters and by count", () => {
  const segments = parseAnsi("\x1b[31mabc\x1b[32mdef");
  assert.deepEqual(clipSegments(segments, 4, 9).segments.map((segment) => segment.text), ["abc", "d"]);
  assert.deepEqual([clipSegments(segments, 4, 9).isComplete, clipSegments(segments, 6, 9).isComplete, clipSegments(segments, 9, 1).isComplete], [false, true, false]);
});

test("the script's lines in a traceback are links to the page of the script", () => {
  const find = (line) => findScriptLinks(line, "/runs/1/script/").map(({ from, to, href }) => [line.slice(from, to), href]);
  assert.deepEqual(find('  File "/workspace/script.py", line 41, in book'), [['script.py", line 41', "/runs/1/script/#line-41"]]);
  assert.deepEqual(find("    at load (/workspace/script.js:8:9)"), [["script.js:8", "/runs/1/script/#line-8"]]);
  assert.deepEqual(find("/workspace/script.sh: line 3: x: not found"), [["script.sh: line 3", "/runs/1/script/#line-3"]]);
  assert.deepEqual(find('File "/usr/lib/script.py", line 41'), []);
  assert.deepEqual(findScriptLinks("/workspace/script.js:8:9", ""), []);
});
