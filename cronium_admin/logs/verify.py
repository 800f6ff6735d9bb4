"""Reads a stored log completely and compares it with its seal. Changes nothing."""

import hashlib
from dataclasses import dataclass, field

from cronium_admin.core.errors import ApiError
from cronium_admin.logs import read
from cronium_admin.logs.codec import unpack_index
from cronium_admin.logs.gaps import SPLIT
from cronium_admin.logs.models import LogGap, LogHead
from cronium_admin.runs.models import Run


@dataclass
class Verification:
    """`problems` is empty if the log matches its seal."""

    lines: int = 0
    bytes: int = 0
    digest: str = ""
    problems: list[str] = field(default_factory=list)


def verify_log(run: Run) -> Verification:
    """Check that every chunk of an ended run is in its place and complete, and that the digest matches the seal.

    Raises read.LogPruned if retention removes the log meanwhile.
    """
    result = Verification()
    try:
        _read_chunks(run, result)
    except read.LogPruned:
        raise
    except ApiError as error:
        result.problems.append(f"it cannot be read past line {result.lines}: {error.message}")
    else:
        _compare_with_seal(run, result)
    if result.problems:
        read.refuse_pruned(run.pk)
    return result


def _read_chunks(run: Run, result: Verification) -> None:
    digest = hashlib.sha256()
    for chunk in read.iterate_chunks(run.pk, 0):
        where = f"the chunk at line {chunk.first_seq}"
        if (chunk.first_seq, chunk.byte_offset) != (result.lines + 1, result.bytes):
            result.problems.append(
                f"{where}, byte {chunk.byte_offset} follows line {result.lines}, byte {result.bytes}"
            )
        try:
            text = read.read_chunk_text(chunk)
        except read.LogPruned:
            raise
        except Exception as error:  # noqa: BLE001 - reported as a problem of the log
            result.problems.append(f"{where} cannot be unpacked: {error or type(error).__name__}")
            text = b""
        counted = text.count(b"\n"), sum(entry.lines for entry in unpack_index(bytes(chunk.index))), len(text)
        if counted != (chunk.lines, chunk.lines, chunk.bytes):
            result.problems.append(f"{where} declares {chunk.lines} lines, {chunk.bytes} bytes and contains {counted}")
        digest.update(text)
        result.lines, result.bytes = chunk.first_seq + chunk.lines - 1, chunk.byte_offset + chunk.bytes
    result.digest = digest.hexdigest()


def _compare_with_seal(run: Run, result: Verification) -> None:
    sealed = {"lines": run.log_lines, "bytes": run.log_bytes, "SHA-256": run.log_digest, "gaps": run.log_gaps}
    gaps = LogGap.objects.filter(run=run).exclude(cause=SPLIT).count()
    stored = {"lines": result.lines, "bytes": result.bytes, "SHA-256": result.digest, "gaps": gaps}
    for name, value in sealed.items():
        if value != stored[name]:
            result.problems.append(f"its seal has {value} for {name}, the log has {stored[name]}")
    head = LogHead.objects.filter(run=run).first()
    if head is None or not head.sealed:
        result.problems.append("it was never sealed")
