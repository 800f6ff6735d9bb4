"""Finds the error of a failed run in the last lines of its log. Pure; the lines are hostile text.

Recognised are uncaught errors of Python and Node, and the messages of bash that name a line. Without one, the error is
the last line of stderr, or of stdout if the script wrote nothing to stderr.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from cronium_admin.core.terminal_text import strip_control

MAX_CHARS = 300  # of the error's text
MAX_LINES = 2000  # that are read, from the end
_MAX_FILE = 120  # characters of the file's name
_LINES_AFTER = 5  # lines of stderr that may follow an error; with more, the last line counts
_MESSAGE_LINES = 12  # of an error of Node, before its stack
_GROUP_LINES = 100  # of an exception group, after its own error
_SOURCE_LINES = 6  # between the place of an error of Node and the caret

_SCRIPT = re.compile(r"(?:file://)?/workspace/(script\.(?:py|mjs|js|sh))")
_FRAME = re.compile(r'\s*File "([^"]{1,1000})", line (\d{1,7})(?:, in .*)?')
_PYTHON_ERROR = re.compile(r"[A-Za-z_][\w.]{0,199}(?::(?: .*)?)?")
_SUB_ERROR = re.compile(r"    \| ([A-Za-z_][\w.]{0,199}(?:: .*)?)")
_IN_GROUP = re.compile(r"  [|+] ?")
_BASH = re.compile(r"([^\s:][^:]{0,1000}): line (\d{1,7}): (.+)")
_DASH = re.compile(r"(/workspace/script\.sh): (\d{1,7}): (.+)")
_BASH_FOLLOWS = re.compile(r"`.*'|syntax error: unexpected end of file.*")  # a second line about the same error
_HEADER = re.compile(r"((?:file://)?(?:/|node:)[^\s:]{1,1000}):(\d{1,7})")
_CARET = re.compile(r"\s*\^+\s*")
_STACK = re.compile(r"    at .{1,4000}")  # that of a cause is deeper
_STACK_PLACE = re.compile(r"((?:file://)?/[^:]{1,1000}):(\d{1,7}):\d{1,7}")
_NODE_ERROR = re.compile(
    r"(?:Uncaught )?\[?[A-Za-z_$][\w$.]{0,99}(?:Error|Exception|Rejection)(?: \[[\w-]{1,80}\])?(?::.*|\]?)"
)
_NOISE = re.compile(r"\s*|Node\.js v[\d.]+|\(Use `node --trace-.*\)|\s*\^+\s*|}")


class OutputLine(NamedTuple):
    """A line of the log; `number` counts from 1."""

    number: int
    is_stderr: bool
    text: str


@dataclass(frozen=True)
class RunError:
    """`line` is the number of the log's line. `script_line` is None if no line of the script is known."""

    text: str
    line: int
    script_line: int | None = None
    file: str = ""  # name of the script's file, or the path of another file; empty: unknown

    def to_json(self) -> dict[str, Any]:
        return {"text": self.text, "line": self.line, "script_line": self.script_line, "file": self.file}


class _Place(NamedTuple):
    file: str
    line: int


@dataclass(frozen=True)
class _Found:
    """An error at `at`, an index of the lines; its last line is at `end`."""

    text: str
    at: int
    end: int
    place: _Place | None = None
    is_bash: bool = False


def find_error(lines: Sequence[OutputLine], *, is_recognised_only: bool = False) -> RunError | None:
    """`lines` are the last ones of the log, in order. `is_recognised_only` ignores lines without a known form."""
    cleaned = [line._replace(text=strip_control(line.text)) for line in lines[-MAX_LINES:]]
    errors = [line for line in cleaned if line.is_stderr and line.text.strip()]
    read = errors or [line for line in cleaned if line.text.strip()]
    found = _find_recognised([line.text for line in read])
    if found is None and not is_recognised_only:
        found = _find_last([line.text for line in read])
    if found is None or not (text := _shorten(found.text)):
        return None
    file, script_line = _name_place(found.place)
    return RunError(text, read[found.at].number, script_line, file)


def _shorten(text: str) -> str:
    words = " ".join(text.split())
    return words if len(words) <= MAX_CHARS else f"{words[: MAX_CHARS - 1]}…"


def _name_place(place: _Place | None) -> tuple[str, int | None]:
    if place is None:
        return "", None
    if script := _SCRIPT.fullmatch(place.file):
        return script[1], place.line
    return place.file[-_MAX_FILE:], None


def _find_recognised(texts: list[str]) -> _Found | None:
    found = [error for search in _SEARCHES if (error := search(texts))]
    last = max(found, key=lambda error: error.at, default=None)
    if last is None:
        return None
    after = sum(_NOISE.fullmatch(text) is None for text in texts[last.end + 1 :])
    return None if after > (0 if last.is_bash else _LINES_AFTER) else last


