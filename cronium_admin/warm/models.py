"""The sandboxes that wait for a run: one row each. A row is a promise of its host; only `rows` changes it.

The sandbox itself is an object in the memory of the host's worker, and containers on its engine. Its main container
ends with that worker. The row's id becomes the id of the run that takes it, because names and labels are made from it.
"""

import uuid
from typing import Any

from django.db import models

from cronium_admin.core.database.clock import Now


class State(models.TextChoices):
    BUILDING = "building", "Building"
    READY = "ready", "Ready"
    TAKEN = "taken", "Taken"  # by a run that was launched with its id
    GONE = "gone", "Gone"  # no run may take it; it is being removed


class Kind(models.TextChoices):
    STEM = "stem", "Stem"  # networks and sidecar; main is added for the run that takes it
    WHOLE = "whole", "Whole"


class WarmSandbox(models.Model):
    """Few rows: a row is deleted when a run has the sandbox, or when the sandbox is removed.

    A stem has only the columns `network` and `runtime` of a run. Its other columns are empty.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    # By name, because this room is below the hosts' room.
    host: Any = models.ForeignKey("hosts.Host", on_delete=models.CASCADE, to_field="name", related_name="+")
    owner = models.CharField(max_length=250)  # the leader of the host that made it
    state = models.CharField(max_length=10, choices=State.choices, default=State.BUILDING)
    kind = models.CharField(max_length=6, choices=Kind.choices, default=Kind.WHOLE)
    # False while its host has no free slot.
    is_takeable = models.BooleanField(default=True)
    queues = models.TextField()  # the queues that its host serves, as ",default,gpu,"

    shape = models.CharField(max_length=64, blank=True, default="")  # digest of all settings of its containers
    language = models.CharField(max_length=16, blank=True, default="")
    image = models.CharField(max_length=255, blank=True, default="")
    image_id = models.CharField(max_length=80, blank=True, default="")
    cpu = models.DecimalField(max_digits=4, decimal_places=2, default=0)
    memory_mb = models.PositiveIntegerField(default=0)
    pids = models.PositiveIntegerField(default=0)
    log_limit_mb = models.PositiveIntegerField(default=0)
    network = models.CharField(max_length=16)
    runtime = models.CharField(max_length=64, blank=True, default="")
    read_only_root = models.BooleanField(default=True)

    made_at = models.DateTimeField(db_default=Now())
    ready_at = models.DateTimeField(null=True)
    taken_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["made_at", "id"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(state__in=[state.value for state in State]), name="warm_state_is_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.state} {self.kind} {self.id}"
