"""Converts a Redis URL into the settings of the broker, the channel layer and the cache: kombu parses URLs differently
from redis-py."""

import os
import re
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

if TYPE_CHECKING:
    import redis

# Timeouts for a server that accepts connections and does not answer. Options of the URL override them. A blocking read
# takes up to 1 s for the broker and 5 s for the channel layer, so their timeouts are longer.
CONNECT_SECONDS, READ_SECONDS, LAYER_READ_SECONDS = 2.0, 5.0, 10.0
THROTTLE_READ_SECONDS = 1.0
MAX_SECONDS = 3600
_PLAIN_OPTIONS = frozenset(
    {
        *("db", "username", "password", "client_name", "protocol"),
        *("socket_timeout", "socket_connect_timeout", "socket_keepalive"),
        *("retry_on_timeout", "health_check_interval", "max_connections"),
    }
)
_TLS_OPTIONS = frozenset(
    {
        *("ssl_cert_reqs", "ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile", "ssl_password"),
        *("ssl_check_hostname", "ssl_ciphers", "ssl_include_verify_flags", "ssl_exclude_verify_flags"),
    }
)
_TCP_ONLY_OPTIONS = frozenset({"socket_connect_timeout", "socket_keepalive"})
_SECONDS_OPTIONS = frozenset({"socket_timeout", "socket_connect_timeout", "health_check_interval"})
_FILE_OPTIONS = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
# The connection options that kombu takes; it lacks `protocol`, and gets the database and user from its URL.
_BROKER_OPTIONS = _PLAIN_OPTIONS - {"db", "username", "password", "protocol"}
_EXAMPLE = "Redis URL such as redis://:password@host:6379/0"
_ESCAPES = "write / @ : ? # and % in a password as %2F %40 %3A %3F %23 and %25"
_BAD_PERCENT = re.compile("%(?![0-9A-Fa-f]{2})")


@dataclass(frozen=True)
class RedisAddress:
    """`url` is for redis-py, the `broker_*` fields are for kombu. Contains the password: never display it."""

    url: str = field(repr=False)
    broker_url: str = field(repr=False)
    broker_options: dict[str, Any] = field(repr=False)  # kombu's transport options
    broker_ssl: dict[str, Any] | None = field(repr=False)  # None: without TLS
    is_socket: bool

    def make_client(self, seconds: float) -> "redis.Redis":
        """A client for one command: `seconds` for the connection and `seconds` for the answer. The caller closes it."""
        import redis  # loaded only where Redis is used

        timeouts = {"socket_timeout": seconds} | ({} if self.is_socket else {"socket_connect_timeout": seconds})
        return redis.Redis.from_url(self.url, **timeouts)

    def build_options(self, read_seconds: float = READ_SECONDS) -> dict[str, Any]:
        """Keyword arguments for redis-py beside `url`; options of the URL override them."""
        timeouts = {"socket_timeout": read_seconds}
        return timeouts if self.is_socket else timeouts | {"socket_connect_timeout": CONNECT_SECONDS}


def parse_redis_url(url: str) -> RedisAddress:
    """Raises ValueError for a URL that can't be used; the message contains no part that may be a password."""
    from redis.connection import parse_url  # loaded only where Redis is used

    url = re.sub("^valkey", "redis", url)
    if _BAD_PERCENT.search(url):
        raise ValueError("has a % that is not followed by two hexadecimal digits; write %25 for a percent sign")
    try:
        parts = urlsplit(url)
    except ValueError:  # its message may contain a part of the password
        raise ValueError(f"is not a {_EXAMPLE}") from None
    options = _check_options(parts.scheme, dict(parse_qsl(parts.query, keep_blank_values=True)))
    # Django's cache splits its address at these characters.
    address = f"{parts.netloc}{parts.path}".replace(",", "%2C").replace(";", "%3B")
    url = f"{parts.scheme}://{address}" + (f"?{urlencode(options)}" if options else "")
    try:
        parsed: dict[str, Any] = parse_url(url)  # type: ignore[no-untyped-call]
        db = int(parsed.get("db", 0))
    except ValueError:
        raise ValueError(f"is not a {_EXAMPLE}; {_ESCAPES}") from None
    if parts.scheme != "unix" and not re.fullmatch(r"/?[0-9]*/?", unquote(parts.path)):
        raise ValueError("must end with the number of a database, such as redis://host:6379/0")
    user, password = parsed.get("username", ""), parsed.get("password", "")
    login = f"{quote(user, safe='')}:{quote(password, safe='')}@" if user or password else ""
    is_socket = parts.scheme == "unix"
    if is_socket:
        if not parsed.get("path"):
            raise ValueError("must name the socket, such as unix:///run/redis/redis.sock?db=0")
        broker = f"redis+socket://{login}{quote(parsed['path'])}?virtual_host={db}"
    else:
        host = parsed.get("host", "localhost")
        host = f"[{host}]" if ":" in host else quote(host, safe="")
        broker = f"{parts.scheme}://{login}{host}:{parsed.get('port', 6379)}/{db}"
    defaults = {"socket_timeout": READ_SECONDS} | ({} if is_socket else {"socket_connect_timeout": CONNECT_SECONDS})
    tls = {name: value for name, value in parsed.items() if name in _TLS_OPTIONS}
    if "ssl_cert_reqs" in tls:
        modes = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}
        tls["ssl_cert_reqs"] = modes[tls["ssl_cert_reqs"]]
    return RedisAddress(
        url=url,
        broker_url=broker,
        broker_options=defaults | {name: value for name, value in parsed.items() if name in _BROKER_OPTIONS},
        broker_ssl={"ssl_cert_reqs": ssl.CERT_REQUIRED, **tls} if parts.scheme == "rediss" else None,
        is_socket=is_socket,
    )


def _check_options(scheme: str, options: dict[str, str]) -> dict[str, str]:
    known = _PLAIN_OPTIONS | (_TLS_OPTIONS if scheme == "rediss" else frozenset())
    if scheme == "unix":
        known -= _TCP_ONLY_OPTIONS
    for name in options:
        if name in _TLS_OPTIONS and scheme != "rediss":
            raise ValueError(f"has the option {name}, which is for TLS: write rediss:// or valkeys://")
        if name not in known:
            raise ValueError(f"has the unknown option {name[:40]!r}; known are {', '.join(sorted(known))}")
    if "ssl_cert_reqs" in options:
        options["ssl_cert_reqs"] = options["ssl_cert_reqs"].lower().removeprefix("cert_")
        if options["ssl_cert_reqs"] not in ("none", "optional", "required"):
            raise ValueError("has an ssl_cert_reqs that is not required, optional or none")
    for name in _SECONDS_OPTIONS & options.keys():
        _check_seconds(name, options[name])
    for name in _FILE_OPTIONS:
        if name in options and not os.access(options[name], os.R_OK):
            raise ValueError(f"has the file {options[name]!r} as {name}, which does not exist or is not readable")
    return options


def _check_seconds(name: str, value: str) -> None:
    # An empty value counts as not given.
    minimum = 0 if name == "health_check_interval" else 0.01
    try:
        is_valid = not value or minimum <= float(value) <= MAX_SECONDS
    except ValueError:
        is_valid = False
    if not is_valid:
        raise ValueError(f"has a value for the option {name} that is not a number from {minimum} to {MAX_SECONDS}")
