import assert from "node:assert/strict";
import { test } from "node:test";
import { linksIn } from "../../../frontend/src/run/links.js";
import { clip, cut, flat } from "../../../frontend/src/run/segments.js";
import { parse } from "../../../frontend/src/run/ansi.js";

const texts = (line) => linksIn(line).map(({ from, to }) => line.slice(from, to));

test("addresses, without the punctuation of the sentence", () => {
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

test("the address a link goes to is the browser's own reading", () => {
  assert.equal(linksIn("HTTP://A.Example/%3Cb%3E")[0].href, "http://a.example/%3Cb%3E");
});

test("a line of addresses has a hundred links at most, and takes no time", () => {
  const began = performance.now();
  assert.equal(linksIn("http://a.example ".repeat(60_000)).length, 100);
  assert.deepEqual(linksIn(`http://a.example/${")".repeat(1_000_000)}`), []);
  linksIn("http://".repeat(150_000));
  assert.ok(performance.now() - began < 2000);
});

test("addresses that end in brackets and stops take no time, however many there are", () => {
  const line = `http://a/${")".repeat(2000)} http://a/${").".repeat(1000)} `.repeat(50);
  const began = performance.now();
  assert.deepEqual([linksIn(line).length, linksIn(line)[0].href], [100, "http://a/"]);
  assert.ok(performance.now() - began < 500);
  const refused = "http://u@a/ ".repeat(100_000);
  assert.deepEqual(linksIn(refused), []);
  assert.ok(performance.now() - began < 1000);
});

test("only what is drawn is looked through, and a link at the cut keeps its whole address", () => {
  const line = `${"x".repeat(90)} http://a.example/long/path http://b.example/`;
  assert.deepEqual(linksIn(line, 100).map(({ from, href }) => [from, href]), [[91, "http://a.example/long/path"]]);
  assert.deepEqual(linksIn(line, 91), []);
  const { pieces, length } = clip(parse(line), 100, 9);
  assert.deepEqual([length, cut(pieces, linksIn(line, length), []).map(({ text }) => text)], [100, [`${"x".repeat(90)} `, "http://a."]]);
});

test("a link lies across colours, a match within it, and the text stays whole", () => {
  const pieces = parse("go \x1b[31mhttp://a.ex\x1b[32mample/b\x1b[0m now");
  const plain = flat(pieces);
  const [link] = linksIn(plain);
  const out = cut(pieces, [link], [{ from: 5, to: 12 }]);
  assert.equal(out.map((piece) => piece.text).join(""), plain);
  assert.deepEqual(out.filter((piece) => piece.link).map((piece) => [piece.text, piece.style.cls, Boolean(piece.match)]), [
    ["ht", "f1", false], ["tp://a.", "f1", true], ["ex", "f1", false], ["ample/b", "f2", false],
  ]);
});

test("a mark for a hidden character ends an address", () => {
  const plain = flat(parse("http://a.example/\u202egpj.exe"));
  assert.deepEqual(linksIn(plain).map(({ href }) => href), ["http://a.example/"]);
});

test("pieces are clipped by characters and by their number", () => {
  const pieces = parse("\x1b[31mabc\x1b[32mdef");
  assert.deepEqual(clip(pieces, 4, 9).pieces.map((piece) => piece.text), ["abc", "d"]);
  assert.deepEqual([clip(pieces, 4, 9).all, clip(pieces, 6, 9).all, clip(pieces, 9, 1).all], [false, true, false]);
});
