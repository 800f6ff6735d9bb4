"""Turns a database URL into Django's `DATABASES["default"]`. Every option of the URL reaches the driver."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import Conninfo, PGconn

Settings = dict[str, Any]
# WAL allows reads during a write. IMMEDIATE takes the write lock at the start of a transaction, so that the 20 s wait
# applies to it; an upgrade from a read lock to a write lock would fail at once.
SQLITE_OPTIONS = {"transaction_mode": "IMMEDIATE", "timeout": 20}
SQLITE_PRAGMAS = "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA cache_size=-16000;"
POSTGRES_OPTIONS = {"connect_timeout": "5"}
# `timeout`: seconds for which a request waits for a connection before it reports an outage.
POOL_DEFAULTS = {"min_size": 1, "max_size": 20, "timeout": 10.0}
_TRANSACTION_MODES = ("DEFERRED", "IMMEDIATE", "EXCLUSIVE")
_DJANGO_KEYS = {"user": "USER", "password": "PASSWORD", "host": "HOST", "port": "PORT", "dbname": "NAME"}
_EXAMPLE = "PostgreSQL URL such as postgres://user:password@host:5432/name"
_BAD_PERCENT = re.compile("%(?![0-9A-Fa-f]{2})")


def parse_database_url(url: str) -> Settings:
    """Raises ValueError for a URL that can't be used; the message contains no part that may be a password."""
    if _BAD_PERCENT.search(url):
        raise ValueError("has a % that is not followed by two hexadecimal digits; write %25 for a percent sign")
    try:
        parts = urlsplit(url)
    except ValueError:  # its message may contain a part of the password
        raise ValueError(f"is not a {_EXAMPLE}") from None
    return _parse_sqlite_url(parts) if parts.scheme == "sqlite" else _parse_postgres_url(parts)


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


def _parse_query(query: str) -> dict[str, str]:
    return dict(parse_qsl(query, keep_blank_values=True))


def _take_options(options: dict[str, str], readers: dict[str, Callable[[str], Any]]) -> dict[str, Any]:
    values = {}
    for name in [name for name in options if name in readers]:
        try:
            values[name] = readers[name](options.pop(name))
        except ValueError:
            raise ValueError(f"has a value for the option {name} that is not allowed") from None
    return values


def _refuse_unknown_options(options: dict[str, str], known: list[str]) -> None:
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
    options = _parse_query(parts.query)
    values = _take_options(options, _SQLITE_PARSERS)
    _refuse_unknown_options(options, list(_SQLITE_PARSERS))
    return build_sqlite_settings(path, values)


def _parse_bool(value: str) -> bool:
    values = {"true": True, "1": True, "on": True, "false": False, "0": False, "off": False}
    if value.lower() not in values:
        raise ValueError
    return values[value.lower()]


_POOL_PARSERS: dict[str, Callable[[str], Any]] = {
    **{f"pool_{name}": int for name in ("min_size", "max_size", "max_waiting", "num_workers")},
    **{f"pool_{name}": float for name in ("timeout", "max_lifetime", "max_idle", "reconnect_timeout")},
}
# Options of Django; all others are libpq's.
_DJANGO_PARSERS: dict[str, Callable[[str], Any]] = {
    "pool": _parse_bool,
    "assume_role": str,
    "server_side_binding": _parse_bool,
    "prepare_threshold": int,
    "currentSchema": str,
}


_INTEGER_OPTIONS = (
    *("connect_timeout", "keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count"),
    "tcp_user_timeout",
)
_NO_SOCKET = "/dev/null/none"


def _check_with_libpq(options: dict[str, Any]) -> None:
    # libpq checks the options before it opens the socket, which does not exist.
    for name in _INTEGER_OPTIONS:
        if not str(options.get(name, 0)).strip().lstrip("-").isdigit():
            raise ValueError(f"has an option {name} that is not a whole number")
    hidden = {option.keyword.decode() for option in Conninfo.get_defaults() if option.dispchar == b"*"}
    checked = {
        name: value for name, value in options.items() if name not in (*_DJANGO_KEYS, *hidden, "hostaddr", "service")
    }
    # With a password given, libpq does not read a password file.
    stand_in = {"host": _NO_SOCKET, "password": "none"}
    connection = PGconn.connect_start(make_conninfo(**checked, **stand_in).encode())
    message = connection.get_error_message()
    connection.finish()
    if _NO_SOCKET not in message:
        raise ValueError(f"has an option that PostgreSQL's client library refuses: {message}")


def _parse_postgres_url(parts: SplitResult) -> Settings:
    options = _parse_query(parts.query)
    pool_options = _take_options(options, _POOL_PARSERS)
    django_options = _take_options(options, _DJANGO_PARSERS)
    libpq_names = sorted(option.keyword.decode() for option in Conninfo.get_defaults())
    unknown = {name: value for name, value in options.items() if name not in (*libpq_names, "ssl")}
    _refuse_unknown_options(unknown, [*libpq_names, *_DJANGO_PARSERS, *_POOL_PARSERS])
    try:
        # libpq parses its own URLs (several hosts, sockets, brackets). It takes a + in a query literally.
        bare = f"{parts.scheme}://{parts.netloc}{parts.path}"
        libpq_options: dict[str, Any] = conninfo_to_dict(f"{bare}?{urlencode(options, quote_via=quote)}")
    except psycopg.ProgrammingError:
        raise ValueError(f"is not a {_EXAMPLE}") from None
    for port in filter(None, str(libpq_options.get("port", "")).split(",")):
        if not port.isdigit() or not 0 < int(port) < 65536:
            raise ValueError(
                "has a port that is not a number from 1 to 65535; write / @ : ? # and % in a password as %2F %40 "
                "%3A %3F %23 and %25"
            )
    if not libpq_options.get("dbname") and not libpq_options.get("service"):
        raise ValueError("must name the database, such as postgres://user:password@host:5432/name")
    _check_with_libpq(libpq_options)
    if schema := django_options.pop("currentSchema", ""):
        libpq_options["options"] = f"{libpq_options.get('options', '')} -c search_path={schema}".strip()
    pool: Any = _build_pool_options(django_options.pop("pool", True), pool_options)
    settings: Settings = {django: libpq_options.pop(libpq, "") for libpq, django in _DJANGO_KEYS.items()}
    return {
        "ENGINE": "cronium_admin.core.database.postgres",
        **settings,
        "OPTIONS": {**POSTGRES_OPTIONS, **libpq_options, **django_options, "pool": pool},
        "CONN_MAX_AGE": 0,
        # Connections that a restarted server has closed are replaced before use.
        "CONN_HEALTH_CHECKS": True,
    }


def _build_pool_options(is_enabled: bool, pool_options: dict[str, Any]) -> dict[str, Any] | Literal[False]:
    if not is_enabled:
        return False
    pool: dict[str, Any] = {
        **POOL_DEFAULTS,
        **{name.removeprefix("pool_"): value for name, value in pool_options.items()},
    }
    if "pool_max_size" in pool_options and "pool_min_size" not in pool_options:
        pool["min_size"] = min(POOL_DEFAULTS["min_size"], pool["max_size"])
    if pool["max_size"] < max(1, pool["min_size"]):
        raise ValueError("has a pool_max_size that is less than 1 or than pool_min_size")
    return pool
