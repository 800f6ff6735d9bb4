"""Protocols of the executor's output as the store takes it. The package `logs` does not import the executor."""

from typing import Protocol


class SegmentLike(Protocol):
    """Complete lines of one stream, read together (the executor's Segment)."""

    @property
    def stream(self) -> int: ...
    @property
    def lines(self) -> int: ...
    @property
    def unix_ns(self) -> int: ...
    @property
    def text(self) -> bytes: ...


class CursorLike(Protocol):
    @property
    def lines(self) -> int: ...
    @property
    def bytes(self) -> int: ...


class GapLike(Protocol):
    """Output is missing before line `at` of the batch, counted from 0."""

    @property
    def at(self) -> int: ...
    @property
    def cause(self) -> str: ...


class BatchLike(Protocol):
    """Output that is stored in one transaction (the executor's Batch)."""

    @property
    def segments(self) -> tuple[SegmentLike, ...]: ...
    @property
    def stdout(self) -> CursorLike: ...
    @property
    def stderr(self) -> CursorLike: ...
    @property
    def stdout_tail(self) -> bytes: ...
    @property
    def stderr_tail(self) -> bytes: ...
    @property
    def gaps(self) -> tuple[GapLike, ...]: ...
    @property
    def dropped(self) -> CursorLike: ...
