"""Resource profiles: named sets of limits for jobs."""

from django.core.validators import RegexValidator
from django.db import models

from cronium_admin.core.edit_versions import Edited
from cronium_admin.profiles.limits import (
    CPU,
    LOG_LIMIT_MB,
    MEMORY_MB,
    PIDS,
    Limits,
    WithinBound,
    make_constraint,
    resolve_log_limit,
)

DEFAULT_PROFILE = "small"


class Profile(Edited):
    name = models.CharField(
        max_length=40,
        unique=True,
        validators=[
            RegexValidator(r"\A[a-z][a-z0-9-]*\Z", "Lower-case letters, digits and hyphens, beginning with a letter.")
        ],
    )
    cpu = models.DecimalField(max_digits=4, decimal_places=2, validators=[WithinBound("cpu")])
    memory_mb = models.PositiveIntegerField(validators=[WithinBound("memory_mb")])
    pids = models.PositiveIntegerField(validators=[WithinBound("pids")])
    # The log limit of a run; empty means the default of the settings.
    log_limit_mb = models.PositiveIntegerField(null=True, blank=True, validators=[WithinBound("log_limit_mb")])
    # The container runtime (runc, runsc, ...); empty means the engine's default.
    runtime = models.CharField(
        max_length=64,
        blank=True,
        default="",
        validators=[
            RegexValidator(
                r"\A[a-zA-Z0-9][a-zA-Z0-9._-]*\Z", "Letters, digits, '.', '_' and '-', as the engine names it."
            )
        ],
    )

    class Meta:
        ordering = ["memory_mb", "cpu", "name"]
        constraints = [
            *(make_constraint(bound, "profile") for bound in (CPU, MEMORY_MB, PIDS)),
            make_constraint(LOG_LIMIT_MB, "profile", nullable=True),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def limits(self) -> Limits:
        return Limits(
            cpu=self.cpu, memory_mb=self.memory_mb, pids=self.pids, log_limit_mb=resolve_log_limit(self.log_limit_mb)
        )
