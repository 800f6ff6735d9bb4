"""The form of a schedule. The service validates what it stores; the form turns texts into values."""

import sys
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django import forms
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError

from cronium_admin.core.form_errors import PlainForm
from cronium_admin.core.json_text import format_indented
from cronium_admin.jobs.forms import parse_json
from cronium_admin.runs.zone_times import format_field, parse_field
from cronium_admin.schedules.calendars.choice import list_choices
from cronium_admin.schedules.models import (
    ActsAs,
    Calendar,
    DayMatch,
    DstGap,
    DstRepeat,
    Kind,
    Missed,
    OnClosed,
    Overlap,
    Schedule,
)
from cronium_admin.schedules.validation import FIELDS, RULE_FIELDS, strip_lines

UNITS = [("1", "seconds"), ("60", "minutes"), ("3600", "hours"), ("86400", "days")]
TIMES = ("anchor", "at", "starts_at", "ends_at")
# The form's field of a schedule's field, where the names differ.
FORM_FIELDS = {"every_seconds": "every", "missed_within_seconds": "missed_within"}


class ScheduleForm(PlainForm):
    """Times are local times of the chosen time zone. `stored` is the schedule that the form was opened for."""

    name = forms.CharField(label="Name", max_length=120, error_messages={"required": "Give the schedule a name."})
    kind = forms.ChoiceField(label="Kind", choices=Kind.choices)
    rule = forms.CharField(label="Rule", max_length=500, required=False)
    every = forms.IntegerField(label="Every", required=False, min_value=1)
    every_unit = forms.ChoiceField(label="Unit", choices=UNITS, required=False)
    anchor = forms.CharField(label="Counted from", required=False, max_length=40)
    at = forms.CharField(label="At", required=False, max_length=40)
    timezone = forms.CharField(label="Time zone", max_length=64, error_messages={"required": "Choose a time zone."})
    day_match = forms.ChoiceField(label="Days", choices=DayMatch.choices, required=False)
    dst_gap = forms.ChoiceField(label="Clock goes forward", choices=DstGap.choices, required=False)
    dst_repeat = forms.ChoiceField(label="Clock goes back", choices=DstRepeat.choices, required=False)
    starts_at = forms.CharField(label="Not before", required=False, max_length=40)
    ends_at = forms.CharField(label="Not after", required=False, max_length=40)
    calendar = forms.ChoiceField(label="Calendar", required=False)
    on_closed = forms.ChoiceField(label="Times of closed days", choices=OnClosed.choices, required=False)
    blackouts = forms.CharField(label="Blackout windows", required=False, max_length=10_000)
    jitter_seconds = forms.IntegerField(label="Spread", required=False)
    overlap = forms.ChoiceField(label="If a run is live", choices=Overlap.choices)
    missed = forms.ChoiceField(label="Missed times", choices=Missed.choices)
    missed_within = forms.IntegerField(label="Window", required=False, min_value=1)
    missed_within_unit = forms.ChoiceField(label="Unit", choices=UNITS, required=False)
    missed_max = forms.IntegerField(label="At most", required=False)
    input = forms.CharField(label="Input", required=False, strip=False)
    acts_as = forms.ChoiceField(label="Acts as", choices=ActsAs.choices)
    take_over = forms.BooleanField(label="Make me the owner", required=False)
    enabled = forms.BooleanField(label="Enabled", required=False)

    def __init__(self, data: Mapping[str, Any] | None = None, *, stored: Schedule | None = None) -> None:
        self.stored = stored
        super().__init__(data, initial=read_initial(stored or Schedule()))
        self._calendars = {calendar.name: calendar for calendar in list_choices()}
        calendar: Any = self.fields["calendar"]
        calendar.choices = [("", "None"), *((name, name) for name in self._calendars)]
        calendar.error_messages["invalid_choice"] = "There is no calendar %(value)s. Choose another."

    @property
    def more_is_open(self) -> bool:
        """Whether a field of the folded part has an error, or another value than a new schedule."""
        names = ("day_match", "starts_at", "ends_at", "missed_within", "missed_max", "jitter_seconds", "input")
        usual = read_initial(Schedule())
        return any(
            self[name].errors or _strip_blanks(self[name].value()) != _strip_blanks(usual[name])
            for name in (*names, "calendar", "on_closed", "blackouts", "acts_as")
        )

    def clean_input(self) -> Any:
        return parse_json(str(self.cleaned_data["input"]))

    def clean_calendar(self) -> Calendar | None:
        return self._calendars.get(str(self.cleaned_data["calendar"]))

    def clean_blackouts(self) -> str:
        return strip_lines(str(self.cleaned_data["blackouts"]).splitlines())

    def clean(self) -> dict[str, Any]:
        zone = str(self.cleaned_data.get("timezone") or "UTC")
        for name in TIMES:
            try:
                self.cleaned_data[name] = self._read_time(name, zone)
            except ValueError as error:
                self.add_error(name, str(error))
        return self.cleaned_data

    def _read_time(self, name: str, zone: str) -> datetime | None:
        text = str(self.cleaned_data.get(name) or "")
        before = getattr(self.stored, name) if self.stored and self.stored.timezone == zone else None
        # An unchanged field keeps its instant: the second of two equal local times, and fractions of a second.
        return before if before and text == format_field(before, zone) else parse_field(text, zone)

    def collect_values(self) -> dict[str, Any]:
        """The schedule's fields whose form fields have no error."""
        data = self.cleaned_data
        values = {name: data[name] for name in FIELDS if name in data}
        values |= {"every_seconds": self._read_span("every"), "missed_within_seconds": self._read_span("missed_within")}
        values |= {name: data.get(name) or default for name, default in _DEFAULTS.items()}
        values |= {"jitter_seconds": data.get("jitter_seconds") or 0, "input": data.get("input")}
        if data.get("missed_max") is None:
            values["missed_max"] = Schedule().missed_max
        return values

    def _read_span(self, name: str) -> int | None:
        number = self.cleaned_data.get(name)
        return None if number is None else number * int(self.cleaned_data.get(f"{name}_unit") or 1)

    def collect_rule(self) -> dict[str, Any]:
        """What decides the times, also of a form with errors in other fields."""
        return {name: value for name, value in self.collect_values().items() if name in RULE_FIELDS}

    def add_service_errors(self, error: ValidationError) -> None:
        for name, texts in error.message_dict.items():
            field = FORM_FIELDS.get(name, name)
            known = field if field in self.fields else None
            present = [str(shown) for shown in self.errors.get(known or NON_FIELD_ERRORS, [])]
            for text in texts:
                if text not in present:
                    self.add_error(known, text)

    def list_differences(self, stored: Schedule) -> list[tuple[str, str]]:
        """Label and text of the stored values that differ from the form's."""
        found = []
        for name, theirs in read_initial(stored).items():
            mine = self[name].value()
            if name in ("take_over", "every_unit", "missed_within_unit") or _strip_blanks(theirs) == _strip_blanks(
                mine
            ):
                continue
            choices = dict(getattr(self.fields[name], "choices", []))
            text = choices.get(theirs, {True: "yes", False: "no"}.get(theirs) if isinstance(theirs, bool) else theirs)
            unit = dict(UNITS).get(str(read_initial(stored).get(f"{name}_unit")), "")
            found.append((str(self.fields[name].label), f"{str(text)[:200]} {unit}".strip() if text != "" else "none"))
        return found


