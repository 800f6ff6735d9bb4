"""The machines that run jobs: one row a worker name, kept alive by its heartbeat."""

from typing import Any

from django.db import models

from cronium_admin.core.edit_versions import Edited

EMBEDDED = "local"  # the name of the host inside `manage.py serve`, unless it is given another


class Installation(models.Model):
    """What all processes on one database share. One row."""

    instance = models.CharField(max_length=40)  # the label of all that it makes on its engines
    version = models.CharField(max_length=40, blank=True, default="")  # of the Cronium that migrated the tables last
    # What sent X-Forwarded-For last without being trusted: see ops.proxies.
    untrusted_proxy = models.CharField(max_length=45, blank=True, default="")
    untrusted_proxy_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return self.instance


class Host(Edited):
    """`version`, `updated_by` and `updated_at` are of what people set (`draining`), not of its reports."""

    name = models.CharField(max_length=100, unique=True)
    capacity = models.PositiveIntegerField(default=1)
    running = models.PositiveIntegerField(default=0)
    engine_version = models.CharField(max_length=60, blank=True, default="")
    engine_error = models.TextField(blank=True, default="")
    runtimes = models.JSONField(default=list)  # what the engine offers to run containers with
    unsafe = models.BooleanField(default=False)  # the last canary got through something
    canary: Any = models.JSONField(null=True)  # its probes: a list of {"name", "held", "found"}; held null: not tried
    canary_at = models.DateTimeField(null=True)
    findings: Any = models.JSONField(default=list)  # doctor's last: a list of {"name", "state", "found", "mend"}
    examined_at = models.DateTimeField(null=True)
    reaped: Any = models.JSONField(default=list)  # the last, newest first: a list of {"kind", "name", "run_id", "at"}
    heartbeat_at = models.DateTimeField(null=True)
    # What its worker offers and says of the machine.
    queues = models.JSONField(default=list)
    draining = models.BooleanField(default=False)  # it ends what it has and takes nothing new
    cpus = models.FloatField(null=True)
    memory_bytes = models.BigIntegerField(null=True)  # what its engine has for containers
    load = models.FloatField(null=True)  # the last minute's, of the worker's machine
    memory_used_bytes = models.BigIntegerField(null=True)  # there
    counters = models.JSONField(default=dict)  # its worker's, for /metrics, since the process began
    # The one process that acts for this host: claims, adopts and reaps.
    owner = models.CharField(max_length=250, blank=True, default="")
    lease_expires_at = models.DateTimeField(null=True)
    owner_locked = models.BooleanField(default=False)  # it holds the lock on its data folder, which dies with it

    def __str__(self) -> str:
        return self.name
