"""Reads the form that deletes many runs."""

from datetime import UTC, datetime, time

from django import forms

from cronium_admin.plain_errors import PlainForm
from cronium_admin.retention.deletion import ENDED, Selection


class SelectionForm(PlainForm):
    """Which runs; empty fields narrow nothing down."""

    job = forms.CharField(required=False, max_length=80)
    status = forms.ChoiceField(
        required=False,
        choices=[("", "Every state"), *ENDED],
        error_messages={"invalid_choice": "Only runs that have ended are deleted."},
    )
    before = forms.DateField(required=False, error_messages={"invalid": "Give a day such as 2026-01-31."})

    def selection(self) -> Selection:
        """`before` is the beginning of that day in UTC."""
        data = self.cleaned_data
        day = data["before"]
        before = datetime.combine(day, time.min, UTC) if day else None
        return Selection(data["job"], (data["status"],) if data["status"] else (), before)