_DEFAULTS: dict[str, str] = {"on_closed": OnClosed.SKIP, "day_match": DayMatch.ANY}
_DEFAULTS |= {"dst_gap": DstGap.RUN_AFTER, "dst_repeat": DstRepeat.FIRST}


def read_initial(schedule: Schedule) -> dict[str, Any]:
    """The texts of the fields."""
    plain = ("name", "kind", "rule", "timezone", "day_match", "dst_gap", "dst_repeat", "blackouts", "overlap")
    found = {
        name: getattr(schedule, name)
        for name in (*plain, "missed", "on_closed", "missed_max", "jitter_seconds", "acts_as", "enabled")
    }
    found |= {name: format_field(getattr(schedule, name), schedule.timezone) for name in TIMES}
    found["every"], found["every_unit"] = _split_span(schedule.every_seconds, "3600")
    found["missed_within"], found["missed_within_unit"] = _split_span(schedule.missed_within_seconds, "60")
    found["input"] = "" if schedule.input is None else format_indented(schedule.input, sys.maxsize)[0]
    return found | {"calendar": schedule.calendar.name if schedule.calendar else "", "take_over": False}


def _split_span(seconds: int | None, unit: str) -> tuple[int | str, str]:
    """The number in the largest unit that divides it."""
    if not seconds:
        return "", unit
    size = next(size for size in (86_400, 3600, 60, 1) if seconds % size == 0)
    return seconds // size, str(size)


def _strip_blanks(value: Any) -> str:
    return "" if value is None or value is False else "".join(str(value).split())
