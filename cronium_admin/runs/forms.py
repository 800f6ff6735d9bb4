"""Parses the form "Run with…" into the overrides of a launch."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from cronium_admin.core.form_errors import PlainForm
from cronium_admin.jobs.forms import parse_json
from cronium_admin.runs.overrides import UNSET, Overrides


class LaunchForm(PlainForm):
    """An empty field means the job's value; `launch` validates the values."""

    profile = forms.CharField(required=False)
    timeout_seconds = forms.IntegerField(required=False, error_messages={"invalid": "Must be a whole number."})
    input = forms.CharField(required=False, strip=False)

    def clean_input(self) -> Any:
        text = self.cleaned_data["input"]
        return UNSET if not text.strip() else parse_json(text)

    def to_overrides(self) -> Overrides:
        return Overrides(**self.cleaned_data)

    def add_service_errors(self, error: ValidationError) -> None:
        for name, problems in error.error_dict.items():
            self.add_error(name if name in self.fields else None, problems)
