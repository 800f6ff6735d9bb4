"""The Celery task of a worker: short and idempotent."""

from celery import shared_task

from cronium_admin.core.wakeup import WAKEUP_TASK
from cronium_admin.workers import process


@shared_task(name=WAKEUP_TASK)  # type: ignore[untyped-decorator]
def receive_wakeup(run_id: str) -> None:
    # The message is only a hint: the run's row is the single source of truth.
    process.on_wakeup(run_id)
