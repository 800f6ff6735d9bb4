"""The settings of a job that say when its runs are expected. `expectations` judges them."""

from typing import Annotated, Any

from django import forms
from django.core.exceptions import ValidationError
from django.db import models
from pydantic import BaseModel, Field, StrictInt

from cronium_admin.core.edit_versions import OMITTED
from cronium_admin.core.form_errors import PlainForm
from cronium_admin.core.templatetags.ui import format_seconds
from cronium_admin.jobs.job_fields import EXPECTED_FIELDS
from cronium_admin.profiles.limits import Bound

MIN_SECONDS, MAX_SECONDS = 10, 366 * 86_400
BOUNDS = {
    **{name: Bound(name, MIN_SECONDS, MAX_SECONDS, "seconds") for name in ("start_by", "finish_by")},
    "succeed_every": Bound("succeed_every", 60, MAX_SECONDS, "seconds"),
    "succeed_grace": Bound("succeed_grace", 0, MAX_SECONDS, "seconds"),
}
START_BY = "A run must start within this many seconds of its planned time, or of its launch; null: not judged."
FINISH_BY = "A run must end within this many seconds of its planned time, or of its launch; null: not judged."
SUCCEED_EVERY = "A run must succeed at least once in this many seconds; null: not judged."
SUCCEED_GRACE = "The seconds that a success may be later than `succeed_every`; null: 0."
UNITS = (("s", "seconds"), ("min", "minutes"), ("h", "hours"), ("d", "days"))
_SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 86_400}
EXPECTED_LABELS = {
    "start_by": "Start within",
    "finish_by": "End within",
    "succeed_every": "Succeed at least every",
    "succeed_grace": "Grace of a success",
}
_HINTS = {
    "start_by": "Counted from the planned time of a schedule, otherwise from the launch.",
    "finish_by": "Counted in the same way. Any end counts.",
    "succeed_every": "Counted from the last success.",
    "succeed_grace": "How much later a success may be.",
}


class ExpectedBy(models.Model):
    """In seconds; null: not judged."""

    start_by = models.PositiveIntegerField(null=True, blank=True)
    finish_by = models.PositiveIntegerField(null=True, blank=True)
    succeed_every = models.PositiveIntegerField(null=True, blank=True)
    succeed_grace = models.PositiveIntegerField(null=True, blank=True)

    class Meta:
        abstract = True

    @property
    def expects(self) -> bool:
        return any(getattr(self, name) is not None for name in ("start_by", "finish_by", "succeed_every"))

    @property
    def expected_words(self) -> list[tuple[str, str]]:
        """Label and value of the settings that are set, for pages."""
        values = [(EXPECTED_LABELS[name], getattr(self, name)) for name in EXPECTED_FIELDS]
        return [(label, format_seconds(value)) for label, value in values if value]


class ExpectedByOut(BaseModel):
    start_by: int | None = Field(description=START_BY)
    finish_by: int | None = Field(description=FINISH_BY)
    succeed_every: int | None = Field(description=SUCCEED_EVERY)
    succeed_grace: int | None = Field(description=SUCCEED_GRACE)


class ExpectedByPatch(BaseModel):
    start_by: Annotated[StrictInt | None, Field(description=START_BY)] = OMITTED
    finish_by: Annotated[StrictInt | None, Field(description=FINISH_BY)] = OMITTED
    succeed_every: Annotated[StrictInt | None, Field(description=SUCCEED_EVERY)] = OMITTED
    succeed_grace: Annotated[StrictInt | None, Field(description=SUCCEED_GRACE)] = OMITTED


def find_expected_problems(row: ExpectedBy) -> dict[str, list[ValidationError]]:
    problems: dict[str, list[ValidationError]] = {}
    for name, bound in BOUNDS.items():
        value = getattr(row, name)
        if isinstance(value, int) and not isinstance(value, bool):
            try:
                bound.check_value(value)
            except ValidationError as error:
                problems[name] = error.error_list
    if row.succeed_grace and row.succeed_every is None and "succeed_grace" not in problems:
        problems["succeed_grace"] = [ValidationError("Set how often a run must succeed, or leave this empty.")]
    return problems


def _make_number() -> forms.IntegerField:
    errors = {"invalid": "Must be a whole number.", "min_value": "Must be 0 or more.", "max_value": "At most 366 days."}
    return forms.IntegerField(required=False, min_value=0, max_value=MAX_SECONDS, error_messages=errors)


def _make_unit() -> forms.ChoiceField:
    errors = {"invalid_choice": "Choose one of the units."}
    return forms.ChoiceField(required=False, choices=UNITS, error_messages=errors)


class ExpectedByForm(PlainForm):
    """A number and a unit for each setting."""

    start_by, start_by_unit = _make_number(), _make_unit()
    finish_by, finish_by_unit = _make_number(), _make_unit()
    succeed_every, succeed_every_unit = _make_number(), _make_unit()
    succeed_grace, succeed_grace_unit = _make_number(), _make_unit()

    def collect_expected(self) -> dict[str, int | None]:
        """The settings that the browser sent and that have no error, in seconds."""
        data = self.cleaned_data
        sent = [name for name in EXPECTED_FIELDS if name in self.data and name in data]
        return {name: count_seconds(data[name], data.get(f"{name}_unit") or "s") for name in sent}

    @property
    def expected(self) -> list[tuple[str, str, forms.BoundField, forms.BoundField]]:
        # Label, hint, number and unit of each setting, for the editor
        return [(EXPECTED_LABELS[name], _HINTS[name], self[name], self[f"{name}_unit"]) for name in EXPECTED_FIELDS]

    @property
    def has_expected(self) -> bool:
        return any(self[name].value() not in (None, "") or self[name].errors for name in EXPECTED_FIELDS)


def count_seconds(number: int | None, unit: str) -> int | None:
    return None if number is None else number * _SECONDS[unit]


def split_expected(row: ExpectedBy | None) -> dict[str, Any]:
    """The initial values of the form: each setting in the largest unit that divides it."""
    values: dict[str, Any] = {}
    for name in EXPECTED_FIELDS:
        values |= split_seconds(name, getattr(row, name) if row else None)
    return values


def split_seconds(name: str, seconds: int | None) -> dict[str, Any]:
    fitting = [unit for unit, size in _SECONDS.items() if seconds and seconds % size == 0]
    unit = fitting[-1] if fitting else "min"
    return {name: seconds // _SECONDS[unit] if seconds else seconds, f"{name}_unit": unit}
