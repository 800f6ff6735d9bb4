"""Reads the error of a failed run from the end of its stored log, when the run ends.

The stored text is masked, and an adopted run has it too: its new worker has no earlier lines in memory.
"""

from typing import Any
from uuid import UUID

from cronium_admin.logs.codec import unpack_lines
from cronium_admin.logs.models import LogChunk
from cronium_admin.runs.error_lines import OutputLine, find_error

MAX_BYTES = 1024 * 1024  # of a chunk's text; a larger one is not read
_CHUNKS = 3  # the last ones: a fast log has chunks of 256 KiB
_ENOUGH_BYTES = 64 * 1024
_STDERR = 2


def find_run_error(run_id: UUID, *, is_recognised_only: bool = False) -> dict[str, Any] | None:
    """The value of `Run.error`. One query. Raises LogDamaged."""
    lines: list[OutputLine] = []
    size = 0
    for chunk in LogChunk.objects.filter(run_id=run_id, object_offset=None).order_by("-first_seq")[:_CHUNKS]:
        if chunk.bytes > MAX_BYTES or size >= _ENOUGH_BYTES:
            break
        lines = _read_lines(chunk) + lines
        size += chunk.bytes
    error = find_error(lines, is_recognised_only=is_recognised_only)
    return error.to_json() if error else None


def _read_lines(chunk: LogChunk) -> list[OutputLine]:
    stored = unpack_lines(chunk.first_seq, bytes(chunk.index), bytes(chunk.data))
    return [OutputLine(line.seq, line.stream == _STDERR, line.text.decode(errors="replace")) for line in stored]
