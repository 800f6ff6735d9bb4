"""The bounds of every limit, used by forms, API, models and database constraints."""

from dataclasses import dataclass
from decimal import Decimal

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q

from cronium_admin.core.config import MAX_CPU, MAX_MEMORY_MB, MAX_PIDS, MIN_CPU, MIN_MEMORY_MB, MIN_PIDS


@dataclass(frozen=True)
class Bound:
    """The allowed range of one limit, both ends included. `unit` is used in messages.

    `highest` is the largest value that the database stores. The CONFIG field `setting` may lower the ceiling.
    """

    field: str
    low: Decimal | int
    highest: Decimal | int
    unit: str
    setting: str = ""

    @property
    def high(self) -> Decimal | int:
        ceiling: Decimal | int = getattr(settings.CONFIG, self.setting) if self.setting else self.highest
        return ceiling

    def check_value(self, value: Decimal | int) -> None:
        if value > self.high:
            source = f" CRONIUM_{self.setting.upper()} sets this maximum." if self.setting else ""
            raise ValidationError(f"{self.high:,} {self.unit} at most; this is {value:,}.{source}", code="ceiling")
        if value < self.low:
            unit = self.unit.removesuffix("s") if self.low == 1 else self.unit
            raise ValidationError(f"{self.low:,} {unit} or more; this is {value:,}.", code="floor")


CPU = Bound("cpu", MIN_CPU, MAX_CPU, "CPU", "max_cpu")
MEMORY_MB = Bound("memory_mb", MIN_MEMORY_MB, MAX_MEMORY_MB, "MB", "max_memory_mb")
PIDS = Bound("pids", MIN_PIDS, MAX_PIDS, "processes", "max_pids")
LOG_LIMIT_MB = Bound("log_limit_mb", 1, 1000, "MB of log")
TIMEOUT = Bound("timeout_seconds", 1, 86_400, "seconds")
BOUNDS = {bound.field: bound for bound in (CPU, MEMORY_MB, PIDS, LOG_LIMIT_MB, TIMEOUT)}
DEFAULT_LOG_LIMIT_MB = 50


class WithinBound:
    """A model-field validator of one bound; migrations refer to it, so it is deconstructible."""

    def __init__(self, field: str) -> None:
        self.field = field

    def __call__(self, value: Decimal | int) -> None:
        BOUNDS[self.field].check_value(value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, WithinBound) and other.field == self.field

    def __hash__(self) -> int:
        return hash(self.field)

    def deconstruct(self) -> tuple[str, list[str], dict[str, str]]:
        return "cronium_admin.profiles.limits.WithinBound", [self.field], {}


def make_constraint(bound: Bound, model: str, *, nullable: bool = False) -> models.CheckConstraint:
    # A database constraint for the widest range that the settings may allow
    within = Q(**{f"{bound.field}__gte": bound.low, f"{bound.field}__lte": bound.highest})
    if nullable:
        within |= Q(**{f"{bound.field}__isnull": True})
    return models.CheckConstraint(condition=within, name=f"{model}_{bound.field}_within_ceiling")


@dataclass(frozen=True)
class Limits:
    """The limits of a run: CPUs, megabytes (1 MB is 1,048,576 bytes), processes, log."""

    cpu: Decimal
    memory_mb: int
    pids: int
    log_limit_mb: int


def default_log_limit_mb() -> int:
    # MB of log of a run if neither profile, job nor launch sets a limit
    return settings.CONFIG.log_limit_mb or DEFAULT_LOG_LIMIT_MB


def resolve_log_limit(wanted_mb: int | None) -> int:
    """MB of log of a run for which `wanted_mb` is requested (None: nothing is requested).

    CRONIUM_LOG_LIMIT_MB, if set, is both the default and the maximum: it was once the only setting of this limit.
    """
    if wanted_mb is None:
        return default_log_limit_mb()
    return min(wanted_mb, settings.CONFIG.log_limit_mb or wanted_mb)
