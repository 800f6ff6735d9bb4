"""From the text of a Dockerfile to its logical lines: directives, comments, continuations and heredocs. Pure."""

import bisect
import re
from collections.abc import Iterator
from dataclasses import dataclass

_DIRECTIVE = re.compile(r"#\s*([A-Za-z][A-Za-z0-9]*)\s*=\s*(.*?)\s*")
_HEREDOC = re.compile(r"(?:^|(?<=\s))\d*<<(?P<tabs>-?)(?P<quote>['\"]?)(?P<name>[A-Za-z0-9_][\w.-]*)(?P=quote)")
_QUOTED = re.compile(r"\\.|'[^']*'|\"(?:[^\"\\]|\\.)*\"", re.DOTALL)
_WITH_HEREDOC = ("RUN", "COPY", "ADD")


class LineError(Exception):
    """A line that can't be read."""

    def __init__(self, number: int, text: str) -> None:
        super().__init__(text)
        self.number, self.text = number, text


@dataclass(frozen=True)
class Heredoc:
    """`text` ends with a newline, unless it is empty. `written` is the text as it stands in the Dockerfile."""

    name: str
    text: str
    expands: bool  # whether variables in it are replaced
    written: str = ""


@dataclass(frozen=True)
class Line:
    """One instruction: the number of its first line, its keyword in upper case, and the text after it."""

    number: int
    keyword: str
    rest: str
    heredocs: tuple[Heredoc, ...] = ()


def read_escape(lines: list[str]) -> tuple[str, int]:
    """The escape character, and the number of lines with directives. Raises LineError."""
    escape = "\\"
    for index, line in enumerate(lines):
        match = _DIRECTIVE.fullmatch(line)
        if match is None or match[1].lower() not in ("syntax", "escape", "check"):
            return escape, index
        if match[1].lower() == "escape":
            if match[2] not in ("\\", "`"):
                raise LineError(index + 1, "The escape character is \\ or `.")
            escape = match[2]
    return escape, len(lines)


def split_lines(lines: list[str], escape: str, start: int = 0) -> Iterator[Line]:
    """Raises LineError."""
    continued = re.compile(rf"(?:^|(?<=[^{re.escape(escape)}])){re.escape(escape)}[ \t]*$")
    index = start
    while index < len(lines):
        first, text = index, lines[index].lstrip()
        index += 1
        if not text or text.startswith("#"):
            continue
        parts = []
        while match := continued.search(text):
            parts.append(text[: match.start()])
            text = ""
            while index < len(lines) and (not lines[index].strip() or lines[index].lstrip().startswith("#")):
                index += 1
            if index < len(lines):
                text, index = lines[index], index + 1
        text = "".join([*parts, text])
        keyword, rest = _split_keyword(text)
        heredocs: list[Heredoc] = []
        if keyword in _WITH_HEREDOC:
            for match in _find_heredocs(rest):
                heredoc, index = _read_heredoc(match, lines, index, first)
                heredocs.append(heredoc)
        if keyword:
            yield Line(first + 1, keyword, rest, tuple(heredocs))


def _split_keyword(text: str) -> tuple[str, str]:
    words = text.split(None, 1)
    return (words[0].upper(), words[1].strip() if len(words) > 1 else "") if words else ("", "")


def _find_heredocs(rest: str) -> list[re.Match[str]]:
    # A mark within quotes is none, but the name of a heredoc may stand in quotes.
    quoted = [match.span() for match in _QUOTED.finditer(rest)]
    found = []
    for match in _HEREDOC.finditer(rest):
        before = bisect.bisect_left(quoted, (match.start(), 0)) - 1
        is_quoted = before >= 0 and match.start() < quoted[before][1]
        if not is_quoted and (match.end() == len(rest) or rest[match.end()] in " \t>|&;)"):
            found.append(match)
    return found


def _read_heredoc(match: re.Match[str], lines: list[str], index: int, first: int) -> tuple[Heredoc, int]:
    found: list[str] = []
    written: list[str] = []
    while index < len(lines):
        line = lines[index].lstrip("\t") if match["tabs"] else lines[index]
        written.append(lines[index])
        index += 1
        if line == match["name"]:
            return Heredoc(match["name"], _end(found), not match["quote"], _end(written)), index
        found.append(line)
    text = f"The heredoc {match['name']} has no end: write a line with {match['name']} alone."
    raise LineError(first + 1, text)


def _end(lines: list[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
