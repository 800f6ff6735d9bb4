"""The times of one line: from its text to the rule of a schedule, and to cron's own reading."""

import re
from dataclasses import dataclass

from cron_rules.cron import parse_cron
from cron_rules.crontab.cron_fields import NICKNAMES, CronRefusal, CronTimes, read_fields
from cron_rules.errors import RuleError
from cron_rules.zones import load_zone

REBOOT = "@reboot"
_LIMITS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6))
_RANDOM = re.compile(r"([0-9]*)~([0-9]*)")
_ENTRY = re.compile(r"(@[^ \t]+|(?:[^ \t]+[ \t]+){4}[^ \t]+)[ \t]+([^ \t].*)", re.DOTALL)
_ANACRON = re.compile(r"(?:[0-9]+|@\w+)[ \t]+[0-9]+[ \t]+(?:[a-z][\w-]*\.[\w.-]+|[a-z][\w-]{3,})[ \t]+\S")


class LineError(ValueError):
    """The line can't be carried over. The message says why; `advice` says what to do."""

    def __init__(self, message: str, advice: str = "") -> None:
        super().__init__(message)
        self.advice = advice


@dataclass(frozen=True)
class LineTimes:
    """`remark`: reason and advice if the two readings differ."""

    rule: str
    original: CronTimes | None
    remark: tuple[str, str] | None = None


def split_entry(text: str) -> tuple[str, str]:
    """The times and the rest of a line. Raises LineError."""
    if _ANACRON.match(text) and not re.match(r"(?:[0-9*/,-]+[ \t]+){5}", text):
        advice = "Create a schedule with @daily, @weekly or @monthly for it; a schedule runs a missed time by itself."
        raise LineError("This looks like a line of anacrontab: days, delay, name and command.", advice)
    match = _ENTRY.fullmatch(text)
    if match is None:
        raise LineError("It is neither NAME=value nor five fields and a command.", "Correct the line, or leave it out.")
    return match[1], match[2]


def read_times(text: str) -> LineTimes:
    """Raises LineError if a schedule can't have these times."""
    if text == REBOOT:
        reason = "cron starts it when the host starts; in Cronium it means the start of Cronium."
        return LineTimes(REBOOT, None, (reason, "Check whether the job is needed at all."))
    if text.startswith("@"):
        return _read_nickname(text)
    parts = text.split()
    rule = " ".join(_convert_field(index, part) for index, part in enumerate(parts))
    if "~" in text:
        _check_rule(rule)
        reason = "cron chooses a random value for ~ whenever it reads the file, so its times are not known."
        return LineTimes(rule, None, (reason, "The schedule has H instead, which stays the same."))
    try:
        original = read_fields(" ".join(parts))
    except CronRefusal as refusal:
        _check_rule(rule, str(refusal))
        advice = "The schedule has the times that Cronium reads. Check them before you enable it."
        return LineTimes(rule, None, (f"{refusal} So cron never runs this line.", advice))
    _check_rule(rule)
    has_step = any(re.match(r"[A-Za-z0-9]+/", item) for part in parts for item in part.split(","))
    reason = "Debian's cron ignores a step after a single number, and cronie refuses the line."
    return LineTimes(rule, original, (reason, "The schedule uses the step. Check the times.") if has_step else None)


def _read_nickname(text: str) -> LineTimes:
    if text in NICKNAMES:
        return LineTimes(text, read_fields(text))
    if text == "@every_minute":
        return LineTimes("* * * * *", read_fields("* * * * *"))
    if re.fullmatch(r"@[0-9]+", text):
        advice = "Create a schedule of the kind interval."
        raise LineError(f"{text} counts the seconds from the end of a run, which no cron rule can.", advice)
    known = ", ".join([*NICKNAMES, REBOOT])
    raise LineError(f"cron does not know {text[:40]}.", f"It knows {known}, in lower case.")


def _convert_field(index: int, text: str) -> str:
    low, high = _LIMITS[index]
    items = []
    for item in text.split(","):
        if match := _RANDOM.fullmatch(item):
            item = f"H({match[1] or low}-{match[2] or high})" if match[1] or match[2] else "H"
        elif index == 4:
            item = re.sub(r"^([1-6A-Za-z]+)-0(?=$|/)", r"\1-7", item)
        items.append(item)
    return ",".join(items)


def _check_rule(rule: str, refusal: str = "") -> None:
    try:
        parse_cron(rule, load_zone("UTC"), seed="0")
    except RuleError as error:
        text = str(error)
        advice = text if refusal and "Write" in text else "Correct the line, or leave it out."
        raise LineError(refusal or text, advice) from None
