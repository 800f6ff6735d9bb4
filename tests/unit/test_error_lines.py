"""The error of a failed run in the last lines of its log."""

import random
import time

import pytest

from cronium_admin.runs.error_lines import MAX_CHARS, OutputLine, RunError, find_error


def _make_lines(stderr: str, stdout: str = "", first: int = 1) -> list[OutputLine]:
    texts = [(False, text) for text in stdout.split("\n") if stdout]
    texts += [(True, text) for text in stderr.split("\n") if stderr]
    return [OutputLine(first + index, is_stderr, text) for index, (is_stderr, text) in enumerate(texts)]


def _find(stderr: str, stdout: str = "") -> RunError:
    error = find_error(_make_lines(stderr, stdout))
    assert error
    return error


PYTHON = """Traceback (most recent call last):
  File "/workspace/script.py", line 58, in <module>
    main()
    ~~~~^^
  File "/workspace/script.py", line 41, in book
    vat = row["vat_id"].strip()
          ~~~^^^^^^^^^^
KeyError: 'vat_id'"""
IN_LIBRARY = """Traceback (most recent call last):
  File "/workspace/script.py", line 3, in <module>
    json.loads("{")
  File "/usr/lib/python3.12/json/decoder.py", line 353, in raw_decode
    obj, end = self.scan_once(s, idx)
json.decoder.JSONDecodeError: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"""
CHAINED = """Traceback (most recent call last):
  File "/workspace/script.py", line 2, in load
    return data["a"]
KeyError: 'a'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "/workspace/script.py", line 9, in <module>
    load({})
  File "/workspace/script.py", line 4, in load
    raise RuntimeError("no a") from None
RuntimeError: no a"""
SYNTAX = """  File "/workspace/script.py", line 3
    x = = 3
        ^
SyntaxError: invalid syntax"""
GROUP = """  + Exception Group Traceback (most recent call last):
  |   File "/workspace/script.py", line 12, in <module>
  |     raise ExceptionGroup("imports failed", errors)
  | ExceptionGroup: imports failed (2 sub-exceptions)
  +-+---------------- 1 ----------------
    | Traceback (most recent call last):
    |   File "/workspace/script.py", line 5, in one
    |     int("x")
    | ValueError: invalid literal for int() with base 10: 'x'
    +---------------- 2 ----------------
    | TypeError: b
    +------------------------------------"""
NODE = """/workspace/script.js:8
  throw new Error("no customer 7");
  ^

Error: no customer 7
    at load (/workspace/script.js:8:9)
    at Object.<anonymous> (/workspace/script.js:12:1)
    at Module._compile (node:internal/modules/cjs/loader:1554:14)

Node.js v22.14.0"""
NODE_MODULE = """file:///workspace/script.mjs:3
const x = JSON.parse("{");
               ^

SyntaxError: Expected property name or '}' in JSON at position 1 (line 1 column 2)
    at JSON.parse (<anonymous>)
    at file:///workspace/script.mjs:3:16

Node.js v22.14.0"""
NODE_SYNTAX = """/workspace/script.js:2
let a = ;
        ^

SyntaxError: Unexpected token ';'
    at wrapSafe (node:internal/modules/cjs/loader:1469:18)

Node.js v22.14.0"""
NODE_ASSERT = """node:assert:126
  throw new AssertionError(obj);
  ^

AssertionError [ERR_ASSERTION]: Expected values to be strictly equal:

1 !== 2

    at Object.<anonymous> (/workspace/script.js:4:8) {
  generatedMessage: true,
  code: 'ERR_ASSERTION',
}

Node.js v22.14.0"""
NODE_REJECTION = """node:internal/process/promises:394
      triggerUncaughtException(err, true /* fromPromise */);
      ^

[UnhandledPromiseRejection: This error originated either by throwing inside of an async function] {
  code: 'ERR_UNHANDLED_REJECTION'
}

Node.js v22.14.0"""
NODE_CODE = """node:internal/fs/sync:78
  return binding.openSync(
                 ^

Error: ENOENT: no such file or directory, open '/data/in.csv'
    at Object.openSync (node:fs:573:18)
    at read (/workspace/script.js:21:6) {
  errno: -2,
  [cause]: Error: inner
      at deeper (/workspace/script.js:99:1)
}"""
NODE_STRING = """/workspace/script.js:1
throw "it broke";
^
it broke
(Use `node --trace-uncaught ...` to show where the exception was thrown)

Node.js v22.14.0"""
BASH_SYNTAX = """/workspace/script.sh: line 3: syntax error near unexpected token `fi'
/workspace/script.sh: line 3: `fi'"""
BASH_QUOTE = """/workspace/script.sh: line 4: unexpected EOF while looking for matching `"'
/workspace/script.sh: line 9: syntax error: unexpected end of file"""


