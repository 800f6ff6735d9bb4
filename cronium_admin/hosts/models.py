"""The machines that run jobs: one row a worker name, kept alive by its heartbeat."""

from typing import Any

from django.db import models

EMBEDDED = "local"  # the name of the host inside `manage.py serve`, unless it is given another


class Host(models.Model):
    name = models.CharField(max_length=100, unique=True)
    capacity = models.PositiveIntegerField(default=1)
    running = models.PositiveIntegerField(default=0)
    engine_version = models.CharField(max_length=60, blank=True, default="")
    engine_error = models.TextField(blank=True, default="")
    runtimes = models.JSONField(default=list)  # what the engine offers to run containers with
    unsafe = models.BooleanField(default=False)  # the last canary got through something
    canary: Any = models.JSONField(null=True)  # its probes: a list of {"name", "held", "found"}; held null: not tried
    canary_at = models.DateTimeField(null=True)
    heartbeat_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return self.name
