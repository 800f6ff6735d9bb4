"""The URLs of the database and of Redis: what reaches their drivers."""

import ssl
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from channels_redis.core import RedisChannelLayer
from django.core.cache.backends.redis import RedisCache
from kombu import Connection
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import Conninfo
from redis.connection import SSLConnection, UnixDomainSocketConnection

from cronium_admin.backup import databases
from cronium_admin.backup.errors import BackupError
from cronium_admin.core.database.postgres.base import DatabaseWrapper as Postgres
from cronium_admin.core.database.url import build_sqlite_settings, parse_database_url
from cronium_admin.core.redis_url import LAYER_READ_SECONDS, RedisAddress, parse_redis_url

# Django sets the encoding; a service file does not exist; a URL has the rest before its query.
ELSEWHERE = {"client_encoding", "service", "user", "password", "host", "port", "dbname"}
KEYWORDS = sorted({option.keyword.decode() for option in Conninfo.get_defaults()} - ELSEWHERE)


def to_wrapper(url: str) -> Postgres:
    made = {"TIME_ZONE": None, "TEST": {}, "AUTOCOMMIT": True, "ATOMIC_REQUESTS": False} | parse_database_url(url)
    return Postgres(made)


def to_driver(url: str) -> dict[str, Any]:
    """The arguments with which psycopg is called."""
    return to_wrapper(url).get_connection_params()


# libpq refuses other values of these; 17 is a value of the rest.
VALUES = {
    **{"channel_binding": "require", "gssencmode": "disable", "load_balance_hosts": "random"},
    **{"min_protocol_version": "3.0", "max_protocol_version": "latest", "require_auth": "scram-sha-256"},
    **{"ssl_min_protocol_version": "TLSv1.2", "ssl_max_protocol_version": "TLSv1.3", "sslcertmode": "require"},
    **{"sslmode": "verify-full", "sslnegotiation": "postgres", "target_session_attrs": "standby"},
    **{"scram_client_key": "A" * 43 + "%3D", "scram_server_key": "A" * 43 + "%3D"},
}


@pytest.mark.parametrize("keyword", KEYWORDS)
def test_every_keyword_of_libpq_reaches_it(keyword: str) -> None:
    value = VALUES.get(keyword, "17")
    assert to_driver(f"postgres://u:p@host/name?{keyword}={value}")[keyword] == unquote(value)


@pytest.mark.parametrize(
    ("url", "sent"),
    [
        ("postgres://h/d?sslmode=verify-ca&sslrootcert=%2Fa%20b", {"sslmode": "verify-ca", "sslrootcert": "/a b"}),
        ("postgresql://h/d?ssl=true", {"sslmode": "require"}),
        ("postgres://h/d", {"connect_timeout": "5"}),
        ("postgres://h/d?connect_timeout=31", {"connect_timeout": "31"}),
        ("postgres://h/d?options=-c%20statement_timeout%3D5s", {"options": "-c statement_timeout=5s"}),
        ("postgres://h/d?options=-c+statement_timeout%3D5s", {"options": "-c statement_timeout=5s"}),
        ("postgres://h/d?options=-c+a%3D1&currentSchema=s", {"options": "-c a=1 -c search_path=s"}),
        ("postgres://h/d?application_name=a%2Bb%26c", {"application_name": "a+b&c"}),
        ("postgres://one:1,two:2/d?target_session_attrs=read-write", {"host": "one,two", "port": "1,2"}),
        ("postgres://%2Frun%2Fpg/d", {"host": "/run/pg"}),
        ("postgres:///d?host=/run/pg&user=me", {"host": "/run/pg", "user": "me"}),
        ("postgres://u:p%40%2F%25@[2001:db8::5]:6/d", {"host": "2001:db8::5", "port": "6", "password": "p@/%"}),
    ],
)  # fmt: skip
def test_options_reach_postgresql(url: str, sent: dict[str, str]) -> None:
    params = to_driver(url)
    assert {name: params[name] for name in sent} == sent


@pytest.mark.parametrize(
    ("query", "pool"),
    [
        ("", {"min_size": 1, "max_size": 20, "timeout": 10.0}),
        ("?pool_max_size=5&pool_timeout=2.5", {"min_size": 1, "max_size": 5, "timeout": 2.5}),
        ("?pool_min_size=0&sslmode=require", {"min_size": 0, "max_size": 20, "timeout": 10.0}),
        ("?pool=false", False),
    ],
)
def test_the_pool_is_as_the_url_says(query: str, pool: Any) -> None:
    made = parse_database_url(f"postgres://h/d{query}")
    assert made["OPTIONS"]["pool"] == pool
    assert (made["CONN_MAX_AGE"], made["CONN_HEALTH_CHECKS"]) == (0, True)
    assert not any(name.startswith("pool") for name in to_driver(f"postgres://h/d{query}"))


