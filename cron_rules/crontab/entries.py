"""What a crontab contains, after reading it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from cron_rules.crontab.cron_fields import CronTimes


@dataclass(frozen=True)
class Remark:
    """What of a line can't be carried over, or means something else than in cron, and what to do about it."""

    line: int
    reason: str
    advice: str = ""


@dataclass(frozen=True)
class Assignment:
    line: int
    name: str
    value: str


@dataclass(frozen=True)
class Entry:
    """One command with its times. `original` is None if cron has no times for it: at a start, by chance, or because
    cron refuses the line. `zone` is that of CRON_TZ. `stdin` is None if the line has no `%`."""

    line: int
    text: str
    rule: str
    original: CronTimes | None
    user: str
    command: str
    stdin: str | None
    env: Mapping[str, str] = field(default_factory=dict)
    path: str | None = None
    zone: str = ""
    delay_seconds: int = 0
    comments: tuple[str, ...] = ()
    is_commented: bool = False


@dataclass(frozen=True)
class Crontab:
    """`has_users`: its lines have a user column, as /etc/crontab and the files in /etc/cron.d have."""

    entries: tuple[Entry, ...]
    remarks: tuple[Remark, ...]
    assignments: tuple[Assignment, ...]
    has_users: bool
