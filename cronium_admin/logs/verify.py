"""Reads a stored log from end to end and compares it with its seal. Changes nothing."""

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
    """What was found; `problems` are sentences, none when the log is what its seal says."""

    lines: int = 0
    bytes: int = 0
    digest: str = ""
    problems: list[str] = field(default_factory=list)


def verify_log(run: Run) -> Verification:
    """Every chunk of a run that has ended: in its place, whole, and with the digest of the seal.

    Raises read.Pruned where retention removes it meanwhile.
    """
    found = Verification()
    try:
        _read_chunks(run, found)
    except read.LogPruned:
        raise
    except ApiError as error:
        found.problems.append(f"it can't be read past line {found.lines}: {error.message}")
    else:
        _compare_with_seal(run, found)
    if found.problems:
        read.refuse_pruned(run.pk)
    return found


def _read_chunks(run: Run, found: Verification) -> None:
    digest = hashlib.sha256()
    for chunk in read.iterate_chunks(run.pk, 0):
        where = f"the chunk at line {chunk.first_seq}"
        if (chunk.first_seq, chunk.byte_offset) != (found.lines + 1, found.bytes):
            found.problems.append(f"{where}, byte {chunk.byte_offset} follows line {found.lines}, byte {found.bytes}")
        try:
            text = read.read_chunk_text(chunk)
        except read.LogPruned:
            raise
        except Exception as error:  # noqa: BLE001 - whatever broke it, that is what is to be told
            found.problems.append(f"{where} can't be unpacked: {error or type(error).__name__}")
            text = b""
        counted = text.count(b"\n"), sum(entry.lines for entry in unpack_index(bytes(chunk.index))), len(text)
        if counted != (chunk.lines, chunk.lines, chunk.bytes):
            found.problems.append(f"{where} says {chunk.lines} lines, {chunk.bytes} bytes and holds {counted}")
        digest.update(text)
        found.lines, found.bytes = chunk.first_seq + chunk.lines - 1, chunk.byte_offset + chunk.bytes
    found.digest = digest.hexdigest()


def _compare_with_seal(run: Run, found: Verification) -> None:
    sealed = {"lines": run.log_lines, "bytes": run.log_bytes, "SHA-256": run.log_digest, "gaps": run.log_gaps}
    gaps = LogGap.objects.filter(run=run).exclude(cause=SPLIT).count()
    holds = {"lines": found.lines, "bytes": found.bytes, "SHA-256": found.digest, "gaps": gaps}
    for name, value in sealed.items():
        if value != holds[name]:
            found.problems.append(f"its seal says {value} for {name}, and it holds {holds[name]}")
    head = LogHead.objects.filter(run=run).first()
    if head is None or not head.sealed:
        found.problems.append("it was never sealed")
