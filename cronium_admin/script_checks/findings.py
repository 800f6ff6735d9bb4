"""From the output of a tool to problems with a place and words. Pure: the output may be anything."""

import json
import re
from dataclasses import asdict, dataclass
from typing import Any

from cronium_admin.script_checks.tools import ToolFailed, ToolOutput
from executor.run.script import BOM

MAX_PROBLEMS = 200
MAX_MESSAGE, MAX_RULE = 500, 40
_PLACE = re.compile(r"^/tmp/script\.m?js:(\d{1,7})$", re.MULTILINE)
_NODE_ERROR = re.compile(r"^([A-Za-z]*Error): (.+)$", re.MULTILINE)
_RULE = re.compile(r"[A-Za-z0-9-]{1,40}")


@dataclass(frozen=True)
class Problem:
    """Lines and columns count characters from 1; `end_column` is the one behind the last character."""

    line: int
    column: int
    end_line: int
    end_column: int
    severity: str  # error or warning
    tool: str
    rule: str
    message: str
    url: str  # of the rule's page; empty if it has none


def read_problems(language: str, output: ToolOutput) -> tuple[list[dict[str, Any]], bool]:
    """The problems in the order of their lines, and whether there are more. Raises ToolFailed."""
    reader = {"python": _read_ruff, "bash": _read_shellcheck, "node": _read_node}[language]
    try:
        problems = reader(output)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ToolFailed(f"The answer of the tool can't be read: {_clean(output.err, 200)}".strip(" :")) from error
    problems.sort(key=lambda problem: (problem.line, problem.column))
    return [asdict(problem) for problem in problems[:MAX_PROBLEMS]], len(problems) > MAX_PROBLEMS


def read_formatted(text: str, output: ToolOutput) -> str | None:
    """The formatted text, with the byte order mark of `text`; None if it does not change. Raises ToolFailed."""
    if output.code != 0:
        raise ToolFailed("The text can't be formatted while it has an error of syntax.")
    content = text.removeprefix(BOM)
    if not content.strip():
        return None
    if not output.out:  # it may have been cut, and never replaces a text by nothing
        raise ToolFailed("The tool gave no text.")
    return None if output.out == content else f"{BOM if text.startswith(BOM) else ''}{output.out}"


def _read_ruff(output: ToolOutput) -> list[Problem]:
    return [
        Problem(
            *_read_place(row["location"]["row"], row["location"]["column"]),
            *_read_place(row["end_location"]["row"], row["end_location"]["column"]),
            "error" if rule in ("invalid-syntax", "F821") or rule.startswith(("E9", "PLE")) else "warning",
            "ruff",
            rule,
            _clean(str(row["message"]), MAX_MESSAGE),
            _build_ruff_url(str(row.get("url") or "")),
        )
        for row in json.loads(output.out or "[]" if output.code in (0, 1) else "")
        for rule in [_clean_rule(row.get("code") or "invalid-syntax")]
    ]


def _build_ruff_url(url: str) -> str:
    return url if re.fullmatch(r"https://docs\.astral\.sh/ruff/rules/[a-z0-9-]{1,80}", url) else ""


def _read_shellcheck(output: ToolOutput) -> list[Problem]:
    rows = json.loads(output.out if output.code in (0, 1) else "")["comments"]
    return [
        Problem(
            *_read_place(row["line"], row["column"]),
            *_read_place(row["endLine"], row["endColumn"]),
            "error" if row["level"] == "error" else "warning",
            "shellcheck",
            f"SC{int(row['code'])}",
            _clean(str(row["message"]), MAX_MESSAGE),
            f"https://www.shellcheck.net/wiki/SC{int(row['code'])}",
        )
        for row in rows
    ]


def _read_node(output: ToolOutput) -> list[Problem]:
    if output.code == 0:
        return []
    error, place = _NODE_ERROR.search(output.err), _PLACE.search(output.err)
    if error is None:
        raise ValueError("no error of syntax")
    line = int(place[1]) if place else 1
    first, last = _find_carets(output.err, place.end()) if place else (1, 2)
    message = _clean(error[2], MAX_MESSAGE)
    return [Problem(line, first, line, last, "error", "node", error[1][:MAX_RULE], message, "")]


def _find_carets(text: str, start: int) -> tuple[int, int]:
    marks = next((line for line in text[start:].split("\n")[2:3] if line.strip(" \t").startswith("^")), "^")
    first = marks.index("^") + 1
    return first, first + marks.count("^")


def _read_place(line: Any, column: Any) -> tuple[int, int]:
    return max(1, min(int(line), 10**7)), max(1, min(int(column), 10**7))


def _clean_rule(value: Any) -> str:
    found = _RULE.fullmatch(str(value))
    return found[0] if found else "unknown"


def _clean(text: str, most: int) -> str:
    """One line without characters that no page shows."""
    return "".join(character if character.isprintable() else " " for character in text.strip()[:most])
