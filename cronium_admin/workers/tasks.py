"""The Celery task of a host: short, idempotent, "go and look"."""

from celery import shared_task

from cronium_admin.core.wakeup import WAKEUP_TASK
from cronium_admin.workers import process


@shared_task(name=WAKEUP_TASK)  # type: ignore[untyped-decorator]
def receive_wakeup(run_id: str) -> None:
    """Wake this process's runner. The row is the truth: the message says only where to look."""
    process.on_wakeup(run_id)
