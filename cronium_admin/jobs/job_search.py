"""Which jobs match a filter, in which order, and where a script has the words of a search."""

import math
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from django.db.models import Count, F, Q, QuerySet, TextField, Value
from django.db.models.functions import Cast

from cronium_admin.accounts.models import Project, User
from cronium_admin.accounts.permissions import Permission
from cronium_admin.accounts.projects import ProjectQuerySet
from cronium_admin.core.json_text import parse_stored
from cronium_admin.core.line_text import fold_case
from cronium_admin.jobs.folded_scripts import FoldedScript
from cronium_admin.jobs.job_filter import JobFilter, Sort
from cronium_admin.jobs.job_states import JobState, add_state
from cronium_admin.jobs.list_models import JobPin
from cronium_admin.jobs.models import Job
from cronium_admin.jobs.recent_runs import MAX_RUNS
from cronium_admin.jobs.retry import STATUSES as FAILURES

MAX_WORDS = 20
MAX_TAGS = 40
MAX_LINE_CHARACTERS = 160


@dataclass(frozen=True)
class Listing:
    """`ids` are those of the matching jobs, in order. `counts` has the jobs of each state, as if none were chosen."""

    ids: list[int]
    counts: dict[str, int]
    total: int  # of the jobs that the user sees


class Position(NamedTuple):
    """A job's place in a sorted list, which is by rank, then by name."""

    rank: float
    order_key: bytes
    pk: int


@dataclass(frozen=True)
class ScriptMatch:
    line: int
    text: str


def filter_jobs(user: User, chosen: JobFilter) -> ProjectQuerySet[Job]:
    """The visible jobs that match `chosen`, without its `state` and `sort`."""
    jobs = Job.objects.visible_to(user)
    for word in chosen.q.split()[:MAX_WORDS]:
        jobs = jobs.filter(_match_word(word))
    for name in ("language", "network"):
        if value := getattr(chosen, name):
            jobs = jobs.filter(**{name: value})
    if chosen.tag:
        jobs = jobs.filter(has_tag(chosen.tag))
    if chosen.project:
        jobs = jobs.filter(project__slug=chosen.project)
    if chosen.mine:
        jobs = jobs.filter(created_by=user)
    if chosen.pinned:
        jobs = jobs.filter(pk__in=JobPin.objects.filter(user=user).values("job"))
    return jobs


def has_tag(tag: str) -> Q:
    # Both databases search the JSON list as text, in which a tag is quoted.
    return Q(tags__icontains=f'"{tag}"')


def _match_word(word: str) -> Q:
    """`image:NAME` (`image:default`: no image of its own) and `language:NAME` filter; other words are searched for in
    name, slug, tags, description and script."""
    name, _, value = word.partition(":")
    if name == "image" and value == "default":
        return Q(image="")
    if name == "image" and value:
        return Q(image=value) | Q(image__startswith=f"{value}:")
    if name == "language" and value:
        return Q(language=value)
    folded = fold_case(word)
    # A condition by ids: each script is read once, and no join makes the rows wide.
    scripts = FoldedScript.objects.filter(text__contains=folded).values("job")
    return Q(search_text__contains=folded) | Q(pk__in=scripts)


def list_matching(user: User, chosen: JobFilter) -> Listing:
    jobs = filter_jobs(user, chosen)
    rows, counts = [], dict.fromkeys(JobState.values, 0)
    for pk, state, key in _read_states(jobs, chosen.sort):
        counts[state] += 1
        if chosen.state in ("", state):
            rows.append((_compute_rank(chosen.sort, state, key), pk))
    is_all = not replace(chosen, state="").is_filtering
    total = sum(counts.values()) if is_all else Job.objects.visible_to(user).count()
    rows.sort(key=lambda row: row[0])  # stable: `rows` are by name
    return Listing([pk for _, pk in rows], counts, total)


def list_after(user: User, chosen: JobFilter, after: Position | None, size: int) -> list[Position]:
    """The positions of the next `size` matching jobs in the order of `chosen.sort`."""
    rows = _read_states(filter_jobs(user, chosen), chosen.sort, "order_key")
    found = sorted(
        Position(_compute_rank(chosen.sort, state, key), bytes(name), pk)
        for pk, state, key, name in rows
        if chosen.state in ("", state)
    )
    start = bisect_right(found, after) if after else 0
    return found[start : start + size]


