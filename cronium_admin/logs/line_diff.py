"""The differences of two lists of lines, in bounded time. Pure.

Lines that are unique in both lists are matched first (patience diff), then the parts between them. Parts that are
too large for an exact comparison, or that the time limit leaves, are given as replaced.
"""

import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

MAX_EXACT = 100_000  # lines of one part times lines of the other


@dataclass(frozen=True)
class Block:
    """The lines [a_start, a_end) of one list beside [b_start, b_end) of the other."""

    is_equal: bool
    a_start: int
    a_end: int
    b_start: int
    b_end: int


def diff_lines(a: Sequence[str], b: Sequence[str], seconds: float) -> tuple[list[Block], bool]:
    """The blocks in order, and whether the time limit was reached."""
    matcher = _Matcher(a, b, time.monotonic() + seconds)
    pairs = matcher.match_all()
    return _build_blocks(pairs, len(a), len(b)), matcher.is_late


class _Matcher:
    def __init__(self, a: Sequence[str], b: Sequence[str], end: float) -> None:
        self._a, self._b, self._end = a, b, end
        self.is_late = False

    def match_all(self) -> list[tuple[int, int]]:
        """The numbers of equal lines, ascending in both lists."""
        pairs: list[tuple[int, int]] = []
        parts = [(0, len(self._a), 0, len(self._b))]
        while parts:
            a_start, a_end, b_start, b_end = parts.pop()
            while a_start < a_end and b_start < b_end and self._a[a_start] == self._b[b_start]:
                pairs.append((a_start, b_start))
                a_start, b_start = a_start + 1, b_start + 1
            while a_start < a_end and b_start < b_end and self._a[a_end - 1] == self._b[b_end - 1]:
                a_end, b_end = a_end - 1, b_end - 1
                pairs.append((a_end, b_end))
            if a_start == a_end or b_start == b_end:
                continue
            if time.monotonic() > self._end:
                self.is_late = True
                continue
            anchors = self._find_anchors(a_start, a_end, b_start, b_end)
            if anchors:
                pairs += anchors
                starts = [(a_start, b_start), *((at + 1, other + 1) for at, other in anchors)]
                ends = [*anchors, (a_end, b_end)]
                parts += [(i, k, j, m) for (i, j), (k, m) in zip(starts, ends, strict=True)]
            elif (a_end - a_start) * (b_end - b_start) <= MAX_EXACT:
                pairs += self._match_exactly(a_start, a_end, b_start, b_end)
        return sorted(pairs)

    def _find_anchors(self, a_start: int, a_end: int, b_start: int, b_end: int) -> list[tuple[int, int]]:
        # The longest ascending sequence of lines that are unique in both parts
        counts_a, counts_b = Counter(self._a[a_start:a_end]), Counter(self._b[b_start:b_end])
        places = {self._b[at]: at for at in range(b_start, b_end) if counts_b[self._b[at]] == 1}
        unique = [
            (at, places[line]) for at in range(a_start, a_end) if counts_a[line := self._a[at]] == 1 and line in places
        ]
        tails: list[int] = []
        last: list[int] = []
        before: list[int] = []
        for index, (_, place) in enumerate(unique):
            length = bisect_left(tails, place)
            before.append(last[length - 1] if length else -1)
            if length == len(tails):
                tails.append(place)
                last.append(index)
            else:
                tails[length], last[length] = place, index
        chain, index = [], last[-1] if last else -1
        while index >= 0:
            chain.append(unique[index])
            index = before[index]
        return chain[::-1]

    def _match_exactly(self, a_start: int, a_end: int, b_start: int, b_end: int) -> list[tuple[int, int]]:
        matcher = SequenceMatcher(None, self._a[a_start:a_end], self._b[b_start:b_end], autojunk=False)
        return [
            (a_start + block.a + step, b_start + block.b + step)
            for block in matcher.get_matching_blocks()
            for step in range(block.size)
        ]


def _build_blocks(pairs: list[tuple[int, int]], a_count: int, b_count: int) -> list[Block]:
    blocks: list[Block] = []
    a_at = b_at = 0
    for a_next, b_next in [*pairs, (a_count, b_count)]:
        if a_next > a_at or b_next > b_at:
            blocks.append(Block(False, a_at, a_next, b_at, b_next))
        if a_next < a_count or b_next < b_count:
            last = blocks[-1] if blocks else None
            if last and last.is_equal and last.a_end == a_next and last.b_end == b_next:
                blocks[-1] = Block(True, last.a_start, a_next + 1, last.b_start, b_next + 1)
            else:
                blocks.append(Block(True, a_next, a_next + 1, b_next, b_next + 1))
        a_at, b_at = a_next + 1, b_next + 1
    return blocks
