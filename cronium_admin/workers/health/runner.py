"""Runs the health checks of `manage.py doctor`. Stores nothing except the isolation check's verdict."""

from collections.abc import Callable, Iterator

import requests
from django.db import DatabaseError
from docker.errors import DockerException

from cronium_admin.workers.health import canary
from cronium_admin.workers.health.checks import docker_engine, machine, services
from cronium_admin.workers.health.checks.ceilings import check_ceilings
from cronium_admin.workers.health.checks.log_storage import check_log_storage
from cronium_admin.workers.health.checks.own_images import check_own_images
from cronium_admin.workers.health.checks.zone_data import check_zone_data
from cronium_admin.workers.health.probe import DatabaseCall, HealthProbe, call_directly
from cronium_admin.workers.health.results import CheckResult
from cronium_admin.workers.own_engine import make_own_engine
from executor.checks.isolation import Probe, find_remedy
from executor.docker.errors import EngineError

# In the order in which failures should be fixed. Each check takes milliseconds if all is well.
CHECKS: dict[str, Callable[[HealthProbe], Iterator[CheckResult]]] = {
    "engine": docker_engine.check_engine,
    "database": services.check_database,
    "ceilings": check_ceilings,
    "images": docker_engine.check_images,
    "updates": check_own_images,
    "broker": services.check_broker,
    "proxies": services.check_proxies,
    "log storage": check_log_storage,
    "data folder": machine.check_data_folder,
    "disk": machine.check_disk,
    "address pool": docker_engine.check_address_pool,
    "reverse path": machine.check_reverse_path,
    "clock": docker_engine.check_clock,
    "time zones": check_zone_data,
}
_NEED_ENGINE = frozenset({"images", "address pool", "clock"})
NOT_CHECKED = "The check failed"


def run_checks(ask: DatabaseCall = call_directly) -> list[CheckResult]:
    """All checks except isolation. Queries to the engine hold no database connection if `ask` uses another thread."""
    probe = HealthProbe(ask)
    try:
        return [row for name, check in CHECKS.items() for row in _run_check(name, check, probe)]
    finally:
        probe.close()


def _run_check(
    name: str, check: Callable[[HealthProbe], Iterator[CheckResult]], probe: HealthProbe
) -> list[CheckResult]:
    if name in _NEED_ENGINE and probe.client is None:
        return [CheckResult(name, "warning", "Not checked: no engine answers.", "Fix the engine first.")]
    rows: list[CheckResult] = []
    was_away = probe.is_database_away
    try:
        rows.extend(check(probe))
    except DatabaseError as error:
        mend = "Fix the database first." if was_away else "Fix the cause that the message names."
        rows.append(CheckResult(name, "failed", f"{NOT_CHECKED}: {error}", mend))
    except (DockerException, requests.RequestException, OSError) as error:
        rows.append(CheckResult(name, "failed", f"{NOT_CHECKED}: {error}", "Fix the cause that the message names."))
    return rows


def is_database_away(rows: list[CheckResult]) -> bool:
    return any(row.name == "database" and row.found.startswith(NOT_CHECKED) for row in rows)


def check_isolation(host: str) -> list[CheckResult]:
    try:
        probes = canary.make_canary(make_own_engine(), host).run()
        canary.store_verdict(host, probes)
    except EngineError as error:
        remedy = "Fix the cause that the message names and run doctor again: the isolation of this host is unknown."
        return [CheckResult("isolation", "warning", str(error), remedy)]
    except DatabaseError as error:
        return [CheckResult("isolation", "failed", f"{NOT_CHECKED}: {error}", "Fix the database first.")]
    return [_make_probe_result(probe) for probe in probes]


def _make_probe_result(probe: Probe) -> CheckResult:
    name = f"isolation: {probe.name}"
    if probe.held is None:
        return CheckResult(name, "warning", f"not tried: {probe.found}", "See the message. The other probes ran.")
    if probe.held:
        return CheckResult(name, "ok", "held")
    return CheckResult(name, "failed", f"escaped: {probe.found}", find_remedy(probe.name))