def _read_states(jobs: "QuerySet[Job]", sort: str, *more: str) -> Iterator[tuple[Any, ...]]:
    # By name: id, state, what `sort` compares, and the columns `more`
    health = "health__"
    key: Any = {
        Sort.FAILING: F(f"{health}failures"),
        Sort.NAME: Value(0),
        Sort.LAST: F(f"{health}last_ended_at"),
        Sort.DURATION: F(f"{health}last_seconds"),
        Sort.SUCCESS: F("last_run_number"),
    }[Sort(sort)]
    rows: Any = add_state(jobs).annotate(key=key).order_by("order_key", "pk").values_list("pk", "state", "key", *more)
    if sort != Sort.SUCCESS:
        yield from rows.iterator(chunk_size=2000)
        return
    failures = count_recent_failures()
    for pk, state, runs, *rest in rows.iterator(chunk_size=2000):
        yield pk, state, 1 - failures.get(pk, 0) / min(runs, MAX_RUNS) if runs else None, *rest


def count_recent_failures() -> dict[int, int]:
    """By job: how many of its last MAX_RUNS runs failed; jobs without one are omitted. It reads failed runs only."""
    # `runs` is a higher layer, so its model is reached through the relation.
    runs: Any = Job._meta.get_field("runs").related_model
    failed = runs.objects.filter(status__in=FAILURES, number__gt=F("job__last_run_number") - MAX_RUNS)
    return dict(failed.order_by().values_list("job").annotate(number=Count("pk")))


def _compute_rank(sort: str, state: str, key: Any) -> float:
    # Ascending. Jobs without a value come last.
    if sort == Sort.NAME:
        return 0
    if sort == Sort.FAILING:
        return -(key or 0) if state == JobState.FAILING else 1
    if key is None:
        return math.inf
    if sort == Sort.SUCCESS:
        return float(key)
    return -float(key.timestamp() if sort == Sort.LAST else key)


def list_tags(user: User, chosen: str) -> list[str]:
    """The tags of the visible jobs, by name: the MAX_TAGS most used ones, and the `chosen` one."""
    jobs = Job.objects.visible_to(user).exclude(tags=[]).order_by()
    counts: dict[str, int] = {}
    for text, number in jobs.annotate(text=Cast("tags", TextField())).values_list("text").annotate(number=Count("pk")):
        for tag in parse_stored(text):
            counts[tag] = counts.get(tag, 0) + number
    most = sorted(counts, key=lambda tag: (-counts[tag], tag))[:MAX_TAGS]
    return sorted({*most, *([chosen] if chosen else [])})


def list_visible_projects(user: User) -> list[Project]:
    projects = Project.objects.order_by("name", "pk")
    if not user.has_permission(Permission.VIEW):
        projects = projects.filter(pk__in=user.list_project_ids(Permission.VIEW))
    return list(projects)


def find_script_matches(jobs: Iterable[Job], query: str) -> dict[int, ScriptMatch]:
    """By job: the line of the script with a word of `query` that nothing else of the job has."""
    words = [fold_case(word) for word in query.split()[:MAX_WORDS] if not re.match("(image|language):.", word)]
    missing = {job.pk: lacking for job in jobs if (lacking := [word for word in words if word not in job.search_text])}
    if not missing:
        return {}
    scripts = Job.objects.filter(pk__in=missing).values_list("pk", "script")
    found = ((pk, _find_line(script, missing[pk])) for pk, script in scripts)
    return {pk: match for pk, match in found if match}


def _find_line(script: str, words: list[str]) -> ScriptMatch | None:
    for number, line in enumerate(script.split("\n"), 1):
        folded = fold_case(line)
        position = min((at for word in words if (at := folded.find(word)) >= 0), default=-1)
        if position >= 0:
            start = max(0, position - MAX_LINE_CHARACTERS // 2) if len(line) > MAX_LINE_CHARACTERS else 0
            return ScriptMatch(number, ("…" if start else "") + line[start : start + MAX_LINE_CHARACTERS].strip())
    return None
