"""Limits the memory that glibc's allocator keeps for a process with many threads."""

import ctypes
from contextlib import suppress

_M_ARENA_MAX = -8  # of glibc's malloc.h
ARENAS = 2


def limit_arenas() -> None:
    """Call before threads start. Otherwise glibc makes an arena for each thread, up to eight per core.

    Threads of Python hold the interpreter's lock for most allocations, so they do not wait for an arena. Does nothing
    with another C library.
    """
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, ARENAS)
