"""Turns a database URL into Django's `DATABASES["default"]`. Every option of the URL reaches the driver."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

Settings = dict[str, Any]
# WAL allows reads during a write. IMMEDIATE takes the write lock at the start of a transaction, so that the 20 s wait
# applies to it; an upgrade from a read lock to a write lock would fail at once.
SQLITE_OPTIONS = {"transaction_mode": "IMMEDIATE", "timeout": 20}
SQLITE_PRAGMAS = "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA cache_size=-16000;"
_TRANSACTION_MODES = ("DEFERRED", "IMMEDIATE", "EXCLUSIVE")
POSTGRES_EXAMPLE = "PostgreSQL URL such as postgres://user:password@host:5432/name"
_BAD_PERCENT = re.compile("%(?![0-9A-Fa-f]{2})")


def parse_database_url(url: str) -> Settings:
    """Raises ValueError for a URL that can't be used; the message contains no part that may be a password."""
    if _BAD_PERCENT.search(url):
        raise ValueError("has a % that is not followed by two hexadecimal digits; write %25 for a percent sign")
    try:
        parts = urlsplit(url)
    except ValueError:  # its message may contain a part of the password
        raise ValueError(f"is not a {POSTGRES_EXAMPLE}") from None
    if parts.scheme == "sqlite":
        return _parse_sqlite_url(parts)
    from cronium_admin.core.database.postgres.url import parse_postgres_url  # loads the driver

    return parse_postgres_url(parts)


def build_sqlite_settings(path: Path | str, options: dict[str, Any] | None = None) -> Settings:
    """`options` override the defaults; their `init_command` follows the default pragmas."""
    driver_options = dict(options or {})
    pragmas = f"{SQLITE_PRAGMAS} {driver_options.pop('init_command', '')}".strip()
    # A connection is closed after its request: under ASGI each request has its own thread.
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(path),
        "OPTIONS": {**SQLITE_OPTIONS, "init_command": pragmas, **driver_options},
        "CONN_MAX_AGE": 0,
    }


def parse_query(query: str) -> dict[str, str]:
    return dict(parse_qsl(query, keep_blank_values=True))


def take_options(options: dict[str, str], readers: dict[str, Callable[[str], Any]]) -> dict[str, Any]:
    values = {}
    for name in [name for name in options if name in readers]:
        try:
            values[name] = readers[name](options.pop(name))
        except ValueError:
            raise ValueError(f"has a value for the option {name} that is not allowed") from None
    return values


def refuse_unknown_options(options: dict[str, str], known: list[str]) -> None:
    if options:
        raise ValueError(f"has the unknown option {next(iter(options))[:40]!r}; known are {', '.join(known)}")


def _parse_transaction_mode(value: str) -> str:
    if value.upper() not in _TRANSACTION_MODES:
        raise ValueError
    return value.upper()


def _parse_seconds(value: str) -> float:
    seconds = float(value)
    if not 0 <= seconds <= 3600:
        raise ValueError
    return seconds


_SQLITE_PARSERS: dict[str, Callable[[str], Any]] = {
    "timeout": _parse_seconds,
    "transaction_mode": _parse_transaction_mode,
    "init_command": str,
    "cached_statements": int,
}


def _parse_sqlite_url(parts: SplitResult) -> Settings:
    path = unquote(parts.path[1:])
    if parts.netloc or not path:
        raise ValueError("must name a file, such as sqlite:////var/lib/cronium/cronium.sqlite3 (four slashes)")
    options = parse_query(parts.query)
    values = take_options(options, _SQLITE_PARSERS)
    refuse_unknown_options(options, list(_SQLITE_PARSERS))
    return build_sqlite_settings(path, values)