def test_sqlite_keeps_our_pragmas_beside_its_options() -> None:
    options = parse_database_url("sqlite:////a/b%20c?timeout=7.5&init_command=PRAGMA+temp_store%3D2")["OPTIONS"]
    assert options["timeout"] == 7.5
    assert options["transaction_mode"] == "IMMEDIATE"
    assert options["init_command"].startswith("PRAGMA journal_mode=WAL;")
    assert options["init_command"].endswith("PRAGMA temp_store=2")
    assert parse_database_url("sqlite:////a/b%20c")["NAME"] == "/a/b c"


def test_a_data_folder_may_have_any_name() -> None:
    assert build_sqlite_settings(Path("/a?b#c%20d/x"))["NAME"] == "/a?b#c%20d/x"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgres://u:s3cr3t@h/d?sslmod=require", "'sslmod'"),
        ("postgres://u:s3/cr3t@h/d", "%2F"),
        ("postgres://u:s3cr3t%zz@h/d", "%25"),
        ("postgres://u:s3@cr3t:x@h/d", "port"),
        ("postgres://u:s3cr3t@h", "name the database"),
        ("postgres://u:s3cr3t@h:99999/d", "port"),
        ("postgres://u:s3cr3t@[::1/d", "PostgreSQL URL"),
        ("postgres://u:s3cr3t@h/d?pool=maybe", "option pool"),
        ("postgres://u:s3cr3t@h/d?pool_max_size=0", "pool_max_size"),
        ("postgres://u:s3cr3t@h/d?sslmode=bogus", "sslmode"),
        ("postgres://u:s3cr3t@h/d?sslmode=prefer&sslnegotiation=direct", "sslmode"),
        ("postgres://u:s3cr3t@h/d?channel_binding=perhaps&sslpassword=s3cr3t", "channel_binding"),
        ("postgres://u:s3cr3t@h/d?ssl_min_protocol_version=TLSv9", "ssl_min_protocol_version"),
        ("postgres://u:s3cr3t@h/d?target_session_attrs=some", "target_session_attrs"),
        ("postgres://u:s3cr3t@h/d?connect_timeout=soon", "connect_timeout"),
        ("postgres://u:s3cr3t@h/d?keepalives_idle=1.5", "keepalives_idle"),
        ("sqlite://:memory:", "file"),
        ("sqlite:///", "file"),
        ("sqlite:////x?mode=ro", "'mode'"),
        ("sqlite:////x?timeout=soon", "timeout"),
    ],
)
def test_what_is_no_database_is_named_without_its_password(url: str, said: str) -> None:
    with pytest.raises(ValueError, match=r".") as refused:
        parse_database_url(url)
    assert said in str(refused.value)
    assert "cr3t" not in str(refused.value)


def users(address: RedisAddress) -> dict[str, dict[str, Any]]:
    """The keywords with which each of the three clients connects."""
    options = address.build_options()
    cache = RedisCache(address.url, {"OPTIONS": options})._cache
    layer = RedisChannelLayer(hosts=[{"address": address.url, **address.build_options(LAYER_READ_SECONDS)}])
    broker = Connection(address.broker_url, ssl=address.broker_ssl, transport_options=address.broker_options)
    channel_class = broker.transport.Channel
    channel = channel_class.__new__(channel_class)
    channel.connection = broker.transport
    for name in channel_class.from_transport_options:
        known = name if isinstance(name, str) else name[1]
        if known in address.broker_options:
            setattr(channel, known, address.broker_options[known])
    return {
        "cache": cache._get_connection_pool(True).connection_kwargs,
        "layer": layer.create_pool(0).connection_kwargs,
        "broker": channel._connparams(),
        "classes": {
            "cache": cache._get_connection_pool(True).connection_class,
            "broker": channel._connparams()["connection_class"],
        },
    }


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    file = tmp_path / "ca.pem"
    file.write_text("")
    return file


def test_tls_options_reach_all_three_users_of_redis(authority: Path) -> None:
    address = parse_redis_url(
        f"valkeys://me:p%2F@cache.example:6380/3?ssl_ca_certs={authority}&ssl_check_hostname=false&socket_timeout=3"
    )
    made = users(address)
    for name in ("cache", "layer", "broker"):
        sent = made[name]
        assert (sent["host"], sent["port"], int(sent["db"])) == ("cache.example", 6380, 3)
        assert (sent["username"], sent["password"]) == ("me", "p/")
        assert sent["ssl_ca_certs"] == str(authority)
        assert sent["ssl_check_hostname"] is False
        assert sent["socket_timeout"] == 3
    assert issubclass(made["classes"]["cache"], SSLConnection)
    assert issubclass(made["classes"]["broker"], SSLConnection)


