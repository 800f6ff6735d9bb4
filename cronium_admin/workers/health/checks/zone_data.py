"""Checks that all processes compute the times of schedules from the same time-zone data."""

from collections.abc import Iterator

from cron_rules.zones import TZDATA_VERSION
from cronium_admin.schedules.zone_reports import list_zone_data
from cronium_admin.workers.health.probe import HealthProbe
from cronium_admin.workers.health.results import CheckResult


def check_zone_data(probe: HealthProbe) -> Iterator[CheckResult]:
    found = probe.call_database(list_zone_data)
    others = {version: processes for version, processes in found.items() if version != TZDATA_VERSION}
    if not others:
        yield CheckResult("time zones", "ok", f"tzdata {TZDATA_VERSION} in every process")
        return
    parts = [f"{version} in {', '.join(processes[:3])}" for version, processes in sorted(others.items())]
    description = f"Processes use different versions of tzdata: {TZDATA_VERSION} here, {'; '.join(parts)}"
    yield CheckResult("time zones", "warning", description, "Install the same requirements everywhere, and restart.")