def _find_last(texts: list[str]) -> _Found | None:
    for index in range(len(texts) - 1, -1, -1):
        if not _NOISE.fullmatch(texts[index]):
            return _Found(texts[index], index, index)
    return None


def _choose_place(places: Sequence[_Place]) -> _Place | None:
    """The last place in the script, or else the last."""
    own = [place for place in places if _SCRIPT.fullmatch(place.file)]
    return own[-1] if own else places[-1] if places else None


def _find_python(texts: list[str]) -> _Found | None:
    found: _Found | None = None
    places: list[_Place] = []
    is_group = is_ignored = False
    for index, text in enumerate(texts):
        if text.startswith("  + Exception Group Traceback"):
            is_group, places = True, []
            continue
        line = _IN_GROUP.sub("", text, count=1) if is_group and _IN_GROUP.match(text) else text
        if frame := _FRAME.fullmatch(line):
            places.append(_Place(frame[1], int(frame[2])))
        elif line.startswith("Traceback (most recent call last)"):
            places = []
        elif not line.startswith(" "):
            if places and not is_ignored and _PYTHON_ERROR.fullmatch(line):
                found = _make_python(texts, index, line, places, is_group=is_group)
            is_ignored = line.startswith("Exception ignored in")
            places, is_group = [], False
    return found


def _make_python(texts: list[str], at: int, line: str, places: list[_Place], *, is_group: bool) -> _Found:
    end, text = at, line
    if is_group:
        rest = texts[at + 1 : at + 1 + _GROUP_LINES]
        inner = next((match[1] for each in rest if (match := _SUB_ERROR.fullmatch(each)) and ":" in match[1]), "")
        end = at + sum(each.lstrip().startswith(("|", "+")) for each in rest)
        text = f"{line}; first: {inner}" if inner else line
    return _Found(text, at, end, _choose_place(places))


def _find_bash(texts: list[str]) -> _Found | None:
    found: _Found | None = None
    for index, text in enumerate(texts):
        if match := _BASH.fullmatch(text) or _DASH.fullmatch(text):
            place = _Place(match[1], int(match[2]))
            if found and found.end == index - 1 and _BASH_FOLLOWS.fullmatch(match[3]):
                found = _Found(found.text, found.at, index, found.place, is_bash=True)
            else:
                found = _Found(match[3], index, index, place, is_bash=True)
    return found


def _find_node(texts: list[str]) -> _Found | None:
    found: _Found | None = None
    index = 0
    header, header_at = None, 0
    while index < len(texts):
        text = texts[index]
        if match := _HEADER.fullmatch(text):
            header, header_at = _Place(match[1], int(match[2])), index
        elif _CARET.fullmatch(text) and header and index - header_at <= _SOURCE_LINES and index + 1 < len(texts):
            end = _find_stack_end(texts, index + 2)
            place = _place_stack(texts, index + 1, end, header)
            found = _Found(texts[index + 1].removesuffix(" {"), index + 1, end, place)
            index, header = end, None
        elif _STACK.fullmatch(text) and index and not texts[index - 1].startswith(" "):
            at, end = _find_message(texts, index - 1), _find_stack_end(texts, index)
            found = _Found(texts[at], at, end, _place_stack(texts, index, end, None))
            index = end
        index += 1
    return found


def _find_message(texts: list[str], last: int) -> int:
    """The first line of the message that ends at index `last`."""
    for index in range(last, max(-1, last - _MESSAGE_LINES), -1):
        if _NODE_ERROR.fullmatch(texts[index]):
            return index
    return last


def _find_stack_end(texts: list[str], index: int) -> int:
    """The index of the last line of a stack and its properties, which begin at `index`."""
    while index < len(texts) and (texts[index].startswith("  ") or texts[index] in ("}", "{")):
        index += 1
    return index - 1


def _place_stack(texts: list[str], start: int, end: int, header: _Place | None) -> _Place | None:
    calls = (text.removesuffix(" {").removesuffix(")") for text in texts[start : end + 1] if _STACK.fullmatch(text))
    matches = (_STACK_PLACE.fullmatch(re.split(r"[( ]", call)[-1]) for call in calls)
    places = [_Place(match[1], int(match[2])) for match in matches if match]
    own = next((place for place in places if _SCRIPT.fullmatch(place.file)), None)
    if own is None and header and header.file.startswith("node:"):
        header = None
    return own or header or (places[0] if places else None)


_SEARCHES: tuple[Callable[[list[str]], _Found | None], ...] = (_find_python, _find_node, _find_bash)
