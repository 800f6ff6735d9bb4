"""The filters of lists of runs: one object for the page, the API and the search across logs."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django.db import connection
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import QueryDict
from django.utils.dateparse import parse_datetime

from cronium_admin.accounts.models import DEFAULT_PROJECT_ID, Project, User
from cronium_admin.accounts.permissions import Permission
from cronium_admin.core.database.clock import database_now
from cronium_admin.core.errors import ApiError
from cronium_admin.images.models import Language
from cronium_admin.jobs.job_search import has_tag
from cronium_admin.jobs.lookup import find_job
from cronium_admin.jobs.models import Job
from cronium_admin.runs.input_values import PREFIX, filter_by_input, read_input_filters
from cronium_admin.runs.models import LIVE, Run, Status
from cronium_admin.runs.triggers import Trigger
from cronium_admin.runs.zone_times import convert_local_time

STATES = ("live", *Status.values)  # the values of `status`
PERIODS = {"1h": timedelta(hours=1), "24h": timedelta(days=1), "7d": timedelta(days=7), "30d": timedelta(days=30)}
MAX_VALUES = 20  # of one filter
MAX_COUNTED = 10_000
_FREQUENT = 2000  # runs with a tag, or of the projects of a member
_MANY_JOBS = 200  # jobs with a tag
_LENGTHS = {"job": 80, "project": 80, "tag": 80, "reason": 40, "by": 150, "host": 100}
_ALLOWED: dict[str, Collection[str]] = {"status": STATES, "trigger": Trigger.values, "language": Language.values}


@dataclass(frozen=True)
class RunFilter:
    """A run matches if each filter that has values matches; one of the values of a filter suffices.

    `by` has user names, `project` slugs. `input` has pairs of a field and a value: each field must match.
    `period` is a key of PERIODS; `since` and `until` are instants.
    """

    job: tuple[str, ...] = ()
    project: tuple[str, ...] = ()
    tag: tuple[str, ...] = ()
    status: tuple[str, ...] = ()
    reason: tuple[str, ...] = ()
    trigger: tuple[str, ...] = ()
    by: tuple[str, ...] = ()
    host: tuple[str, ...] = ()
    language: tuple[str, ...] = ()
    input: tuple[tuple[str, str], ...] = ()
    period: str = ""
    since: datetime | None = None
    until: datetime | None = None

    @classmethod
    def from_query(cls, query: QueryDict) -> tuple["RunFilter", list[str]]:
        """Ignores values that are none, and returns those of `since` and `until` that were ignored.

        Times without an offset are in the time zone `zone`.
        """
        values: dict[str, Any] = {name: _read_values(query, name) for name in LISTED}
        values["input"] = read_input_filters(query)
        period = query.get("period", "")
        values["period"] = period if period in PERIODS else ""
        unread = []
        for name in ("since", "until"):
            text = query.get(name, "").replace("\0", "").strip()
            values[name] = parse_time(text, query.get("zone", ""))
            unread += [text] if text and values[name] is None else []
        return cls(**values), unread

    def to_query(self, *, without: str = "", value: str = "") -> str:
        """The part of an address after "?"; `without` leaves one value, or the whole filter, out."""
        pairs = [(name, each) for name, each in self.list_values() if name != without or (value and each != value)]
        return urlencode(pairs)

    def list_values(self) -> list[tuple[str, str]]:
        pairs = [(name, value) for name in LISTED for value in getattr(self, name)]
        pairs += [(f"{PREFIX}{name}", value) for name, value in self.input]
        pairs += [("period", self.period)] if self.period else []
        times = [(name, getattr(self, name)) for name in ("since", "until")]
        return pairs + [(name, at.isoformat().replace("+00:00", "Z")) for name, at in times if at]

    def replace_values(self, **changed: Any) -> "RunFilter":
        return replace(self, **changed)

    def select(self, runs: QuerySet[Run], user: User, found: Collection[Job] | None = None) -> QuerySet[Run]:
        """Those of `runs` that match. `found`: the result of `find_jobs`, if it is known.

        Raises ApiError 409 if a slug means jobs of several projects.
        """
        jobs = [job.pk for job in (find_jobs(user, self.job)[0] if found is None else found)]
        runs = _filter_states(runs, self.status, self.reason)
        if self.trigger:
            runs = runs.filter(trigger__in=sorted(self.trigger))
        if self.job:
            # By id: with a join to the slug PostgreSQL would read the runs of all jobs.
            runs = runs.filter(job__in=jobs) if len(jobs) != 1 else runs.filter(job=jobs[0])
        if self.tag:
            runs = _filter_tags(runs, self.tag)
        runs = self._filter_projects(runs, user)
        if self.by:
            users = User.objects.filter(username__in=self.by)
            runs = runs.filter(created_by__in=list(users.order_by().values_list("pk", flat=True)))
        if self.host:
            runs = runs.filter(host__in=self.host)
        if self.language:
            runs = runs.filter(language__in=self.language)
        return filter_by_input(self._filter_times(runs), self.input)

    def _filter_projects(self, runs: QuerySet[Run], user: User) -> QuerySet[Run]:
        projects: Collection[int] = ()
        if self.project:
            chosen = Project.objects.filter(slug__in=self.project).order_by()
            projects = list(chosen.values_list("pk", flat=True))
            runs = runs.filter(project__in=projects)
        elif not user.has_permission(Permission.VIEW):
            projects = user.list_project_ids(Permission.VIEW)
        is_narrowed = any(getattr(self, name) for name in (*LISTED, "input") if name != "project")
        if is_narrowed or not projects or DEFAULT_PROJECT_ID in projects:
            return runs
        if len(projects) == 1:
            return _use_project_index(runs)
        own = _use_project_index(Run.objects.filter(project__in=projects)).order_by()
        if connection.vendor == "sqlite" and own[:_FREQUENT].count() < _FREQUENT:
            # For the order it would read all runs from the newest one on, until a page is full.
            return runs.filter(pk__in=own.values("pk"))
        return runs

    def _filter_times(self, runs: QuerySet[Run]) -> QuerySet[Run]:
        if self.period:
            runs = runs.filter(created_at__gte=database_now() - PERIODS[self.period])
        if self.since is not None:
            runs = runs.filter(created_at__gte=self.since)
        return runs if self.until is None else runs.filter(created_at__lt=self.until)


LISTED = tuple(field.name for field in fields(RunFilter) if field.name not in ("input", "period", "since", "until"))


def _read_values(query: QueryDict, name: str) -> tuple[str, ...]:
    texts = clean_values(text.strip()[: _LENGTHS.get(name, 80)] for text in query.getlist(name)[:MAX_VALUES])
    allowed = _ALLOWED.get(name)
    return tuple(text for text in texts if allowed is None or text in allowed)


def clean_values(texts: Iterable[str]) -> tuple[str, ...]:
    """Without NUL, which PostgreSQL refuses, without empty ones, and each once."""
    return tuple(dict.fromkeys(cleaned for text in texts if (cleaned := text.replace("\0", ""))))


def _filter_states(runs: QuerySet[Run], states: Iterable[str], reasons: Iterable[str]) -> QuerySet[Run]:
    statuses: set[str] = {state for state in states if state != "live"} | (set(LIVE) if "live" in states else set())
    if statuses:
        runs = runs.filter(status__in=sorted(statuses))
    if reasons := sorted(reasons):
        # The second condition is that of the index. A run that succeeded has no reason to be filtered by.
        runs = runs.filter(reason__in=reasons).exclude(reason="").exclude(status=Status.SUCCEEDED)
    return runs


def _use_project_index(runs: "QuerySet[Run]") -> "QuerySet[Run]":
    """For runs of other projects than the default one: the condition of their index, in the words that SQLite
    recognizes."""
    return runs.exclude(project=DEFAULT_PROJECT_ID)


def has_visible_runs(user: User) -> bool:
    runs: QuerySet[Run] = Run.objects.visible_to(user).order_by()
    is_member = not user.has_permission(Permission.VIEW)
    if is_member and DEFAULT_PROJECT_ID not in user.list_project_ids(Permission.VIEW):
        runs = _use_project_index(runs)
    return runs.exists()


def _filter_tags(runs: QuerySet[Run], tags: Iterable[str]) -> QuerySet[Run]:
    matches = Q()
    for tag in tags:
        matches |= has_tag(tag)
    jobs = Job.objects.filter(matches).order_by()
    last_numbers = dict(jobs.values_list("pk", "last_run_number")[: _MANY_JOBS + 1])
    is_sqlite = connection.vendor == "sqlite"  # it would read and sort all runs of these jobs
    if len(last_numbers) > _MANY_JOBS or (is_sqlite and sum(last_numbers.values()) > _FREQUENT):
        # The newest runs are read until a page is full, instead of all runs of these jobs.
        return runs.filter(Exists(jobs.filter(pk=OuterRef("job"))))
    # By ids: with a query PostgreSQL would read the runs of all jobs.
    return runs.filter(job__in=list(last_numbers))


def find_jobs(user: User, slugs: Iterable[str]) -> tuple[list[Job], list[str]]:
    """The jobs that the user sees, with slug and name, and the slugs that none of them has."""
    found, unknown = [], []
    for slug in slugs:
        try:
            found.append(find_job(user, slug, only=("name",)))
        except ApiError as error:
            if error.status != 404:
                raise
            unknown.append(slug)
    return found, unknown


def count_bounded(runs: QuerySet[Run]) -> tuple[int, bool]:
    """The number of `runs`, up to MAX_COUNTED, and whether there are more."""
    number = runs.order_by()[: MAX_COUNTED + 1].count()
    return min(number, MAX_COUNTED), number > MAX_COUNTED


def parse_time(text: str, zone: str = "") -> datetime | None:
    """The instant of a time, which is in `zone` or else UTC if it has no offset. None for any other text."""
    try:
        at = parse_datetime(text)
        if at is None:
            return None
        if at.tzinfo is None and zone:
            return convert_local_time(at, zone)
        return at.replace(tzinfo=at.tzinfo or UTC).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
