"""Parses the form "Run with…" into the overrides of a launch."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from cron_rules.errors import RuleError
from cron_rules.zones import load_zone
from cronium_admin.core.form_errors import PlainForm
from cronium_admin.inputs.problems import Problem
from cronium_admin.runs.input_form import InputForm
from cronium_admin.runs.overrides import UNSET, Overrides
from cronium_admin.runs.zone_times import parse_field


class LaunchForm(PlainForm):
    """An empty field means the job's value; `launch` validates the values."""

    profile = forms.CharField(required=False)
    timeout_seconds = forms.IntegerField(required=False, error_messages={"invalid": "Must be a whole number."})
    priority = forms.IntegerField(required=False, error_messages={"invalid": "Must be a whole number, 1 to 5."})

    start_at = forms.CharField(required=False, max_length=40)
    start_zone = forms.CharField(required=False, max_length=64)  # the browser's time zone

    def clean(self) -> dict[str, Any]:
        text, zone = (str(self.cleaned_data.get(name) or "") for name in ("start_at", "start_zone"))
        self.cleaned_data["not_before"] = None
        if not text:
            return self.cleaned_data
        try:
            self.cleaned_data["not_before"] = parse_field(text, load_zone(zone or "UTC").name)
        except RuleError:
            self.add_error("start_at", f"The time zone {zone[:40]!r} of your browser is unknown. Use the API.")
        except ValueError as error:
            self.add_error("start_at", str(error))
        return self.cleaned_data

    @property
    def changed_values(self) -> bool:
        """Whether a field has a value, so that the page shows it."""
        return any(
            self[name].value() not in (None, "") for name in ("profile", "timeout_seconds", "priority", "start_at")
        )

    def to_overrides(self, values: InputForm) -> Overrides:
        names = ("profile", "timeout_seconds", "priority", "not_before")
        given = UNSET if values.is_json and not values.json_text.strip() else values.value
        return Overrides(**{name: self.cleaned_data[name] for name in names}, input=given)

    def add_service_errors(self, error: ValidationError, values: InputForm) -> None:
        """Problems of the input go to `values`, the others to the fields of this form."""
        for name, problems in error.error_dict.items():
            field = "start_at" if name == "not_before" else name
            if name.split(".")[0] == "input":
                path = name.removeprefix("input").removeprefix(".")
                values.problems += [Problem(path, text) for each in problems for text in each.messages]
            else:
                self.add_error(field if field in self.fields else None, problems)
