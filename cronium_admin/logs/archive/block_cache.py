"""Parts of archived logs as they were read last, a bounded number a process: who scrolls asks the archive seldom."""

import threading
from collections import OrderedDict
from dataclasses import dataclass

from cronium_admin.logs.storage.base import ObjectMissing, open_backend

BLOCK_BYTES = 256 * 1024  # bytes, some 1.5 MB of text
MAX_BLOCKS = 128  # blocks


@dataclass(frozen=True)
class ObjectRef:
    """An object of the archive that is whole and never changes: its store's URL, its name, its size in bytes."""

    store: str
    name: str
    size: int


class BlockCache:
    """A cache of blocks, least recently used out first; for any thread. Two that miss the same block both fetch it."""

    def __init__(self, room: int = MAX_BLOCKS) -> None:
        self._max_blocks = room
        self._lock = threading.Lock()
        self._blocks: OrderedDict[tuple[ObjectRef, int], bytes] = OrderedDict()

    def read_range(self, place: ObjectRef, start: int, length: int, ahead: int = 0) -> bytes:
        """`length` bytes from `start` on. What is missing comes in one request, with `ahead` blocks after it.

        Raises depot.Missing and depot.Unavailable.
        """
        if start + length > place.size:
            raise ObjectMissing
        first, last = start // BLOCK_BYTES, max(start, start + length - 1) // BLOCK_BYTES
        found = {
            number: block for number in range(first, last + 1) if (block := self._get_cached(place, number)) is not None
        }
        missing = [number for number in range(first, last + 1) if number not in found]
        if missing:
            found |= self._fetch_blocks(place, missing[0], max(missing[-1], missing[0] + ahead))
        begin = start - first * BLOCK_BYTES
        data = b"".join(found[number] for number in range(first, last + 1))[begin : begin + length]
        if len(data) < length:
            raise ObjectMissing
        return data

    def _fetch_blocks(self, place: ObjectRef, first: int, last: int) -> dict[int, bytes]:
        start, stop = first * BLOCK_BYTES, min((last + 1) * BLOCK_BYTES, place.size)
        data = open_backend(place.store).read_range(place.name, start, stop - start)
        if len(data) < stop - start:
            raise ObjectMissing
        blocks = {first + at // BLOCK_BYTES: data[at : at + BLOCK_BYTES] for at in range(0, len(data), BLOCK_BYTES)}
        with self._lock:
            for number, block in blocks.items():
                self._blocks[place, number] = block
            while len(self._blocks) > self._max_blocks:
                self._blocks.popitem(last=False)
        return blocks

    def _get_cached(self, place: ObjectRef, number: int) -> bytes | None:
        with self._lock:
            block = self._blocks.get((place, number))
            if block is not None:
                self._blocks.move_to_end((place, number))
            return block

    def clear(self) -> None:
        with self._lock:
            self._blocks.clear()


block_cache = BlockCache()
