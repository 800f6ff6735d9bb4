"""Cron rules: five fields, six with seconds first, and the nicknames."""

import re
from dataclasses import dataclass
from typing import Literal

from cron_rules.errors import RuleError
from cron_rules.fields import DAY_OF_MONTH, DAY_OF_WEEK, HOUR, MINUTE, MONTH, SECOND, Field, parse_field
from cron_rules.month_days import MonthDays
from cron_rules.rules import ClockRule, StartRule, list_times_of_day
from cron_rules.zones import Zone

DayMatch = Literal["any", "all"]
MAX_LENGTH = 500
NICKNAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
REBOOT = "@reboot"
_ZONE_PREFIX = re.compile(r"\s*(CRON_)?TZ\s*=", re.IGNORECASE)
_KINDS = (SECOND, MINUTE, HOUR, DAY_OF_MONTH, MONTH, DAY_OF_WEEK)


@dataclass(frozen=True)
class CronFields:
    has_seconds: bool
    second: Field
    minute: Field
    hour: Field
    day: Field
    month: Field
    weekday: Field

    @property
    def is_fixed(self) -> bool:
        """Names times of day. An hour field with all 24 hours counts as `*`."""
        return not (self.minute.is_star or self.hour.is_star or len(self.hour.values) == 24)

    @property
    def needs_both_days(self) -> bool:
        return self.day.is_star or self.weekday.is_star


def parse_fields(text: str, seed: str = "") -> CronFields:
    """Raises RuleError. Not for @reboot, which has no fields."""
    if len(text) > MAX_LENGTH:
        raise RuleError("rule", f"A rule has at most {MAX_LENGTH} characters; this has {len(text)}.")
    if _ZONE_PREFIX.match(text):
        raise RuleError("rule", "The time zone does not belong to the rule. Write it in the field for the time zone.")
    expression = _expand_nickname(text)
    parts = expression.replace("\t", " ").split(" ")
    parts = [part for part in parts if part]
    if len(parts) not in {5, 6}:
        counted = f"this has {len(parts)}" if parts else "this is empty"
        raise RuleError(
            "rule", f"A cron rule has 5 fields (minute, hour, day, month, weekday), or 6 with seconds first; {counted}."
        )
    has_seconds = len(parts) == 6
    texts = parts if has_seconds else ["0", *parts]
    fields = [parse_field(kind, part, seed) for kind, part in zip(_KINDS, texts, strict=True)]
    return CronFields(has_seconds, *fields)


def parse_cron(
    text: str,
    zone: Zone,
    *,
    seed: str = "",
    day_match: DayMatch = "any",
    runs_after_gap: bool = True,
    runs_in_both_passes: bool = False,
) -> ClockRule | StartRule:
    """Raises RuleError, also for a rule that never matches. `seed` identifies the schedule, for H."""
    if text.strip().lower() == REBOOT:
        return StartRule()
    fields = parse_fields(text, seed)
    days = MonthDays(
        fields.day, fields.weekday, tuple(sorted(fields.month.values)), day_match == "all" or fields.needs_both_days
    )
    if not days.has_a_day():
        raise RuleError("rule", f"The rule never matches: {_explain_never(fields)}.")
    times = list_times_of_day(*(tuple(sorted(field.values)) for field in (fields.hour, fields.minute, fields.second)))
    return ClockRule(days, times, fields.is_fixed, zone, runs_after_gap, runs_in_both_passes)


def _expand_nickname(text: str) -> str:
    name = text.strip(" \t").lower()
    if not name.startswith("@"):
        return text
    if name in NICKNAMES and text.isascii():
        return NICKNAMES[name]
    if name.startswith("@every"):
        raise RuleError("rule", "@every is not a cron rule. Choose the kind interval for a time between runs.")
    known = ", ".join([*NICKNAMES, REBOOT])
    raise RuleError("rule", f"{name[:40]!a} is not known. Allowed are {known}.")


def _explain_never(fields: CronFields) -> str:
    if fields.weekday.is_star:
        return f"no month of the rule has the day {fields.day.text}"
    return f"no day of its months is {fields.day.text} and {fields.weekday.text}"
