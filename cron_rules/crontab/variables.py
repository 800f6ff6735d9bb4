"""The variables of a crontab that mean something to cron itself."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from cron_rules.crontab.command import has_own_folders
from cron_rules.crontab.entries import Assignment, Remark
from cron_rules.errors import RuleError
from cron_rules.zones import load_zone

_MAX_DELAY_MINUTES = 1440
_OF_MAIL = ("MAILFROM", "CONTENT_TYPE", "CONTENT_TRANSFER_ENCODING")
_OF_CRON = ("USER", "LOGNAME", "HOME", "SHELL", "PATH", "MAILTO", "CRON_TZ", "RANDOM_DELAY", "START_HOURS_RANGE")
_SHELLS = ("sh", "bash", "dash", "ash")


@dataclass
class Environment:
    """The variables that apply to the lines that follow."""

    values: dict[str, str] = field(default_factory=dict)
    path: str | None = None
    zone: str = ""
    delay_seconds: int = 0

    def set(self, assignment: Assignment) -> list[Remark]:
        """Returns what of it can't be carried over."""
        name, value = assignment.name, assignment.value
        if name not in _OF_CRON and name not in _OF_MAIL:
            self.values[name] = value
        if name == "PATH":
            self.path = value
        notes = [*self._set_zone(name, value), *self._set_delay(name, value), *_list_notes(name, value)]
        return [Remark(assignment.line, reason, advice) for reason, advice in notes]

    def _set_zone(self, name: str, value: str) -> Iterator[tuple[str, str]]:
        if name != "CRON_TZ":
            return
        self.zone = ""
        try:
            self.zone = load_zone(value).name if value else ""
        except RuleError as error:
            yield f"CRON_TZ: {error}", "The lines after it get the time zone that you choose for the file."
            return
        if value:
            advice = "The schedules have this zone. If it was Debian's cron, which ignores CRON_TZ, change their zone."
            yield f"CRON_TZ={value} changes the time zone of the lines after it, in cronie.", advice

    def _set_delay(self, name: str, value: str) -> Iterator[tuple[str, str]]:
        if name != "RANDOM_DELAY":
            return
        if re.fullmatch(r"[0-9]{1,4}", value) and int(value) <= _MAX_DELAY_MINUTES:
            self.delay_seconds = int(value) * 60
            advice = "The schedules delay each time by up to this, always by the same for the same time."
            yield (
                f"RANDOM_DELAY={value} delays the lines after it by up to {value} minutes, chosen at cron's start.",
                advice,
            )
        else:
            self.delay_seconds = 0
            yield f"RANDOM_DELAY is not a number of minutes up to {_MAX_DELAY_MINUTES}.", "It is left out."


def _list_notes(name: str, value: str) -> Iterator[tuple[str, str]]:
    if name == "MAILTO" and value:
        yield (
            f"MAILTO={value[:60]}: cron mails the output.",
            "Cronium sends no mail; each run keeps its output as its log.",
        )
    elif name in _OF_MAIL:
        yield f"{name} belongs to cron's mails.", "It is left out."
    elif name == "SHELL" and value.rpartition("/")[2] not in _SHELLS:
        yield f"SHELL={value[:60]}: the jobs run in bash.", "Check the commands after it, or change the job's script."
    elif name == "PATH" and has_own_folders(value):
        advice = "Its folders come before those of the image. Programs in them must be in the image."
        yield "The sandbox has its own PATH and not the host's folders.", advice
    elif name == "HOME":
        yield "The sandbox has its own HOME, and runs a script in another folder.", "Check relative paths."
    elif name in ("USER", "LOGNAME"):
        yield f"cron sets {name} itself.", "It is left out."
    elif name == "START_HOURS_RANGE":
        yield "START_HOURS_RANGE belongs to anacron.", "Choose the hours in the rule of the schedule."
    elif name == "TZ":
        yield "TZ changes the time zone of the commands, not of cron.", "The jobs have it as a variable."
    elif re.search(r"\$\{?[A-Za-z_]", value) and name not in _OF_CRON:
        yield f"{name}: cron does not expand $ in a value, and neither does the job.", "Set the variable in the script."
    elif re.search(r"\s#", value):
        yield f"{name}: for cron a # after a value is a part of the value.", "Check the value of the job's variable."
