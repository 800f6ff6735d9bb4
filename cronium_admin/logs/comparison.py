"""Compares the logs of two runs: bounded in lines, bytes and seconds, and it says what it left out.

Of a long log it compares the first lines and the last ones, each with those of the other log.
"""

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from cronium_admin.core.errors import ApiError
from cronium_admin.logs import read
from cronium_admin.logs.codec import Line
from cronium_admin.logs.line_diff import Block, diff_lines

HEAD_LINES, TAIL_LINES = 3000, 1000  # of each log
MAX_BYTES = 1024 * 1024  # of each part of each log
MAX_LINE = 1000  # characters of a line that are compared and shown
MAX_SHOWN = 600  # lines of the result
CONTEXT_LINES = 3
SECONDS = 2.0
_ESCAPES = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]{0,200}(?:\x07|\x1b\\)?|[@-_])")
# What changes from run to run: times, ids, addresses of memory, durations and sizes.
_CHANGING = re.compile(
    r"\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?"
    r"|\b\d{1,2}:\d\d(?::\d\d(?:[.,]\d+)?)?\b"
    r"|\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"
    r"|\b0x[0-9a-fA-F]+\b|\b(?=[0-9a-f]*\d)[0-9a-f]{12,64}\b"
    r"|\b\d+(?:\.\d+)?(?:%|\s?(?:ns|us|µs|ms|s|sec|seconds|min|B|kB|KB|MB|GB|KiB|MiB|GiB)\b)"
    r"|\b\d+\.\d+\b|\b\d{5,}\b"
)


@dataclass(frozen=True)
class DiffLine:
    """`kind`: equal, removed (only in the first log), added, or skipped: `count` equal lines that are not shown.

    `a` and `b` are the numbers of the line in the logs; 0: it is not in that log.
    """

    kind: str
    text: str = ""
    a: int = 0
    b: int = 0
    count: int = 0


