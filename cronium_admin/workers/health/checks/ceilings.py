"""Checks for profiles and jobs above the maximum resources of the settings."""

from collections.abc import Iterator

from django.db.models import Q

from cronium_admin.jobs.models import Job
from cronium_admin.profiles.limits import CPU, MEMORY_MB, PIDS
from cronium_admin.profiles.models import Profile
from cronium_admin.workers.health.probe import HealthProbe
from cronium_admin.workers.health.results import CheckResult

_NAMED = 5  # the others are counted


def check_ceilings(probe: HealthProbe) -> Iterator[CheckResult]:
    yield probe.call_database(_find_above_maximum)


def _find_above_maximum() -> CheckResult:
    maximum = f"{CPU.high} CPU, {MEMORY_MB.high:,} MB, {PIDS.high:,} processes"
    above = Q(cpu__gt=CPU.high) | Q(memory_mb__gt=MEMORY_MB.high) | Q(pids__gt=PIDS.high)
    profiles = [f"profile {name}" for name in Profile.objects.filter(above).values_list("name", flat=True)]
    jobs = [f"job {slug}" for slug in Job.objects.filter(above).values_list("slug", flat=True)]
    if not (names := profiles + jobs):
        return CheckResult("ceilings", "ok", maximum)
    others = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return CheckResult(
        "ceilings",
        "warning",
        f"Above the maximum of {maximum}, so that launches are refused: {', '.join(names[:_NAMED])}{others}",
        "Lower their limits, or raise CRONIUM_MAX_CPU, CRONIUM_MAX_MEMORY_MB or CRONIUM_MAX_PIDS.",
    )
