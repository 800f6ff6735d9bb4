"""The Celery application: its configuration, and the broadcast queue that reaches every worker of a queue."""

import os
from typing import Any

from celery import Celery
from kombu.common import Broadcast

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cronium_admin.settings")

app = Celery("cronium")


def _collect_settings() -> dict[str, Any]:
    """Only Celery's settings, because `celery report` and others print the whole configuration."""
    from django.conf import settings

    names = (name for name in dir(settings) if name.startswith("CELERY_"))
    return {name.removeprefix("CELERY_").lower(): getattr(settings, name) for name in names}


app.add_defaults(_collect_settings)  # called at first use, when Django's settings are loaded
app.autodiscover_tasks(["cronium_admin.workers"])


def make_broadcast_queue(name: str) -> Broadcast:
    """A queue that delivers to all workers of the queue `name`: a single receiver could be full or drained.

    A worker that is not connected gets no message; it searches for waiting runs at its start.
    """
    where = f"cronium.{name}"
    return Broadcast(where, queue=where, routing_key="look")  # type: ignore[no-untyped-call]


def is_for_one_host(exchange: str) -> bool:
    """Whether a message came through a host's own queue, which carries cancellations of its runs."""
    return exchange.startswith("cronium.host.")
