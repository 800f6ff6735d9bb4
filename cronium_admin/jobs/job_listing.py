"""The jobs that match a filter: how many of each state, and those of a page, in order.

The database counts and sorts. Failing jobs and the order by name have indexes, so that a page of 10,000 jobs reads its
own rows only.
"""

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from django.db.models import Count, F, Q, QuerySet, Value

from cronium_admin.accounts.models import User
from cronium_admin.jobs.job_filter import JobFilter, Sort
from cronium_admin.jobs.job_search import filter_jobs
from cronium_admin.jobs.job_states import JobState, add_state, count_states, filter_state
from cronium_admin.jobs.models import Job
from cronium_admin.jobs.recent_runs import MAX_RUNS
from cronium_admin.jobs.retry import STATUSES as FAILURES

_BY_NAME = ("order_key", "pk")
# What a row shows, and what rights and the search's matches need.
_COLUMNS = ("name", "slug", "project", "language", "tags", "network", "enabled", "last_run_number", "search_text")


class Position(NamedTuple):
    """A job's place in a sorted list, which is by rank, then by name."""

    rank: float
    order_key: bytes
    pk: int


@dataclass(frozen=True)
class Listing:
    """`counts` has the matching jobs of each state, as if none were chosen; `total` the jobs that the user sees."""

    jobs: "QuerySet[Job]"  # those that match, of all states
    chosen: JobFilter
    counts: dict[str, int]
    total: int
    ids: list[int] | None = None  # of those with the chosen state, in order; None: the database finds them

    @property
    def number(self) -> int:
        """Of the jobs that match, with the chosen state."""
        return self.counts[self.chosen.state] if self.chosen.state else sum(self.counts.values())

    def fetch(self, first: int, last: int) -> list[Job]:
        """Those from place `first`, from 0, to before `last`."""
        if self.ids is not None:
            ids = self.ids[first:last]
            found = Job.objects.only(*_COLUMNS).in_bulk(ids)
            return [found[pk] for pk in ids if pk in found]
        rows: list[Job] = []
        for jobs, number in self._list_parts():
            if first < number and last > 0:
                rows += jobs.only(*_COLUMNS)[max(0, first) : min(last, number)]
            first, last = first - number, last - number
        return rows

    def _list_parts(self) -> Iterator[tuple["QuerySet[Job]", int]]:
        # With the number of each
        if self.chosen.sort == Sort.FAILING and not self.chosen.state:
            failing = self.counts[JobState.FAILING]
            yield _sort(filter_state(self.jobs, JobState.FAILING), Sort.FAILING), failing
            not_failing = self.jobs.filter(Q(enabled=False) | ~Q(health__failures__gt=0))
            yield not_failing.order_by(*_BY_NAME), self.number - failing
        else:
            jobs = filter_state(self.jobs, self.chosen.state) if self.chosen.state else self.jobs
            is_failing = self.chosen.state == JobState.FAILING or self.chosen.sort != Sort.FAILING
            yield _sort(jobs, self.chosen.sort if is_failing else Sort.NAME), self.number


def list_matching(user: User, chosen: JobFilter) -> Listing:
    jobs = filter_jobs(user, chosen)
    counts = dict.fromkeys(JobState.values, 0)
    ids, is_all = None, not replace(chosen, state="").is_filtering
    if chosen.sort == Sort.SUCCESS or chosen.q:  # reads all scripts once
        ids = _list_ids(jobs, chosen, counts)
    elif is_all:
        counts = count_states(user)
    else:
        counts |= dict(add_state(jobs).order_by().values_list("state").annotate(number=Count("pk")))
    total = sum(counts.values()) if is_all else Job.objects.visible_to(user).count()
    return Listing(jobs, chosen, counts, total, ids)


def list_matching_ids(user: User, chosen: JobFilter, limit: int) -> list[int]:
    """The first `limit` of all that match, by name."""
    jobs: QuerySet[Job] = filter_jobs(user, chosen)
    jobs = filter_state(jobs, chosen.state) if chosen.state else jobs
    return list(jobs.order_by(*_BY_NAME).values_list("pk", flat=True)[:limit])


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
        yield from rows
        return
    failures = count_recent_failures()
    for pk, state, runs, *rest in rows:
        yield pk, state, _compute_success(failures.get(pk, 0), runs) if runs else None, *rest


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


def _sort(jobs: "QuerySet[Job]", sort: str) -> "QuerySet[Job]":
    # Jobs without a value come last; equal ones by name.
    columns = {
        Sort.FAILING: "health__failures",
        Sort.LAST: "health__last_ended_at",
        Sort.DURATION: "health__last_seconds",
    }
    column = columns.get(Sort(sort))
    return jobs.order_by(*([F(column).desc(nulls_last=True)] if column else []), *_BY_NAME)


def _list_ids(jobs: "QuerySet[Job]", chosen: JobFilter, counts: dict[str, int]) -> list[int]:
    # Those with the chosen state; `counts` gets the number of each
    rows = list(_read_states(jobs, chosen.sort))
    counts |= Counter(state for _, state, _ in rows)
    rows = [row for row in rows if row[1] == chosen.state] if chosen.state else rows
    if chosen.sort == Sort.FAILING:  # most are not failing, and stay by name
        failing = [row for row in rows if row[1] == JobState.FAILING]
        others = [pk for pk, state, _ in rows if state != JobState.FAILING]
        return [pk for pk, *_ in sorted(failing, key=lambda row: -(row[2] or 0))] + others
    if chosen.sort != Sort.NAME:
        rows.sort(key=lambda row: _compute_rank(chosen.sort, row[1], row[2]))  # stable: they come by name
    return [pk for pk, *_ in rows]


def _compute_success(failures: int, runs: int) -> float:
    return 1 - failures / min(runs, MAX_RUNS)


def count_recent_failures() -> dict[int, int]:
    """By job: how many of its last MAX_RUNS runs failed; jobs without one are omitted. It reads failed runs only."""
    # `runs` is a higher layer, so its model is reached through the relation.
    runs: Any = Job._meta.get_field("runs").related_model
    failed = runs.objects.filter(status__in=FAILURES, number__gt=F("job__last_run_number") - MAX_RUNS)
    return dict(failed.order_by().values_list("job").annotate(number=Count("pk")))
