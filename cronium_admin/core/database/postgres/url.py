"""Turns a PostgreSQL URL into Django's settings. Separate from `core.database.url`, because it loads the driver."""

from collections.abc import Callable
from typing import Any, Literal
from urllib.parse import SplitResult, quote, urlencode

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import Conninfo, PGconn

from cronium_admin.core.database.url import (
    POSTGRES_EXAMPLE,
    Settings,
    parse_query,
    refuse_unknown_options,
    take_options,
)

POSTGRES_OPTIONS = {"connect_timeout": "5"}
# `timeout`: seconds for which a request waits for a connection before it reports an outage.
POOL_DEFAULTS = {"min_size": 1, "max_size": 20, "timeout": 10.0}
_DJANGO_KEYS = {"user": "USER", "password": "PASSWORD", "host": "HOST", "port": "PORT", "dbname": "NAME"}


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


def parse_postgres_url(parts: SplitResult) -> Settings:
    """Raises ValueError as `parse_database_url` does."""
    options = parse_query(parts.query)
    pool_options = take_options(options, _POOL_PARSERS)
    django_options = take_options(options, _DJANGO_PARSERS)
    libpq_names = sorted(option.keyword.decode() for option in Conninfo.get_defaults())
    unknown = {name: value for name, value in options.items() if name not in (*libpq_names, "ssl")}
    refuse_unknown_options(unknown, [*libpq_names, *_DJANGO_PARSERS, *_POOL_PARSERS])
    try:
        # libpq parses its own URLs (several hosts, sockets, brackets). It takes a + in a query literally.
        bare = f"{parts.scheme}://{parts.netloc}{parts.path}"
        libpq_options: dict[str, Any] = conninfo_to_dict(f"{bare}?{urlencode(options, quote_via=quote)}")
    except psycopg.ProgrammingError:
        raise ValueError(f"is not a {POSTGRES_EXAMPLE}") from None
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
