"""The pulls of images on hosts: their requests, progress and results, as rows. Never queries an engine."""

from collections.abc import Iterable
from datetime import timedelta

from django.db import transaction
from django.db.models import Q, QuerySet

from cronium_admin.core.database.clock import Now
from cronium_admin.images.inventory import MAX_REPORT_AGE
from cronium_admin.images.models import HostInventory, PulledImage, PullState
from cronium_admin.images.reference import canonicalize_reference

USE_STEP = timedelta(hours=1)  # the precision of `last_used_at`
STALE_AFTER = timedelta(minutes=2)  # a pull without progress for this long has no process any more
# A time in the future: the database's clock was set back.
_IS_STALE = Q(changed_at__lt=Now() - STALE_AFTER) | Q(changed_at__gt=Now() + STALE_AFTER)


def request_pull(reference: str, host: str = "") -> list[str]:
    """Asks a host, or all hosts with a recent report, to pull the image. Returns the hosts; none may be alive."""
    name = canonicalize_reference(reference)
    alive = HostInventory.objects.filter(reported_at__gte=Now() - MAX_REPORT_AGE).order_by("host")
    hosts = [host] if host else list(alive.values_list("host", flat=True))
    for each in hosts:
        with transaction.atomic():
            row, is_new = PulledImage.objects.get_or_create(
                host=each, reference=name, defaults={"state": PullState.REQUESTED, "requested_at": Now()}
            )
            if not is_new:
                idle = Q(state__in=(PullState.PRESENT, PullState.FAILED)) | _IS_STALE
                asked = PulledImage.objects.filter(idle, pk=row.pk)
                asked.update(state=PullState.REQUESTED, requested_at=Now(), changed_at=Now(), reason="", message="")
    return hosts


def find_requested_pulls(host: str) -> QuerySet[PulledImage]:
    return PulledImage.objects.filter(host=host, state=PullState.REQUESTED)


def list_requested(host: str) -> list[str]:
    return list(find_requested_pulls(host).order_by("requested_at").values_list("reference", flat=True))


def start_pull(host: str, reference: str) -> None:
    values = {
        **{"state": PullState.PULLING, "started_at": Now(), "changed_at": Now(), "reason": "", "message": ""},
        **dict.fromkeys(("done_bytes", "total_bytes", "done_layers", "total_layers"), 0),
    }
    PulledImage.objects.update_or_create(host=host, reference=canonicalize_reference(reference), defaults=values)


def store_progress(host: str, reference: str, done_bytes: int, total_bytes: int, done: int, total: int) -> None:
    rows = PulledImage.objects.filter(host=host, reference=canonicalize_reference(reference), state=PullState.PULLING)
    rows.update(done_bytes=done_bytes, total_bytes=total_bytes, done_layers=done, total_layers=total, changed_at=Now())


def store_present(host: str, reference: str, digest: str, image_id: str) -> None:
    """The image that the name had before keeps a row of its own, under its digest: it may still be on the host."""
    name = canonicalize_reference(reference)
    with transaction.atomic():
        earlier = PulledImage.objects.filter(host=host, reference=name).exclude(digest__in=("", digest)).first()
        if earlier is not None and earlier.digest != name:
            kept = {"digest": earlier.digest, "image_id": earlier.image_id, "last_used_at": earlier.last_used_at}
            PulledImage.objects.get_or_create(
                host=host, reference=earlier.digest, defaults={**kept, "state": PullState.PRESENT}
            )
        values = {"state": PullState.PRESENT, "changed_at": Now(), "digest": digest, "image_id": image_id}
        PulledImage.objects.update_or_create(host=host, reference=name, defaults=values)


def store_failure(host: str, reference: str, reason: str, message: str) -> None:
    values = {"state": PullState.FAILED, "changed_at": Now(), "reason": reason, "message": message.replace("\0", "")}
    PulledImage.objects.update_or_create(host=host, reference=canonicalize_reference(reference), defaults=values)


def end_interrupted(host: str) -> int:
    """Ends the pulls that an earlier process of the host had begun."""
    interrupted = PulledImage.objects.filter(host=host, state=PullState.PULLING)
    message = "The worker ended during the pull."
    return interrupted.update(state=PullState.FAILED, changed_at=Now(), reason="image_pull_aborted", message=message)


def record_use(host: str, reference: str) -> None:
    """At most one write an hour for each image."""
    rows = PulledImage.objects.filter(host=host, reference=canonicalize_reference(reference))
    rows.filter(Q(last_used_at=None) | Q(last_used_at__lt=Now() - USE_STEP)).update(last_used_at=Now())


def list_pulls(references: Iterable[str]) -> list[PulledImage]:
    names = {canonicalize_reference(reference) for reference in references}
    return list(PulledImage.objects.filter(reference__in=names).order_by("reference", "host"))


def delete_pulls(host: str) -> None:
    PulledImage.objects.filter(host=host).delete()
