"""Runs with the same `serial_key` run one after the other, in the order of their nominal times."""

from django.db.models import Exists, OuterRef, Q, QuerySet

from cronium_admin.runs.models import LIVE, Run


def is_turn() -> Q:
    """A condition on queued runs: no earlier run with the same key is live.

    The order is total, so two hosts never see the turn of two runs at once.
    """
    earlier = _select_earlier(OuterRef("serial_key"), OuterRef("scheduled_for"), OuterRef("pk"))
    return Q(serial_key=None) | ~Q(Exists(earlier))


def find_earlier(run: Run) -> Run | None:
    """The live run that `run` waits for: the first of its key."""
    if run.serial_key is None:
        return None
    return _select_earlier(run.serial_key, run.scheduled_for, run.pk).order_by("scheduled_for", "pk").first()


def _select_earlier(key: object, scheduled_for: object, pk: object) -> QuerySet[Run]:
    is_earlier = Q(scheduled_for__lt=scheduled_for) | Q(scheduled_for=scheduled_for, pk__lt=pk)
    return Run.objects.filter(is_earlier, serial_key=key, status__in=LIVE)
