"""Where a line of one script stands in another version of it. Pure."""

from difflib import SequenceMatcher
from itertools import takewhile

from cronium_admin.jobs.revision_changes import MAX_COMPARED_LINES


def split_script(text: str) -> list[str]:
    """The lines as interpreters and the editor count them."""
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").split("\n")


def find_line_in(old: str, new: str, line: int) -> int | None:
    """The line of `new` that is equal to line `line` of `old`, both from 1; None if it was changed or removed.

    None too if so many lines differ that a comparison would take seconds.
    """
    before, after = split_script(old), split_script(new)
    if not 1 <= line <= len(before):
        return None
    start = _count_common(before, after)
    if line <= start:
        return line
    end = min(_count_common(before[::-1], after[::-1]), len(before) - start, len(after) - start)
    if line > len(before) - end:
        return line + len(after) - len(before)
    old_part, new_part = before[start : len(before) - end], after[start : len(after) - end]
    if max(len(old_part), len(new_part)) > MAX_COMPARED_LINES:
        return None
    for block in SequenceMatcher(None, old_part, new_part, autojunk=False).get_matching_blocks():
        offset = line - 1 - start - block.a
        if 0 <= offset < block.size:
            return start + block.b + offset + 1
    return None


def _count_common(before: list[str], after: list[str]) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(before, after, strict=False)))
