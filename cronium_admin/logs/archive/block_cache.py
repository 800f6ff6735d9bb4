"""Parts of archived logs as they were read last, a bounded number a process: who scrolls asks the archive seldom."""

import threading
from collections import OrderedDict
from dataclasses import dataclass

from cronium_admin.logs.storage.base import Missing, open_store

BLOCK = 256 * 1024  # bytes, some 1.5 MB of text
ROOM = 128  # blocks


@dataclass(frozen=True)
class Place:
    """An object of the archive that is whole and never changes: its store's URL, its name, its size in bytes."""

    store: str
    name: str
    size: int


class Blocks:
    """A cache of blocks, least recently used out first; for any thread. Two that miss the same block both fetch it."""

    def __init__(self, room: int = ROOM) -> None:
        self._room = room
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[Place, int], bytes] = OrderedDict()

    def read(self, place: Place, start: int, length: int, ahead: int = 0) -> bytes:
        """`length` bytes from `start` on. What is missing comes in one request, with `ahead` blocks after it.

        Raises depot.Missing and depot.Unavailable.
        """
        if start + length > place.size:
            raise Missing
        first, last = start // BLOCK, max(start, start + length - 1) // BLOCK
        found = {number: block for number in range(first, last + 1) if (block := self._get(place, number)) is not None}
        missing = [number for number in range(first, last + 1) if number not in found]
        if missing:
            found |= self._fetch(place, missing[0], max(missing[-1], missing[0] + ahead))
        begin = start - first * BLOCK
        data = b"".join(found[number] for number in range(first, last + 1))[begin : begin + length]
        if len(data) < length:
            raise Missing
        return data

    def _fetch(self, place: Place, first: int, last: int) -> dict[int, bytes]:
        start, stop = first * BLOCK, min((last + 1) * BLOCK, place.size)
        data = open_store(place.store).read(place.name, start, stop - start)
        if len(data) < stop - start:
            raise Missing
        blocks = {first + at // BLOCK: data[at : at + BLOCK] for at in range(0, len(data), BLOCK)}
        with self._lock:
            for number, block in blocks.items():
                self._kept[place, number] = block
            while len(self._kept) > self._room:
                self._kept.popitem(last=False)
        return blocks

    def _get(self, place: Place, number: int) -> bytes | None:
        with self._lock:
            block = self._kept.get((place, number))
            if block is not None:
                self._kept.move_to_end((place, number))
            return block

    def clear(self) -> None:
        with self._lock:
            self._kept.clear()


blocks = Blocks()
