"""Removes from files what differs from build to build: days, caches, logs, ids, times of compilation. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal

# Takes a file's contents and the epoch.
Cleaner = Callable[[bytes, int], bytes]
Rule = Cleaner | Literal["empty", "compiled"]

# Larger files of these names are left as they are.
MAX_CLEANED = 16 << 20
COMPILED_HEADER = 16  # bytes of a .pyc file before its code

# The files stay, empty: without the file of an upper layer that of a lower one would appear.
_EMPTY = re.compile(
    rb"""(?x)
    etc/machine-id | var/lib/dbus/machine-id | var/lib/systemd/random-seed
    | var/cache/ldconfig/aux-cache
    | var/cache/apt/(?:src)?pkgcache\.bin
    | var/log/(?:apt/.+ | (?:dpkg|alternatives|bootstrap|apk|fontconfig)\.log(?:\..+)? | lastlog | faillog | [wb]tmp)
    """
)
_HASH_BASED, _UNCHECKED = 0b01, bytes(8)
# PEP 552 begins with the first version of 3.7. Other interpreters and older versions have other numbers.
_FIRST_MAGIC, _LAST_MAGIC = 3390, 3999


def find_rule(name: bytes) -> Rule | None:
    if name.endswith(b".pyc"):
        return "compiled"
    if name in (b"etc/shadow", b"etc/shadow-"):
        return clean_shadow
    if name.startswith((b"etc/", b"var/")) and _EMPTY.fullmatch(name):
        return "empty"
    return None


def clean_shadow(content: bytes, epoch: int) -> bytes:
    """Clamps the day of the last password change. 0 stays: it demands a change at the next sign-in."""
    last_day = epoch // 86400
    lines = []
    for line in content.split(b"\n"):
        fields = line.split(b":")
        if len(fields) == 9 and fields[2].isdigit() and int(fields[2]) > last_day:
            fields[2] = b"%d" % last_day
        lines.append(b":".join(fields))
    return b"\n".join(lines)


def clean_compiled_header(header: bytes) -> bytes:
    """Replaces the source's time by "unchecked": the clamped times of the sources would make each .pyc file stale."""
    magic = int.from_bytes(header[:2], "little")
    is_timed = len(header) == COMPILED_HEADER and header[2:4] == b"\r\n" and not any(header[4:8])
    if not is_timed or not _FIRST_MAGIC <= magic <= _LAST_MAGIC:
        return header
    return header[:4] + _HASH_BASED.to_bytes(4, "little") + _UNCHECKED
