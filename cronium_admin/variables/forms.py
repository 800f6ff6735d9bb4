"""The form of the variable editor. The service validates the values."""

from typing import Any

from django import forms

from cronium_admin.core.form_errors import PlainForm
from cronium_admin.jobs.forms import parse_json
from cronium_admin.variables.service import SHARED


class VariableForm(PlainForm):
    """`version` is the version that the form was opened with: 0 if there was no such variable."""

    scope = forms.CharField(required=False, initial=SHARED)
    name = forms.CharField(error_messages={"required": "Give the variable a name, such as last_day."})
    text = forms.CharField(required=False, strip=False)
    version = forms.IntegerField(required=False, min_value=0)

    def clean_text(self) -> Any:
        text = str(self.cleaned_data["text"])
        if not text.strip():
            raise forms.ValidationError('Enter a JSON value, such as 0, "text", [1, 2] or null.')
        return parse_json(text)