@dataclass(frozen=True)
class LogDiff:
    """`parts`: the lines by part of the logs. `notes`: what was not compared or is not shown, in sentences."""

    is_equal: bool
    removed: int
    added: int
    parts: list[list[DiffLine]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Side:
    head: list[Line]
    tail: list[Line]
    lines: int  # of the whole log
    note: str = ""

    @property
    def left_out(self) -> int:
        return self.lines - len(self.head) - len(self.tail)


def compare_logs(a: UUID, b: UUID, *, normalizes: bool, seconds: float = SECONDS) -> LogDiff:
    """`normalizes`: lines that differ only in times, ids and measured numbers count as equal."""
    end = time.monotonic() + seconds
    sides = [_read_side(run_id) for run_id in (a, b)]
    notes = [side.note for side in sides if side.note]
    if notes:
        return LogDiff(False, 0, 0, notes=notes)
    whole = all(not side.tail for side in sides)
    pairs = [([*sides[0].head], [*sides[1].head])]
    if not whole:
        pairs = _split_parts(sides)
        notes += [
            f"{side.left_out:,} lines in the middle of the {name} log were not compared."
            for side, name in zip(sides, ("first", "second"), strict=True)
            if side.left_out
        ]
    shown = _Result(normalizes, end)
    for old, new in pairs:
        shown.add_part(old, new)
    notes += shown.collect_notes()
    is_equal = whole and not (shown.removed or shown.added)
    return LogDiff(is_equal, shown.removed, shown.added, shown.parts, notes)


def _read_side(run_id: UUID) -> _Side:
    state = read.read_state(run_id)
    if state is None:
        return _Side([], [], 0, "One of the runs was deleted.")
    if state.pruned:
        return _Side([], [], 0, f"The log of #{state.number} can't be compared: {state.pruned}")
    try:
        head = read.read_lines(run_id, 0, HEAD_LINES, MAX_BYTES)
        reached = head[-1].seq if head else 0
        after = max(reached, state.lines - TAIL_LINES)
        tail = read.read_lines(run_id, after, TAIL_LINES, MAX_BYTES) if state.lines > reached else []
    except ApiError as error:
        return _Side([], [], 0, f"The log of #{state.number} can't be read: {error.message}")
    return _Side(head, tail, max(state.lines, reached))


def _split_parts(sides: Sequence[_Side]) -> list[tuple[list[Line], list[Line]]]:
    # A short log has no tail of its own: its last lines are compared with those of the long one.
    heads, tails = [], []
    for side in sides:
        if side.tail:
            heads.append(side.head)
            tails.append(side.tail)
        else:
            cut = max(len(side.head) // 2, len(side.head) - TAIL_LINES)
            heads.append(side.head[:cut])
            tails.append(side.head[cut:])
    return [(heads[0], heads[1]), (tails[0], tails[1])]


def _format_text(line: Line) -> str:
    text = _ESCAPES.sub("", line.text[: MAX_LINE * 4].decode(errors="replace")).rstrip("\r\n")
    return text if len(text) <= MAX_LINE else f"{text[:MAX_LINE]}…"


class _Result:
    def __init__(self, normalizes: bool, end: float) -> None:
        self.parts: list[list[DiffLine]] = []
        self.removed = self.added = 0
        self._normalizes, self._end = normalizes, end
        self._shown = self._hidden = 0
        self._is_late = False

    def add_part(self, old: list[Line], new: list[Line]) -> None:
        texts = [[_format_text(line) for line in lines] for lines in (old, new)]
        keys = [[_CHANGING.sub("#", text) for text in side] for side in texts] if self._normalizes else texts
        blocks, is_late = diff_lines(keys[0], keys[1], max(0.05, self._end - time.monotonic()))
        self._is_late = self._is_late or is_late
        part: list[DiffLine] = []
        for place, block in enumerate(blocks):
            if block.is_equal:
                self._add_equal(part, block, place == 0, place == len(blocks) - 1, (old, new), texts[1])
                continue
            self.removed += block.a_end - block.a_start
            self.added += block.b_end - block.b_start
            for at in range(block.a_start, block.a_end):
                self._add(part, DiffLine("removed", texts[0][at], a=old[at].seq))
            for at in range(block.b_start, block.b_end):
                self._add(part, DiffLine("added", texts[1][at], b=new[at].seq))
        if part:
            self.parts.append(part)

    def _add(self, part: list[DiffLine], line: DiffLine) -> None:
        if self._shown < MAX_SHOWN:
            part.append(line)
            self._shown += 1
        else:
            self._hidden += 1

    def _add_equal(
        self,
        part: list[DiffLine],
        block: Block,
        is_first: bool,
        is_last: bool,
        lines: tuple[list[Line], list[Line]],
        texts: list[str],
    ) -> None:
        size = block.a_end - block.a_start
        before, after = 0 if is_first else CONTEXT_LINES, 0 if is_last else CONTEXT_LINES
        if size <= before + after + 1:
            before, after = size, 0
        for step in range(before):
            self._add_equal_line(part, block, step, lines, texts)
        if skipped := size - before - after:
            part.append(DiffLine("skipped", count=skipped))
        for step in range(size - after, size):
            self._add_equal_line(part, block, step, lines, texts)

    def _add_equal_line(
        self, part: list[DiffLine], block: Block, step: int, lines: tuple[list[Line], list[Line]], texts: list[str]
    ) -> None:
        if self._shown >= MAX_SHOWN:
            return
        at, other = block.a_start + step, block.b_start + step
        part.append(DiffLine("equal", texts[other], lines[0][at].seq, lines[1][other].seq))
        self._shown += 1

    def collect_notes(self) -> list[str]:
        notes = [f"{self._hidden:,} more different lines are not shown."] if self._hidden else []
        if self._is_late:
            notes.append("The time limit was reached: the rest of the lines is shown as different.")
        return notes
