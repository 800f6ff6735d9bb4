"""The form that selects runs to delete."""

from datetime import UTC, datetime, time

from django import forms

from cronium_admin.accounts.models import User
from cronium_admin.core.form_errors import PlainForm
from cronium_admin.core.templatetags.ui import STATES
from cronium_admin.retention.deletion import Selection
from cronium_admin.runs.models import TERMINAL


class SelectionForm(PlainForm):
    """Empty fields filter nothing."""

    job = forms.CharField(required=False, max_length=80)
    status = forms.ChoiceField(
        required=False,
        choices=[("", "Every state"), *((status.value, STATES[status][1]) for status in TERMINAL)],
        error_messages={"invalid_choice": "Only ended runs can be deleted."},
    )
    before = forms.DateField(required=False, error_messages={"invalid": "Give a day such as 2026-01-31."})

    counted_at = forms.CharField(required=False, max_length=40)  # hidden: when the page counted the runs

    def clean_counted_at(self) -> datetime | None:
        try:
            return datetime.fromisoformat(text).astimezone(UTC) if (text := self.cleaned_data["counted_at"]) else None
        except (ValueError, OverflowError):
            raise forms.ValidationError("Nothing was deleted: count the runs again.") from None

    def build_selection(self, by: User, counted_at: datetime) -> Selection:
        data = self.cleaned_data
        day = data["before"]
        before = datetime.combine(day, time.min, UTC) if day else None
        return Selection(by, data["job"], (data["status"],) if data["status"] else (), before, counted_at)
