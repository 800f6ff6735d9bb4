"""Compares two revisions of a job: the settings that differ, and the scripts as a unified diff."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import unified_diff
from itertools import takewhile
from typing import Any

from cronium_admin.jobs.models import JobRevision
from cronium_admin.jobs.revisions import is_same_setting

MAX_COMPARED_LINES = 2000  # of the part that differs; with more, a comparison can take many seconds
CONTEXT_LINES = 3
_HUNK = re.compile(r"@@ -(\d+)(.*?) \+(\d+)(.*) @@")


@dataclass(frozen=True)
class Change:
    field: str
    before: Any
    after: Any


def list_changes(before: JobRevision, after: JobRevision) -> list[Change]:
    """By field, without the script. Of `env`, only the variables that differ. Skips what a partial revision lacks."""
    known = sorted(before.values.keys() & after.values.keys())
    pairs = [(name, before.values[name], after.values[name]) for name in known]
    return [_make_change(*pair) for pair in pairs if not is_same_setting(*pair)]


def _make_change(name: str, before: Any, after: Any) -> Change:
    if name != "env":
        return Change(name, before, after)
    return Change(name, _omit_equal(before, after), _omit_equal(after, before))


def _omit_equal(variables: Mapping[str, str], others: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in variables.items() if others.get(name) != value}


def diff_scripts(before: str, after: str, before_name: str, after_name: str) -> str:
    """A unified diff that `patch` reads; empty if the scripts are equal.

    If too many lines lie between the first and the last difference, all of them are shown as replaced.
    """
    old, new = _split_lines(before), _split_lines(after)
    start = _count_common(old, new)
    end = _count_common(old[start:][::-1], new[start:][::-1])
    first = max(0, start - CONTEXT_LINES)
    cut = max(0, end - CONTEXT_LINES)
    old, new = old[first : len(old) - cut], new[first : len(new) - cut]
    if max(len(old), len(new)) > MAX_COMPARED_LINES:
        hunk = _replace_all(old, new, start - first, end - cut)
    else:
        hunk = list(unified_diff(old, new, n=CONTEXT_LINES, lineterm=""))[2:]
    if not hunk:
        return ""
    lines = [_HUNK.sub(lambda found: _shift_hunk(found, first), line) if line[0] == "@" else line for line in hunk]
    return "\n".join([f"--- {before_name}", f"+++ {after_name}", *lines]) + "\n"


def count_changed_lines(before: str, after: str) -> tuple[int, int]:
    """The numbers of added and of removed lines."""
    lines = diff_scripts(before, after, "", "").split("\n")[2:]
    return sum(line.startswith("+") for line in lines), sum(line.startswith("-") for line in lines)


def _split_lines(text: str) -> list[str]:
    *lines, rest = text.split("\n")
    return [*lines, f"{rest}\n\\ No newline at end of file"] if rest else lines


def _count_common(old: list[str], new: list[str]) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(old, new, strict=False)))


def _replace_all(old: list[str], new: list[str], before: int, after: int) -> list[str]:
    head = f"@@ -{1 if old else 0},{len(old)} +{1 if new else 0},{len(new)} @@"
    removed, added = old[before : len(old) - after], new[before : len(new) - after]
    kept = [[f" {line}" for line in lines] for lines in (old[:before], old[len(old) - after :])]
    return [head, *kept[0], *(f"-{line}" for line in removed), *(f"+{line}" for line in added), *kept[1]]


def _shift_hunk(found: "re.Match[str]", first: int) -> str:
    return f"@@ -{int(found[1]) + first}{found[2]} +{int(found[3]) + first}{found[4]} @@"
