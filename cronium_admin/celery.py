"""The Celery application: its configuration, and how a message reaches every worker of a queue."""

import os

from celery import Celery
from kombu.common import Broadcast

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cronium_admin.settings")

app = Celery("cronium")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["cronium_admin.hosts"])


def everybody(name: str) -> Broadcast:
    """All processes that serve the queue `name`, not one of them: who is busy or drained would keep the news to itself.

    Nothing is stored for who is away; whoever comes looks for itself.
    """
    where = f"cronium.{name}"
    return Broadcast(where, queue=where, routing_key="look")  # type: ignore[no-untyped-call]
