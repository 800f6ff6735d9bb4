"""Caches the blocks of archived logs that were read last, so that scrolling rarely queries the archive. The number of
blocks per process is bounded."""

import threading
from dataclasses import dataclass

from cachetools import LRUCache

from cronium_admin.logs.storage.base import ObjectMissing, open_backend

BLOCK_BYTES = 256 * 1024  # bytes, some 1.5 MB of text
MAX_BLOCKS = 128  # blocks


@dataclass(frozen=True)
class ObjectRef:
    """A complete, immutable object of the archive: the URL of its storage, its name, and its size in bytes."""

    store: str
    name: str
    size: int


class BlockCache:
    """A thread-safe LRU cache of blocks. Two threads that miss the same block both fetch it."""

    def __init__(self, room: int = MAX_BLOCKS) -> None:
        self._lock = threading.Lock()
        self._blocks: LRUCache[tuple[ObjectRef, int], bytes] = LRUCache(room)

    def read_range(self, place: ObjectRef, start: int, length: int, ahead: int = 0) -> bytes:
        """`length` bytes from offset `start`. One request fetches the missing blocks and `ahead` blocks after them.

        Raises ObjectMissing and StorageUnavailable.
        """
        if start + length > place.size:
            raise ObjectMissing
        first, last = start // BLOCK_BYTES, max(start, start + length - 1) // BLOCK_BYTES
        blocks = {
            number: block for number in range(first, last + 1) if (block := self._get_cached(place, number)) is not None
        }
        missing = [number for number in range(first, last + 1) if number not in blocks]
        if missing:
            blocks |= self._fetch_blocks(place, missing[0], max(missing[-1], missing[0] + ahead))
        begin = start - first * BLOCK_BYTES
        data = b"".join(blocks[number] for number in range(first, last + 1))[begin : begin + length]
        if len(data) < length:
            raise ObjectMissing
        return data

    def _fetch_blocks(self, place: ObjectRef, first: int, last: int) -> dict[int, bytes]:
        start, stop = first * BLOCK_BYTES, min((last + 1) * BLOCK_BYTES, place.size)
        data = open_backend(place.store).read_range(place.name, start, stop - start)
        if len(data) < stop - start:
            raise ObjectMissing
        blocks = {
            first + offset // BLOCK_BYTES: data[offset : offset + BLOCK_BYTES]
            for offset in range(0, len(data), BLOCK_BYTES)
        }
        with self._lock:
            self._blocks.update({(place, number): block for number, block in blocks.items()})
        return blocks

    def _get_cached(self, place: ObjectRef, number: int) -> bytes | None:
        with self._lock:
            return self._blocks.get((place, number))

    def clear(self) -> None:
        with self._lock:
            self._blocks.clear()


block_cache = BlockCache()