@pytest.mark.parametrize(
    ("stderr", "text", "at", "script_line", "file"),
    [
        (PYTHON, "KeyError: 'vat_id'", 8, 41, "script.py"),
        (
            IN_LIBRARY,
            "json.decoder.JSONDecodeError: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)",
            6,
            3,
            "script.py",
        ),
        (CHAINED, "RuntimeError: no a", 13, 4, "script.py"),
        (SYNTAX, "SyntaxError: invalid syntax", 4, 3, "script.py"),
        (
            GROUP,
            "ExceptionGroup: imports failed (2 sub-exceptions); first: ValueError: invalid literal for int() with "
            "base 10: 'x'",
            4,
            12,
            "script.py",
        ),
        (
            'Traceback (most recent call last):\n  File "<stdin>", line 2, in <module>\n'
            "ZeroDivisionError: division by zero",
            "ZeroDivisionError: division by zero",
            3,
            None,
            "<stdin>",
        ),
        (
            'Traceback (most recent call last):\n  File "/workspace/script.py", line 5, in <module>\n    a()\n'
            "  [Previous line repeated 996 more times]\nRecursionError: maximum recursion depth exceeded",
            "RecursionError: maximum recursion depth exceeded",
            5,
            5,
            "script.py",
        ),
        (
            'Traceback (most recent call last):\n  File "/workspace/script.py", line 5, in <module>\n    assert 0\n'
            "AssertionError",
            "AssertionError",
            4,
            5,
            "script.py",
        ),
        (
            'Traceback (most recent call last):\n  File "/workspace/script.py", line 5, in <module>\n    x()\n'
            "ValueError: first\nsecond line\nthird line",
            "ValueError: first",
            4,
            5,
            "script.py",
        ),
        (NODE, "Error: no customer 7", 5, 8, "script.js"),
        (
            NODE_MODULE,
            "SyntaxError: Expected property name or '}' in JSON at position 1 (line 1 column 2)",
            5,
            3,
            "script.mjs",
        ),
        (NODE_SYNTAX, "SyntaxError: Unexpected token ';'", 5, 2, "script.js"),
        (
            NODE_ASSERT,
            "AssertionError [ERR_ASSERTION]: Expected values to be strictly equal:",
            5,
            4,
            "script.js",
        ),
        (
            NODE_REJECTION,
            "[UnhandledPromiseRejection: This error originated either by throwing inside of an async function]",
            5,
            None,
            "",
        ),
        (NODE_CODE, "Error: ENOENT: no such file or directory, open '/data/in.csv'", 5, 21, "script.js"),
        (NODE_STRING, "it broke", 4, 1, "script.js"),
        ("TypeError: no function\n    at run (/workspace/script.js:7:3)", "TypeError: no function", 1, 7, "script.js"),
        ("/workspace/script.sh: line 8: foo: command not found", "foo: command not found", 1, 8, "script.sh"),
        ("curl: (22) 503\n/workspace/script.sh: line 8: x: unbound variable", "x: unbound variable", 2, 8, "script.sh"),
        (BASH_SYNTAX, "syntax error near unexpected token `fi'", 1, 3, "script.sh"),
        (BASH_QUOTE, "unexpected EOF while looking for matching `\"'", 1, 4, "script.sh"),
        ("/workspace/script.sh: 5: foo: not found", "foo: not found", 1, 5, "script.sh"),
        ("/opt/tools/run.sh: line 2: boom", "boom", 1, None, "/opt/tools/run.sh"),
        # A line that is not fatal in bash: the last line counts.
        ("/workspace/script.sh: line 3: foo: command not found\ncurl: no host", "curl: no host", 2, None, ""),
        ("one\ntwo\n\n   \n", "two", 2, None, ""),
        ("\x1b[31mERROR\x1b[0m  no   space", "ERROR no space", 1, None, ""),
        ("10 %\r20 %\rfailed", "failed", 1, None, ""),
    ],
)  # fmt: skip
def test_the_error_and_its_place(stderr: str, text: str, at: int, script_line: int | None, file: str) -> None:
    assert _find(stderr) == RunError(text, at, script_line, file)


