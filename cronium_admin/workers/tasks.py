"""The Celery task of a worker: short and idempotent."""

from celery import Task, shared_task

from cronium_admin.celery import is_for_one_host
from cronium_admin.core.wakeup import WAKEUP_TASK
from cronium_admin.workers import process


@shared_task(name=WAKEUP_TASK, bind=True)  # type: ignore[untyped-decorator]
def receive_wakeup(self: Task, run_id: str) -> None:
    # The message is only a hint: the run's row is the single source of truth.
    exchange = (self.request.delivery_info or {}).get("exchange", "")
    process.on_wakeup(run_id, is_for_all=not is_for_one_host(exchange))
