"""The Celery application: its configuration, and how a message reaches every worker of a queue."""

import os
from typing import Any

from celery import Celery
from kombu.common import Broadcast

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cronium_admin.settings")

app = Celery("cronium")


def _collect_settings() -> dict[str, Any]:
    """Celery's own settings alone: what shows its configuration, such as `celery report`, shows no other's."""
    from django.conf import settings

    names = (name for name in dir(settings) if name.startswith("CELERY_"))
    return {name.removeprefix("CELERY_").lower(): getattr(settings, name) for name in names}


app.add_defaults(_collect_settings)  # evaluated at first use, when Django's settings can be read
app.autodiscover_tasks(["cronium_admin.workers"])


def make_broadcast_queue(name: str) -> Broadcast:
    """All processes that serve the queue `name`, not one of them: who is busy or drained would keep the news to itself.

    Nothing is stored for who is away; whoever comes looks for itself.
    """
    where = f"cronium.{name}"
    return Broadcast(where, queue=where, routing_key="look")  # type: ignore[no-untyped-call]
