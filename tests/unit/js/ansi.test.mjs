import assert from "node:assert/strict";
import { test } from "node:test";
import { parseAnsi, stripAnsi } from "../../../frontend/src/run/ansi.js";

const styles = (text) => parseAnsi(text).map((segment) => [segment.text, segment.style.cls]);

test("plain text is one segment, an empty line none", () => {
  assert.deepEqual(styles("hello\tthere"), [["hello\tthere", ""]]);
  assert.deepEqual(parseAnsi(""), []);
});

test("colours and attributes become classes and end where they are reset", () => {
  assert.deepEqual(styles("\x1b[1;31mbad\x1b[0m good"), [["bad", "a-b f1"], [" good", ""]]);
  assert.deepEqual(styles("\x1b[92ma\x1b[39mb\x1b[44mc\x1b[49md"), [["a", "f10"], ["b", ""], ["c", "b4"], ["d", ""]]);
  assert.deepEqual(styles("\x1b[4mx\x1b[24my"), [["x", "a-u"], ["y", ""]]);
});

test("256 colours and true colours, with semicolons and with colons", () => {
  assert.deepEqual(parseAnsi("\x1b[38;5;196mx")[0].style.fg, [255, 0, 0]);
  assert.deepEqual(parseAnsi("\x1b[38;5;244mx")[0].style.fg, [128, 128, 128]);
  assert.equal(parseAnsi("\x1b[38;5;9mx")[0].style.cls, "f9");
  assert.deepEqual(parseAnsi("\x1b[48;2;1;2;300mx")[0].style.bg, [1, 2, 255]);
  assert.deepEqual(parseAnsi("\x1b[38:2::10:20:30mx")[0].style.fg, [10, 20, 30]);
  assert.equal(stripAnsi("\x1b[38;2mx"), "x");
});

test("the sixteen colours, dark and bright, by each code", () => {
  const front = Array.from({ length: 16 }, (_, n) => `f${n}`), back = Array.from({ length: 16 }, (_, n) => `b${n}`);
  const cls = (codes) => codes.map((code) => parseAnsi(`\x1b[${code}mx`)[0].style.cls);
  const from = (first) => Array.from({ length: 8 }, (_, n) => first + n);
  assert.deepEqual(cls([...from(30), ...from(90)]), front);
  assert.deepEqual(cls([...from(40), ...from(100)]), back);
  assert.deepEqual(cls(front.map((_, n) => `38;5;${n}`)), front);
  assert.deepEqual(cls(back.map((_, n) => `48:5:${n}`)), back);
});

test("reverse swaps foreground and background", () => {
  assert.deepEqual(styles("\x1b[7mx"), [["x", "a-r"]]);
  assert.deepEqual(styles("\x1b[7;31mx"), [["x", "b1"]]);
  assert.deepEqual(styles("\x1b[7;31;42mx\x1b[27my"), [["x", "f2 b1"], ["y", "f1 b2"]]);
  assert.deepEqual(styles("\x1b[7;42mx"), [["x", "a-r"]]);
  assert.deepEqual(parseAnsi("\x1b[7;38;2;9;9;250mx")[0].style, { cls: "", fg: null, bg: [9, 9, 250] });
});

test("titles, links, device strings and truncated escapes are invisible", () => {
  assert.equal(stripAnsi("a\x1b]0;evil title\x07b"), "ab");
  assert.equal(stripAnsi("a\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\b"), "alinkb");
  assert.equal(stripAnsi("a\x1bP1;2q...\x1b\\b\x1b[2Jc\x1b(Bd"), "abcd");
  assert.equal(stripAnsi("a\x1b"), "a");
  assert.equal(stripAnsi("ab\x1b[3"), "ab3"); // truncated: the rest is text
});

test("a carriage return overwrites as a terminal does", () => {
  assert.equal(stripAnsi("10 %\r20 %\r100 %"), "100 %");
  assert.equal(stripAnsi("long text\rshort"), "shorttext");
  assert.equal(stripAnsi("long text\r\x1b[Kshort"), "short");
  assert.equal(stripAnsi("abc\b\bX"), "aXc");
  assert.equal(stripAnsi("windows line\r"), "windows line");
  assert.equal(stripAnsi("ab\x1b[5Gc"), "ab  c");
  assert.deepEqual(styles("xx\r\x1b[32mok"), [["ok", "f2"]]);
});

test("a cursor move to a far column uses no memory", () => {
  assert.ok(stripAnsi("a\x1b[999999999Cb").length < 5000);
  assert.ok(stripAnsi("a\x1b[4000C".repeat(100_000)).length < 200_000);
});

test("hostile lines are parsed in linear time", () => {
  const began = performance.now();
  stripAnsi("\x1b[31mx".repeat(150_000));
  stripAnsi(`${"x".repeat(500_000)}${"\x1b[1K".repeat(100_000)}`);
  stripAnsi("10 %\r".repeat(150_000));
  stripAnsi("\x1b]0;".repeat(200_000));
  assert.ok(performance.now() - began < 5000);
});

test("erase to the left leaves spaces", () => {
  assert.equal(stripAnsi("abcdef\x1b[3D\x1b[1KX"), "   Xef");
  assert.equal(stripAnsi("ab\x1b[1K\rx"), "x ");
});

test("invisible and reordering characters are shown by their code", () => {
  const marked = parseAnsi("a\u202egnp.exe\u200bb\x00").filter((segment) => segment.isControl).map((segment) => segment.text);
  assert.deepEqual(marked, ["U+202E", "U+200B", "\\x00"]);
  assert.deepEqual(parseAnsi("👩‍💻").filter((segment) => segment.isControl), []); // a joiner inside an emoji stays
  assert.equal(parseAnsi("a\u200db")[1].text, "U+200D");
});

test("markup stays text", () => {
  assert.equal(stripAnsi("<img src=x onerror=alert(1)>"), "<img src=x onerror=alert(1)>");
});
