"""The Celery task of a host: short, idempotent, "go and look"."""

from celery import shared_task

from cronium_admin.core.wakeup import LOOK
from cronium_admin.workers import process


@shared_task(name=LOOK)  # type: ignore[untyped-decorator]
def look(run_id: str) -> None:
    """Wake this process's runner. The row is the truth: the message says only where to look."""
    process.look(run_id)
