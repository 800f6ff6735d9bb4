"""Profiles and jobs that ask for more than the settings allow."""

from collections.abc import Iterator

from django.db.models import Q

from cronium_admin.jobs.models import Job
from cronium_admin.profiles.limits import CPU, MEMORY_MB, PIDS
from cronium_admin.profiles.models import Profile
from cronium_admin.workers.health.probe import Patient
from cronium_admin.workers.health.results import Row

_NAMED = 5  # the rest is counted


def ceilings(patient: Patient) -> Iterator[Row]:
    yield patient.ask(_ceilings)


def _ceilings() -> Row:
    maximum = f"{CPU.high} CPU, {MEMORY_MB.high:,} MB, {PIDS.high:,} processes"
    above = Q(cpu__gt=CPU.high) | Q(memory_mb__gt=MEMORY_MB.high) | Q(pids__gt=PIDS.high)
    profiles = [f"profile {name}" for name in Profile.objects.filter(above).values_list("name", flat=True)]
    jobs = [f"job {slug}" for slug in Job.objects.filter(above).values_list("slug", flat=True)]
    if not (found := profiles + jobs):
        return Row("ceilings", "ok", maximum)
    rest = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    return Row(
        "ceilings",
        "warning",
        f"Above the maximum of {maximum}, so that launches are refused: {', '.join(found[:_NAMED])}{rest}",
        "Lower their limits, or raise CRONIUM_MAX_CPU, CRONIUM_MAX_MEMORY_MB or CRONIUM_MAX_PIDS.",
    )