@pytest.mark.parametrize("form", [PYTHON, CHAINED, SYNTAX, GROUP, NODE, NODE_MODULE, NODE_ASSERT, BASH_SYNTAX])
def test_merged_streams_have_the_same_error(form: str) -> None:
    assert _find("", form).to_json() == _find(form).to_json()


def test_colours_do_not_hide_a_traceback() -> None:
    coloured = "\n".join(f"\x1b[1;35m{line}\x1b[0m" for line in PYTHON.split("\n"))
    assert _find(coloured).script_line == 41


def test_output_of_the_other_stream_between_the_lines() -> None:
    errors = PYTHON.split("\n")
    lines = [OutputLine(2 * index, True, text) for index, text in enumerate(errors, 1)]
    lines += [OutputLine(2 * index + 1, False, "progress") for index in range(1, len(errors) + 3)]
    found = find_error(sorted(lines))
    assert found == RunError("KeyError: 'vat_id'", 16, 41, "script.py")


def test_an_error_that_the_script_survived_is_not_the_last() -> None:
    logged = f"{PYTHON}\n" + "\n".join(f"try {number}" for number in range(6)) + "\ngiving up"
    assert _find(logged).text == "giving up"
    assert _find(f"{PYTHON}\nclosing the session").text == "KeyError: 'vat_id'"


def test_an_exception_that_python_ignored_is_not_the_error() -> None:
    ignored = f"fatal: no route\nException ignored in: <function x>\n{PYTHON}"
    assert (
        find_error(_make_lines(ignored.replace("Traceback (most recent call last):\n", "")), is_recognised_only=True)
        is None
    )


def test_the_last_line_of_stdout_only_if_stderr_is_empty() -> None:
    assert _find("warning: slow", "done\nbad").text == "warning: slow"
    assert _find("", "starting\nnot enough rows").text == "not enough rows"
    assert _find(" \n", "starting\nnot enough rows").text == "not enough rows"


def test_only_known_forms_for_ends_that_are_not_the_scripts() -> None:
    assert find_error(_make_lines("working"), is_recognised_only=True) is None
    assert find_error(_make_lines(PYTHON), is_recognised_only=True) is not None


@pytest.mark.parametrize("lines", [[], _make_lines("\n\n"), _make_lines("\x1b[31m\x1b[0m")])
def test_nothing_to_find(lines: list[OutputLine]) -> None:
    assert find_error(lines) is None


def test_the_text_is_short_and_harmless() -> None:
    long = _find("x" * 5000)
    assert (len(long.text), long.text[-1]) == (MAX_CHARS, "…")
    assert _find("a\u202eb\x00\x07<img src=x onerror=alert(1)>").text == "ab<img src=x onerror=alert(1)>"
    assert _find('  File "/' + "a" * 900 + '/x.py", line 1\nE: x').file == "a" * 115 + "/x.py"


def test_hostile_lines_cost_little() -> None:
    parts = [
        '  File "',
        "/",
        ":1",
        "    at ",
        "(",
        "Error",
        "  | ",
        "  + Exception Group Traceback",
        "^",
        "{",
        "x" * 50,
    ]
    chance = random.Random(5)
    lines = [OutputLine(n, True, "".join(chance.choices(parts, k=400))) for n in range(2000)]
    lines += [OutputLine(2000 + n, True, part * 4000) for n, part in enumerate(parts)]
    begun = time.process_time()
    find_error(lines)
    assert time.process_time() - begun < 10
