"""Runs with the same `serial_key` run one after the other, in the order of their nominal times."""

from collections.abc import Collection, Mapping, Sequence

from django.db.models import Exists, OuterRef, Q, QuerySet

from cronium_admin.runs.models import LIVE, Run


def is_turn() -> Q:
    """A condition on queued runs: no earlier run with the same key is live.

    The order is total, so two hosts never see the turn of two runs at once.
    """
    earlier = _select_earlier(OuterRef("serial_key"), OuterRef("scheduled_for"), OuterRef("pk"))
    return Q(serial_key=None) | ~Q(Exists(earlier))


def fetch_serial_runs(keys: Collection[str]) -> dict[str, list[Run]]:
    """The live runs by key, in their order."""
    found: dict[str, list[Run]] = {}
    rows = Run.objects.filter(serial_key__in=keys, status__in=LIVE) if keys else Run.objects.none()
    columns = ("number", "job_slug", "job_name", "serial_key", "scheduled_for")
    for run in rows.order_by("scheduled_for", "pk").only(*columns):
        found.setdefault(str(run.serial_key), []).append(run)
    return found


def find_earlier(run: Run, serial: Mapping[str, Sequence[Run]]) -> Run | None:
    """The live run that `run` waits for, among those of `fetch_serial_runs`: the first of its key."""
    first = next(iter(serial.get(run.serial_key or "", ())), None)
    return first if first is not None and first.pk != run.pk else None


def _select_earlier(key: object, scheduled_for: object, pk: object) -> QuerySet[Run]:
    is_earlier = Q(scheduled_for__lt=scheduled_for) | Q(scheduled_for=scheduled_for, pk__lt=pk)
    return Run.objects.filter(is_earlier, serial_key=key, status__in=LIVE)
