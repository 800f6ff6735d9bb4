"""The hosts that run jobs: one row per host name, updated by the heartbeat of its worker."""

from typing import Any

from django.db import models

from cronium_admin.core.edit_versions import Edited
from cronium_admin.core.models import Leased

EMBEDDED = "local"  # default name of the host in `manage.py serve`


class Installation(models.Model):
    """The one row that all processes on a database share."""

    instance = models.CharField(max_length=40)  # the label of its objects on its engines
    version = models.CharField(max_length=40, blank=True, default="")  # that last migrated the tables
    # Of the database, with PostgreSQL, as the process read it that started first: see workers.database_place.
    place: Any = models.JSONField(null=True)
    # The last untrusted address that sent X-Forwarded-For: see ops.proxies.
    untrusted_proxy = models.CharField(max_length=45, blank=True, default="")
    untrusted_proxy_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return self.instance


class Host(Edited, Leased):
    """`version`, `updated_by` and `updated_at` describe changes by users (`draining`), not the worker's reports."""

    name = models.CharField(max_length=100, unique=True)
    capacity = models.PositiveIntegerField(default=1)
    running = models.PositiveIntegerField(default=0)
    engine_version = models.CharField(max_length=60, blank=True, default="")
    engine_error = models.TextField(blank=True, default="")
    runtimes = models.JSONField(default=list)  # container runtimes of the engine
    unsafe = models.BooleanField(default=False)  # a probe of the last isolation check escaped
    canary: Any = models.JSONField(null=True)  # its probes: a list of {"name", "held", "found"}; held null: not tried
    canary_at = models.DateTimeField(null=True)
    findings: Any = models.JSONField(default=list)  # of doctor: a list of {"name", "state", "found", "mend"}
    examined_at = models.DateTimeField(null=True)
    reaped: Any = models.JSONField(default=list)  # by gc, newest first: a list of {"kind", "name", "run_id", "at"}
    heartbeat_at = models.DateTimeField(null=True)
    # Reported by its worker.
    queues = models.JSONField(default=list)
    draining = models.BooleanField(default=False)  # finishes its active runs and takes no new ones
    cpus = models.FloatField(null=True)
    memory_bytes = models.BigIntegerField(null=True)  # memory of its engine for containers
    load = models.FloatField(null=True)  # one-minute load average of the worker's machine
    memory_used_bytes = models.BigIntegerField(null=True)  # on the worker's machine
    warm: Any = models.JSONField(null=True)  # its waiting sandboxes, see `warm.status` of the workers; null: unknown
    counters = models.JSONField(default=dict)  # its worker's counters for /metrics, since the process started
    # `owner` (of Leased) is the leader: the one process that claims, adopts and removes for this host.
    # The leader holds its lock file, which the kernel releases when the process dies.
    owner_locked = models.BooleanField(default=False)

    def __str__(self) -> str:
        return self.name
