"""Parses the form of a check. `checks` validates the values."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.http import QueryDict

from cronium_admin.core.errors import ApiError
from cronium_admin.core.form_errors import PlainForm
from cronium_admin.expectations.check_models import Check, Rhythm
from cronium_admin.expectations.checks import FIELDS
from cronium_admin.jobs.expected_by import UNITS, count_seconds, split_seconds

_INTEGER_ERRORS = {"invalid": "Must be a whole number."}
_UNIT_ERRORS = {"invalid_choice": "Choose one of the units."}
_SPANS = {"period": "period_seconds", "grace": "grace_seconds"}


_RHYTHMS = ((Rhythm.PERIOD.value, "A period after the last success"), (Rhythm.CRON.value, "By a cron rule"))


class CheckForm(PlainForm):
    name = forms.CharField(label="Name", error_messages={"required": "Give the check a name."})
    rhythm = forms.ChoiceField(
        label="Next ping", choices=_RHYTHMS, error_messages={"invalid_choice": "Choose one of the two."}
    )
    period = forms.IntegerField(label="Period", required=False, error_messages=_INTEGER_ERRORS)
    period_unit = forms.ChoiceField(choices=UNITS, required=False, error_messages=_UNIT_ERRORS)
    rule = forms.CharField(label="Cron rule", required=False)
    timezone = forms.CharField(label="Time zone", required=False)
    grace = forms.IntegerField(
        label="Grace", error_messages={**_INTEGER_ERRORS, "required": "Give the time in which a ping may still come."}
    )
    grace_unit = forms.ChoiceField(choices=UNITS, required=False, error_messages=_UNIT_ERRORS)

    def __init__(self, data: QueryDict | None = None, *, check: Check | None = None) -> None:
        super().__init__(data, initial=_make_initial(check))

    def collect_values(self) -> dict[str, Any]:
        """Values by the names of the check's fields. Call it on a valid form."""
        data = self.cleaned_data
        values = {name: data[name] for name in ("name", "rhythm", "rule")} | {"timezone": data["timezone"] or "UTC"}
        for name, field in _SPANS.items():
            values[field] = count_seconds(data[name], data[f"{name}_unit"] or "s")
        return values

    def add_service_errors(self, error: ValidationError) -> None:
        typed = {field: name for name, field in _SPANS.items()}
        for name, problems in error.error_dict.items():
            field = typed.get(name, name)
            self.add_error(field if field in self.fields else None, problems)

    def add_api_error(self, error: ApiError) -> None:
        self.add_service_errors(ValidationError({**error.fields} or {"__all__": error.message}))


def _make_initial(check: Check | None) -> dict[str, Any]:
    stored = {name: getattr(check, name) for name in FIELDS} if check else {"rhythm": "period", "timezone": "UTC"}
    period = check.period_seconds if check else 86_400
    spans = split_seconds("period", period) | split_seconds("grace", check.grace_seconds if check else 300)
    return stored | spans
