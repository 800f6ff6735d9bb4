"""Parses the form "Run with…" into the overrides of a launch."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from cron_rules.errors import RuleError
from cron_rules.zones import load_zone
from cronium_admin.core.form_errors import PlainForm
from cronium_admin.jobs.forms import parse_json
from cronium_admin.runs.overrides import UNSET, Overrides
from cronium_admin.runs.zone_times import parse_field


class LaunchForm(PlainForm):
    """An empty field means the job's value; `launch` validates the values."""

    profile = forms.CharField(required=False)
    timeout_seconds = forms.IntegerField(required=False, error_messages={"invalid": "Must be a whole number."})
    input = forms.CharField(required=False, strip=False)
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

    def clean_input(self) -> Any:
        text = self.cleaned_data["input"]
        return UNSET if not text.strip() else parse_json(text)

    def to_overrides(self) -> Overrides:
        names = ("profile", "timeout_seconds", "input", "priority", "not_before")
        return Overrides(**{name: self.cleaned_data[name] for name in names})

    def add_service_errors(self, error: ValidationError) -> None:
        for name, problems in error.error_dict.items():
            field = "start_at" if name == "not_before" else name
            self.add_error(field if field in self.fields else None, problems)