@pytest.mark.parametrize(
    ("query", "mode"),
    [("", ssl.CERT_REQUIRED), ("?ssl_cert_reqs=none", ssl.CERT_NONE), ("?ssl_cert_reqs=CERT_NONE", ssl.CERT_NONE)],
)  # fmt: skip
def test_the_broker_checks_certificates_unless_it_is_told_not_to(query: str, mode: ssl.VerifyMode) -> None:
    address = parse_redis_url(f"rediss://cache.example{query}")
    assert users(address)["broker"]["ssl_cert_reqs"] == mode
    words = {ssl.CERT_NONE: "none"}
    assert users(address)["cache"].get("ssl_cert_reqs") == words.get(mode)


def test_a_socket_reaches_all_three_users_of_redis() -> None:
    made = users(parse_redis_url("unix://me:p%40w@/run/a%20b/redis.sock?db=2&client_name=x"))
    for name in ("cache", "layer", "broker"):
        sent = made[name]
        assert sent["path"] == "/run/a b/redis.sock"
        assert (sent["username"], sent["password"], int(sent["db"])) == ("me", "p@w", 2)
        assert "socket_connect_timeout" not in sent
        assert sent["socket_timeout"] in (5, LAYER_READ_SECONDS)
    assert issubclass(made["classes"]["broker"], UnixDomainSocketConnection)


def test_a_silent_redis_is_given_up_by_default() -> None:
    made = users(parse_redis_url("redis://h/1"))
    assert {made[name]["socket_connect_timeout"] for name in ("cache", "layer", "broker")} == {2.0}
    assert made["layer"]["socket_timeout"] > 5, "its blocking read takes so long"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("redis://:s3cr3t@h/1?nonsense=1", "'nonsense'"),
        ("redis://:s3cr3t@h/1?ssl_cert_reqs=none", "rediss://"),
        ("rediss://:s3cr3t@h/1?ssl_cert_reqs=maybe", "required, optional or none"),
        ("rediss://:s3cr3t@h/1?ssl_ca_certs=/not/there.pem", "/not/there.pem"),
        ("redis://:s3cr3t@h/name", "number of a database"),
        ("redis://:s3/cr3t@h:1/0", "%2F"),
        ("redis://:s3cr3t%@h:1/0", "%25"),
        ("redis://:s3cr3t@h:99999/0", "Redis URL"),
        ("redis://:s3cr3t@[::1/0", "Redis URL"),
        ("redis://:s3cr3t@h?socket_timeout=soon", "socket_timeout"),
        ("unix://", "socket"),
    ],
)
def test_what_is_no_redis_is_named_without_its_password(url: str, said: str) -> None:
    with pytest.raises(ValueError, match=r".") as refused:
        parse_redis_url(url)
    assert said in str(refused.value)
    assert "cr3t" not in str(refused.value)


def test_the_programs_of_a_backup_connect_as_the_url_says(monkeypatch: pytest.MonkeyPatch) -> None:
    url = "postgres://u:s3cr3t@h:7/d?sslmode=verify-ca&sslrootcert=/a%20b&sslcrl=/c&target_session_attrs=primary"
    monkeypatch.setattr(databases, "connection", to_wrapper(url))
    conninfo, environment = databases._build_libpq_arguments()
    assert conninfo_to_dict(conninfo) == {
        **{"user": "u", "host": "h", "port": "7", "dbname": "d", "connect_timeout": "5", "sslmode": "verify-ca"},
        **{"sslrootcert": "/a b", "sslcrl": "/c", "target_session_attrs": "primary"},
    }
    assert environment == {"PGPASSWORD": "s3cr3t"}
    monkeypatch.setattr(databases, "connection", to_wrapper("postgres://h/d?sslpassword=s3cr3t"))
    with pytest.raises(BackupError, match="sslpassword") as refused:
        databases._build_libpq_arguments()
    assert "s3cr3t" not in str(refused.value)


def test_a_password_with_a_comma_reaches_all_three_users_of_redis() -> None:
    """Django's cache splits its URL at commas and semicolons."""
    address = parse_redis_url("redis://:a,b;c@h/2")
    for made in (value for name, value in users(address).items() if name != "classes"):
        assert (made["host"], made["password"], int(made["db"])) == ("h", "a,b;c", 2)


@pytest.mark.parametrize("option", ["socket_timeout", "socket_connect_timeout", "health_check_interval"])
@pytest.mark.parametrize("value", ["-1", "nan", "inf", "1e99"])
def test_a_time_that_no_socket_can_wait_is_refused(option: str, value: str) -> None:
    with pytest.raises(ValueError, match=option):
        parse_redis_url(f"redis://h/0?{option}={value}")


@pytest.mark.parametrize("value", ["-1", "nan", "inf"])
def test_a_time_that_sqlite_can_not_wait_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="timeout"):
        parse_database_url(f"sqlite:////x?timeout={value}")
