"""Reads a whole crontab. Any text is accepted: what can't be used becomes a remark."""

import re
from typing import Literal

from cron_rules.crontab.command import split_command
from cron_rules.crontab.cron_fields import CronRefusal, read_fields
from cron_rules.crontab.entries import Assignment, Crontab, Entry, Remark
from cron_rules.crontab.entry_times import REBOOT, LineError, read_times, split_entry
from cron_rules.crontab.environment import parse_assignment
from cron_rules.crontab.host_notes import list_host_notes
from cron_rules.crontab.variables import Environment

Format = Literal["auto", "user", "system"]
MAX_ENTRIES = 200
_MAX_REMARKS = 1000
_MAX_COMMENTS = 20
_USER = re.compile(r"[a-z_][a-z0-9_.-]{0,31}\$?")
# No names of commands.
_KNOWN_USERS = {
    *("root", "www-data", "nobody", "daemon", "postgres", "nginx", "apache", "ubuntu", "ec2-user", "munin"),
    *("smmsp", "logcheck", "amavis"),
}
_UNUSABLE = re.compile(r"[\x00-\x08\x0e-\x1f\x7f\ud800-\udfff\u2028\u2029\x85]")
# Lines of the templates of Debian and Red Hat.
_TEMPLATE = re.compile(
    r"\bcommand to be executed\b|^m\s+h\s+dom\b|^Example of job definition|^[.|]|^-{3,}|^(?:[=*~-]\s*)+$"
)


def parse_crontab(text: str, file_format: Format = "auto") -> Crontab:
    lines = re.split(r"\r\n|\n|\r", text.removeprefix("\ufeff"))
    has_users = _has_user_column(lines) if file_format == "auto" else file_format == "system"
    reader = _Reader(has_users)
    for number, line in enumerate(lines, 1):
        reader.read_line(number, line.strip(" \t\v\f"))
    remarks = sorted(reader.remarks, key=lambda remark: remark.line)[:_MAX_REMARKS]
    return Crontab(tuple(reader.entries), tuple(remarks), tuple(reader.assignments), has_users)


def _has_user_column(lines: list[str]) -> bool:
    """Whether each active entry has a user name before its command, and one of them a known user."""
    users = []
    for line in lines:
        text = line.strip()
        if not text or text.startswith("#") or parse_assignment(text):
            continue
        try:
            times, rest = split_entry(text.removeprefix("-"))
            read_times(times)
        except LineError:
            continue
        words = rest.split(None, 1)
        if len(words) < 2 or not _USER.fullmatch(words[0]):
            return False
        users.append(words[0])
    return bool(_KNOWN_USERS.intersection(users))


class _Reader:
    def __init__(self, has_users: bool) -> None:
        self.has_users = has_users
        self.environment = Environment()
        self.comments: list[str] = []
        self.entries: list[Entry] = []
        self.assignments: list[Assignment] = []
        self.remarks: list[Remark] = []

    def read_line(self, number: int, line: str) -> None:
        if not line:
            self.comments = []
        elif match := _UNUSABLE.search(line):
            reason = f"It contains the character {match[0]!a}, which no script may have."
            self.remarks.append(Remark(number, reason, "Save the file as UTF-8 text without control characters."))
        elif line.startswith("#"):
            self._read_comment(number, line)
        elif found := parse_assignment(line):
            assignment = Assignment(number, *found)
            self.assignments.append(assignment)
            self.remarks += self.environment.set(assignment)
            self.comments = []
        else:
            self._read_entry(number, line)

    def _read_comment(self, number: int, line: str) -> None:
        body = line.lstrip("#").strip()
        if _is_entry(body):
            self._read_entry(number, body, is_commented=True)
        elif body and not _TEMPLATE.search(body) and len(self.comments) < _MAX_COMMENTS:
            self.comments.append(body)

    def _read_entry(self, number: int, line: str, *, is_commented: bool = False) -> None:
        comments, self.comments = self.comments, []
        if len(self.entries) >= MAX_ENTRIES:
            reason = f"One import has at most {MAX_ENTRIES} entries."
            self.remarks.append(Remark(number, reason, "Import this line and those after it as a second file."))
            return
        try:
            self._add_entry(number, line, comments, is_commented=is_commented)
        except LineError as error:
            self.remarks.append(Remark(number, str(error), error.advice))

    def _add_entry(self, number: int, line: str, comments: list[str], *, is_commented: bool) -> None:
        notes: list[tuple[str, str]] = []
        text = line
        if line.startswith("-"):
            text = line[1:]
            notes.append(("The - before the times keeps cronie from logging the start.", "It is left out."))
        times_text, rest = split_entry(text)
        times = read_times(times_text)
        notes += [times.remark] if times.remark else []
        user, rest = self._split_user(rest)
        if user:
            advice = "Files of that user are not there. The sandbox has one user, without rights on the host."
            notes.append((f"cron runs it as the user {user}.", advice))
        if rest.startswith("*"):
            advice = "If the first field means seconds, create a schedule with six fields."
            raise LineError("The command begins with *, so cron refuses the line: it has five fields only.", advice)
        if match := re.match(r"-n[ \t]+", rest):
            rest = rest[match.end() :]
            notes.append(("-n before the command: cronie mails its output only after a failure.", "It is left out."))
        if rest.endswith("\\"):
            notes.append(("cron does not join lines: the \\ at the end continues nothing.", "Complete the script."))
        command, stdin = split_command(rest)
        if not command.strip():
            raise LineError("The line has no command.", "Correct the line, or leave it out.")
        notes += list_host_notes(command)
        environment = self.environment
        entry = Entry(
            number,
            line,
            times.rule,
            times.original,
            user,
            command.strip(),
            stdin,
            dict(environment.values),
            environment.path,
            environment.zone,
            environment.delay_seconds,
            tuple(comments),
            is_commented,
        )
        self.entries.append(entry)
        self.remarks += [Remark(number, reason, advice) for reason, advice in notes]

    def _split_user(self, rest: str) -> tuple[str, str]:
        if not self.has_users:
            return "", rest
        words = rest.split(None, 1)
        if len(words) < 2 or not re.fullmatch(r"[^\s*]{1,64}", words[0]):
            advice = "If the file has no user column, choose so above."
            raise LineError("The line has no user name and command after its times.", advice)
        return words[0], words[1]


def _is_entry(body: str) -> bool:
    """Whether a comment is an entry that was commented out: strictly by cron's own reading."""
    if _TEMPLATE.search(body):
        return False
    try:
        times, _ = split_entry(body)
        if times != REBOOT:
            read_fields(times)
    except (LineError, CronRefusal):
        return False
    return True
