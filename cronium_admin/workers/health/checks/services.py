"""Checks of the services: the database and its tables, the broker, the channel layer, and reverse proxies."""

import asyncio
from collections.abc import Callable, Iterator
from datetime import timedelta
from ipaddress import ip_address, ip_network
from typing import Any

from channels import DEFAULT_CHANNEL_LAYER
from channels.layers import channel_layers
from django.conf import settings
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from cronium_admin.core.database.clock import Now
from cronium_admin.core.database.migration_state import list_unapplied_migrations
from cronium_admin.workers.health.probe import ANSWER_SECONDS, HealthProbe
from cronium_admin.workers.health.results import CheckResult
from cronium_admin.workers.hosts.models import Installation

NOTICED_WITHIN = timedelta(days=1)  # web processes record it every hour while it continues


def check_database(probe: HealthProbe) -> Iterator[CheckResult]:
    yield probe.call_database(_check_tables)


def _check_tables() -> CheckResult:
    unapplied = list_unapplied_migrations(MigrationExecutor(connection))
    description = f"{connection.display_name}"
    if unapplied:
        names = ", ".join(str(migration) for migration in unapplied[:3])
        description += f"; {len(unapplied)} unapplied migrations: {names}"
        return CheckResult("database", "failed", description, "Run `manage.py migrate`.")
    if connection.vendor == "sqlite" and (mode := _read_journal_mode()) != "wal":
        mend = "Put CRONIUM_DATA_DIR on a local disk: SQLite's WAL does not work on network file systems."
        return CheckResult("database", "warning", f"{description}, journal mode {mode}", mend)
    return CheckResult("database", "ok", description + (", WAL" if connection.vendor == "sqlite" else ""))


def _read_journal_mode() -> str:
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA journal_mode")
        return str(cursor.fetchone()[0])


def check_proxies(probe: HealthProbe) -> Iterator[CheckResult]:
    trusted = settings.CONFIG.trusted_proxies
    address = probe.call_database(_find_untrusted_proxy)
    if address and not any(ip_address(address) in ip_network(part) for part in trusted):
        description = (
            f"{address} sent X-Forwarded-For in the last day; it was ignored, so all its users share that address"
        )
        mend = f"If it is your proxy, set CRONIUM_TRUSTED_PROXIES={','.join([*trusted, address])} for web and worker."
        yield CheckResult("proxies", "warning", description, mend)
    else:
        yield CheckResult("proxies", "ok", f"Trusted: {', '.join(trusted)}" if trusted else "No proxy was noticed")


def _find_untrusted_proxy() -> str:
    recent = Installation.objects.filter(pk=1, untrusted_proxy_at__gt=Now() - NOTICED_WITHIN)
    return recent.values_list("untrusted_proxy", flat=True).first() or ""


def check_broker(_: HealthProbe) -> Iterator[CheckResult]:
    if not settings.CONFIG.redis_url:
        yield CheckResult("broker", "ok", "In memory: web and worker are one process (`manage.py serve`)")
        return
    yield (first := _check_service("broker", _ping_redis))
    if first.state == "ok":
        yield _check_service("channel layer", _try_channel_layer)


def _check_service(name: str, query: Callable[[], str]) -> CheckResult:
    from redis import RedisError  # loaded only where Redis is used

    mend = "Start Redis or Valkey, or correct CRONIUM_REDIS_URL."
    try:
        return CheckResult(name, "ok", query())
    except ValueError:  # its message may contain a part of the password
        return CheckResult(name, "failed", "CRONIUM_REDIS_URL is not an address", mend)
    except (RedisError, TimeoutError) as error:
        return CheckResult(name, "failed", f"No answer: {error or type(error).__name__}", mend)


def _ping_redis() -> str:
    address = settings.CONFIG.redis
    assert address is not None
    with address.make_client(ANSWER_SECONDS) as client:
        server: Any = client.info("server")
        return f"Redis {server['redis_version']}"


def _try_channel_layer() -> str:
    asyncio.run(send_through_layer(ANSWER_SECONDS))
    return "A message came back"


async def send_through_layer(seconds: float) -> None:
    """Uses a new channel layer: the process's own layer receives only in the event loop of its viewers.

    Raises TimeoutError if the round trip takes longer than `seconds`.
    """
    layer = channel_layers.make_backend(DEFAULT_CHANNEL_LAYER)
    try:
        async with asyncio.timeout(seconds):
            name = await layer.new_channel()
            await layer.send(name, {"type": "check"})
            await layer.receive(name)
    finally:
        if hasattr(layer, "close_pools"):
            await layer.close_pools()
