"""The end of a run's stored log."""

from uuid import UUID

from cronium_admin.logs.codec import LogDamaged
from cronium_admin.logs.models import LogChunk
from cronium_admin.logs.read import read_chunk_text

BYTES = 8192
_CHUNKS = 16


def read_log_tail(run_id: UUID) -> bytes:
    """At most BYTES, masked; empty if there is no log."""
    text = b""
    for chunk in LogChunk.objects.filter(run_id=run_id).order_by("-first_seq")[:_CHUNKS]:
        try:
            text = read_chunk_text(chunk) + text
        except LogDamaged:
            break
        if len(text) >= BYTES:
            break
    return text[-BYTES:]
