"""Fixtures of the tests of retention and archive: stored logs, storages, and crashes at any step."""

import hashlib
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from cronium_admin.logs import read
from cronium_admin.logs.archive.block_cache import block_cache
from cronium_admin.logs.codec import IndexEntry, pack_index, pack_text
from cronium_admin.logs.models import LogChunk, LogHead
from cronium_admin.logs.storage.file import FileBackend
from cronium_admin.runs.models import Run, Status

FOREVER = {"log_keep_days": 0, "log_keep_runs": 0}


@lru_cache
def text_of(lines: int, seed: int = 1) -> bytes:
    """Lines of many lengths, some of them not UTF-8."""
    rng = random.Random(seed)
    return b"".join(
        b"%d %s\n" % (number, rng.randbytes(rng.choice((0, 5, 70, 300))).replace(b"\n", b"")) for number in range(lines)
    )


def give_log(run: Run, text: bytes, chunk_lines: int = 50, ended: timedelta = timedelta(days=2)) -> Run:
    """Ends `run`, `ended` ago, with a log of `text` in chunks of this many lines."""
    lines, at, rows = text.split(b"\n")[:-1], 0, []
    for first in range(0, len(lines), chunk_lines):
        part = b"".join(line + b"\n" for line in lines[first : first + chunk_lines])
        count = part.count(b"\n")
        rows.append(
            LogChunk(
                run=run,
                first_seq=first + 1,
                lines=count,
                byte_offset=at,
                bytes=len(part),
                first_ns=first,
                last_ns=first,
                index=pack_index([IndexEntry(1 + len(rows) % 2, count, 1_700_000_000_000_000_000 + first)]),
                data=pack_text(part),
            )
        )
        at += len(part)
    LogChunk.objects.bulk_create(rows, batch_size=500)
    LogHead.objects.create(run=run, lines=len(lines), bytes=at, sealed=True)
    digest = hashlib.sha256(text).hexdigest()
    facts = {"log_lines": len(lines), "log_bytes": at, "log_digest": digest}
    Run.objects.filter(pk=run.pk).update(status=Status.SUCCEEDED, finished_at=timezone.now() - ended, **facts)
    run.refresh_from_db()
    return run


def whole(run: Run) -> bytes:
    """The log, read by all ways of reading, which must agree; the block cache is cleared first."""
    block_cache.clear()
    text = b"".join(read.read_text(run.pk))
    windows, seq = [], 0
    while found := read.read_lines(run.pk, seq, 333):
        windows += [line.text + b"\n" for line in found]
        seq = found[-1].seq
    assert b"".join(windows) == text
    return text


class Killed(BaseException):
    """The process was killed: it does nothing more, not even `finally` blocks."""


@contextmanager
def dying_at(step: int, monkeypatch: pytest.MonkeyPatch, *more: tuple[type, str]) -> Iterator[list[int]]:
    """From statement or storage call number `step` on, everything raises Killed; returns a list with the count.

    `more` names further methods that count as steps.
    """
    done = [0]

    def check() -> None:
        done[0] += 1
        if done[0] >= step:
            raise Killed

    def statement(execute: Callable[..., Any], *args: Any) -> Any:
        check()
        return execute(*args)

    with monkeypatch.context() as patched, connection.execute_wrapper(statement):
        for kind, name in [
            *((FileBackend, name) for name in ("write_object", "read_range", "fetch_size", "delete_object")),
            *more,
        ]:
            patched.setattr(kind, name, _checked(getattr(kind, name), check))
        yield done


def _checked(method: Callable[..., Any], check: Callable[[], None]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        check()
        return method(*args, **kwargs)

    return call


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]
