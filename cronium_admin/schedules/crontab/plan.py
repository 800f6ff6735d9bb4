"""What an import of a crontab would create. Stores nothing.

An entry counts as imported if a job of the project has its slug, or its script with a schedule of its rule and zone.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from django.core.exceptions import ValidationError
from django.utils.text import slugify

from cron_rules.crontab.command import build_script, suggest_name
from cron_rules.crontab.compare import PairedTime, compare_times
from cron_rules.crontab.entries import Crontab, Entry, Remark
from cron_rules.crontab.entry_times import REBOOT
from cron_rules.crontab.environment import is_secret
from cron_rules.crontab.parse import Format, parse_crontab
from cron_rules.errors import RuleError
from cron_rules.zones import load_zone
from cronium_admin.accounts.models import User
from cronium_admin.accounts.permissions import Permission
from cronium_admin.accounts.projects import choose_project_id
from cronium_admin.core.database.clock import database_now
from cronium_admin.core.env_names import find_env_name_problem
from cronium_admin.core.line_text import find_line_problem
from cronium_admin.jobs.models import Job
from cronium_admin.jobs.service import RESERVED_SLUGS
from cronium_admin.schedules.models import Kind, Schedule
from cronium_admin.schedules.rules import RuleFields, build_rule, describe_rule, to_instant
from cronium_admin.secrets.service import find_missing

MAX_TEXT = 256 * 1024  # characters
FORMATS = ("auto", "user", "system")
TREATMENTS = ("secret", "env", "omit")
_MAX_NAME = 80


@dataclass(frozen=True)
class Source:
    """A crontab. `timezone` is that of the host where cron ran."""

    text: str
    timezone: str = "UTC"
    file_format: str = "auto"


@dataclass(frozen=True)
class SecretVariable:
    """A variable that looks like a secret. `is_stored`: a secret of the project has this name already."""

    name: str
    lines: tuple[int, ...]
    value: str | None  # None: it has several
    is_stored: bool
    may_store: bool
    treatment: str


@dataclass(frozen=True)
class Proposal:
    """The job and schedule of one entry. `existing` is the slug of the job that the entry has become already.

    `rule_problem`: why it gets no schedule. `times` is empty for a rule whose times depend on the schedule's id.
    """

    entry: Entry
    name: str
    slug: str
    script: str
    env: dict[str, str]
    secrets: list[str]
    timezone: str
    words: str
    times: list[PairedTime]
    remarks: list[Remark]
    rule_problem: str = ""
    existing: str = ""

    @property
    def differs(self) -> bool:
        return any(time.reason for time in self.times)


@dataclass(frozen=True)
class Plan:
    """`remarks` are those of lines without an entry."""

    source: Source
    crontab: Crontab
    proposals: list[Proposal]
    remarks: list[Remark]
    variables: list[SecretVariable] = field(default_factory=list)


def build_plan(user: User, source: Source, treatments: Mapping[str, str] | None = None) -> Plan:
    """`treatments` says by name what becomes of a variable that looks like a secret. Raises ValidationError, ApiError.

    Without it: the secret, if it is stored or the user may store it; else the variable is left out.
    """
    project_id = choose_project_id(user, Permission.EDIT)
    _check_source(source, treatments or {})
    crontab = parse_crontab(source.text, _get_format(source))
    variables = _list_variables(crontab, project_id, user, treatments or {})
    drafts = _make_drafts(crontab, source, {variable.name: variable.treatment for variable in variables})
    existing = _find_existing(user, project_id, drafts)
    proposals = [
        Proposal(**{**draft.__dict__, "existing": found}) for draft, found in zip(drafts, existing, strict=True)
    ]
    of_entries = {entry.line for entry in crontab.entries}
    remarks = [remark for remark in crontab.remarks if remark.line not in of_entries]
    return Plan(source, crontab, proposals, sorted([*remarks, *_list_name_remarks(crontab)], key=_get_line), variables)


def _get_line(remark: Remark) -> int:
    return remark.line


def _get_format(source: Source) -> Format:
    return "system" if source.file_format == "system" else "user" if source.file_format == "user" else "auto"


def _check_source(source: Source, treatments: Mapping[str, str]) -> None:
    problems: dict[str, list[str]] = {}
    if len(source.text) > MAX_TEXT:
        problems["text"] = [f"The file has {len(source.text):,} characters; at most {MAX_TEXT:,} are allowed."]
    if not source.text.strip("\ufeff \t\r\n"):
        problems["text"] = ["The file is empty. Paste a crontab, or choose a file."]
    if source.file_format not in FORMATS:
        problems["format"] = [f"{source.file_format[:40]!r} is not allowed. Allowed are {', '.join(FORMATS)}."]
    try:
        load_zone(source.timezone)
    except RuleError as error:
        problems["timezone"] = [str(error)]
    for name, treatment in treatments.items():
        if treatment not in TREATMENTS:
            text = f"{name[:40]}: {treatment[:40]!r} is not allowed. Allowed are {', '.join(TREATMENTS)}."
            problems.setdefault("secrets", []).append(text)
    if problems:
        raise ValidationError(problems)


def _list_variables(
    crontab: Crontab, project_id: int, user: User, treatments: Mapping[str, str]
) -> list[SecretVariable]:
    values: dict[str, set[str]] = {}
    for assignment in crontab.assignments:
        if is_secret(assignment.name, assignment.value) and not find_env_name_problem(assignment.name):
            values.setdefault(assignment.name, set()).add(assignment.value)
    stored = values.keys() - set(find_missing(list(values), project_id))
    is_admin = user.has_permission_in(project_id, Permission.ADMIN)
    found, problems = [], []
    for name, texts in values.items():
        lines = tuple(assignment.line for assignment in crontab.assignments if assignment.name == name)
        can_be_secret = name in stored or (is_admin and len(texts) == 1)
        treatment = treatments.get(name, "secret" if can_be_secret else "omit")
        if treatment == "secret" and not can_be_secret:
            reason = "it has several values in the file" if len(texts) > 1 else "only an administrator stores secrets"
            problems.append(f"{name[:40]} can't become a secret: {reason}. Choose another treatment.")
        value = next(iter(texts)) if len(texts) == 1 else None
        found.append(SecretVariable(name, lines, value, name in stored, is_admin and len(texts) == 1, treatment))
    if problems:
        raise ValidationError({"secrets": problems})
    return found


def _make_drafts(crontab: Crontab, source: Source, treatments: Mapping[str, str]) -> list[Proposal]:
    now = to_instant(database_now())
    taken = set(RESERVED_SLUGS)
    return [_make_draft(entry, crontab, source, treatments, taken, now) for entry in crontab.entries]


def _make_draft(
    entry: Entry, crontab: Crontab, source: Source, treatments: Mapping[str, str], taken: set[str], now: int
) -> Proposal:
    name, slug = _choose_name(entry, taken)
    zone = entry.zone or source.timezone
    fields = RuleFields(rule=entry.rule, timezone=zone)
    words, times, problem = "", [], ""
    try:
        rule = build_rule(fields)
        has_hash = "H" in entry.rule
        words = f"{entry.rule} ({zone}), where H follows from the id that the schedule gets." if has_hash else ""
        words = words or describe_rule(fields)
        if not has_hash and entry.rule != REBOOT:
            times = compare_times(entry, rule, load_zone(zone), now, is_foreign=zone != source.timezone)
    except RuleError as error:
        problem = str(error)
    env = {key: value for key, value in entry.env.items() if not find_env_name_problem(key)}
    return Proposal(
        entry,
        name,
        slug,
        build_script(entry.command, entry.stdin, entry.comments, entry.path),
        {key: value for key, value in env.items() if treatments.get(key, "env") == "env"},
        [key for key in env if treatments.get(key) == "secret"],
        zone,
        words,
        times,
        [remark for remark in crontab.remarks if remark.line == entry.line],
        problem,
    )


def _choose_name(entry: Entry, taken: set[str]) -> tuple[str, str]:
    """A name of the comment above the entry or of its command, and a slug that no other entry of the file has."""
    comment = entry.comments[0].rstrip(" .:") if 0 < len(entry.comments) <= 3 else ""
    is_name = comment[:1].isalpha() and len(comment) <= _MAX_NAME
    base = comment if is_name and not find_line_problem(comment) else suggest_name(entry.command)
    if find_line_problem(base) or not base.strip():
        base = f"Line {entry.line}"
    number = 1
    while True:
        name = base if number == 1 else f"{base} {number}"
        slug = make_slug(name)
        if slug not in taken:
            taken.add(slug)
            return name, slug
        number += 1


def make_slug(name: str) -> str:
    return slugify(name)[:70].strip("-_") or "job"


def _find_existing(user: User, project_id: int, drafts: list[Proposal]) -> list[str]:
    jobs = Job.objects.visible_to(user).filter(project=project_id)
    slugs = set(jobs.filter(slug__in=[draft.slug for draft in drafts]).values_list("slug", flat=True))
    scripts = jobs.filter(script__in={draft.script for draft in drafts})
    by_script = {script: slug for slug, script in scripts.values_list("slug", "script")}
    rows = Schedule.objects.visible_to(user).filter(project=project_id, kind=Kind.CRON, job__in=scripts)
    columns = rows.values_list("job__script", "rule", "timezone", "job__slug")
    by_rule = {(script, rule, zone): slug for script, rule, zone, slug in columns}
    found = []
    for draft in drafts:
        same = by_script.get(draft.script, "") if draft.rule_problem else ""
        renamed = by_rule.get((draft.script, draft.entry.rule, draft.timezone), same)
        found.append(draft.slug if draft.slug in slugs else renamed)
    return found


def _list_name_remarks(crontab: Crontab) -> Iterable[Remark]:
    for assignment in crontab.assignments:
        problem = find_env_name_problem(assignment.name)
        if problem and assignment.name not in _HANDLED:
            yield Remark(assignment.line, problem, "The variable is left out.")


# Names that the reader of the file uses or remarks on itself.
_HANDLED = {"PATH", "HOME"}
