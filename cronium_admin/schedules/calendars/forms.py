"""The form of a calendar. The service validates what it stores."""

from collections.abc import Mapping
from typing import Any

from django import forms
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError

from cron_rules.calendar_rules import WEEKDAYS
from cron_rules.closed_days import WEEKDAY_NAMES
from cronium_admin.core.form_errors import PlainForm
from cronium_admin.schedules.calendars.national_holidays import list_countries, list_subdivisions
from cronium_admin.schedules.models import Calendar


class CalendarForm(PlainForm):
    """`stored` is the calendar that the form was opened for."""

    name = forms.CharField(label="Name", max_length=40, error_messages={"required": "Give the calendar a name."})
    weekdays = forms.MultipleChoiceField(
        label="Closed weekdays", required=False, choices=list(zip(WEEKDAYS, WEEKDAY_NAMES, strict=True))
    )
    dates = forms.CharField(label="Closed dates", required=False, max_length=125_000)
    country = forms.ChoiceField(label="National holidays of", required=False)
    subdivision = forms.CharField(label="State or region", required=False, max_length=40)

    def __init__(self, data: Mapping[str, Any] | None = None, *, stored: Calendar | None = None) -> None:
        self.stored = stored
        super().__init__(data, initial=read_initial(stored or Calendar(weekdays="sat,sun")))
        country: Any = self.fields["country"]
        countries = dict(list_countries())
        kept = stored.country if stored else ""
        if kept and kept not in countries:  # without the package
            countries[kept] = kept
        country.choices = [("", "None"), *((code, f"{name} ({code})") for code, name in countries.items())]

    @property
    def has_countries(self) -> bool:
        return bool(list_countries())

    @property
    def subdivisions(self) -> list[str]:
        return list_subdivisions(str(self["country"].value() or ""))

    def collect_values(self) -> dict[str, Any]:
        return dict(self.cleaned_data)

    def add_service_errors(self, error: ValidationError) -> None:
        for name, texts in error.message_dict.items():
            known = name if name in self.fields else None
            present = [str(shown) for shown in self.errors.get(known or NON_FIELD_ERRORS, [])]
            for text in texts:
                if text not in present:
                    self.add_error(known, text)

    def list_differences(self, stored: Calendar) -> list[tuple[str, str]]:
        """Label and text of the stored values that differ from the form's."""
        found = []
        for name, theirs in read_initial(stored).items():
            if _join(theirs) != _join(self[name].value()):
                found.append((str(self.fields[name].label), _join(theirs)[:200] or "none"))
        return found


def read_initial(calendar: Calendar) -> dict[str, Any]:
    names = ("name", "dates", "country", "subdivision")
    return {**{name: getattr(calendar, name) for name in names}, "weekdays": calendar.list_weekdays()}


def _join(value: Any) -> str:
    return ", ".join(value) if isinstance(value, list) else " ".join(str(value or "").split())
