"""Compares the ledger of schedules with their rules and runs, from outside: by SQL."""

from bisect import bisect_left, bisect_right
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import psycopg

from cron_rules.cron import parse_cron
from cron_rules.evaluate import list_times
from cron_rules.zones import load_zone

LAUNCHED = ("ran", "late", "caught_up")
# What may be launched and yet not be a run: the job's limit ended it at once.
ENDED_AT_ONCE = ("overlapped", "cancelled")


@dataclass
class Report:
    """`states` counts the rows of each state, `runs` the runs."""

    violations: list[str] = field(default_factory=list)
    states: Counter[str] = field(default_factory=Counter)
    runs: int = 0


def check_schedule(connection: "psycopg.Connection[Any]", pk: int) -> Report:
    """Each nominal time of the cron rule, from the creation to the cursor, has one row and one reason; each run has the
    row of its nominal time, and no two have the same."""
    [(rule, zone, created, cursor)] = _fetch(
        connection, "SELECT rule, timezone, created_at, cursor_at FROM schedules_schedule WHERE id = %s", pk
    )
    name = f"schedule {pk} ({rule})"
    report = Report()
    first, last = int(created.timestamp()) + 1, int(cursor.timestamp())
    expected = list_times(parse_cron(rule, load_zone(zone)), first, last + 1)
    found: Counter[int] = Counter()
    rows = _fetch(
        connection,
        "SELECT nominal_at, last_nominal_at, count, state, reason, run_id FROM schedules_occurrence"
        " WHERE schedule_id = %s AND state <> 'gap'",
        pk,
    )
    for nominal, end, count, state, reason, run_id in rows:
        report.states[state] += 1
        begin, after = bisect_left(expected, nominal.timestamp()), bisect_right(expected, end.timestamp())
        if after - begin != count:
            report.violations.append(f"{name}: the row of {nominal} counts {count} instead of {after - begin} times")
        found.update(expected[begin:after])
        if state in LAUNCHED and run_id is None:
            report.violations.append(f"{name}: the row of {nominal} is {state} without a run")
        if state not in LAUNCHED and not reason:
            report.violations.append(f"{name}: the row of {nominal} is {state} without a reason")
    if missing := [at for at in expected if not found[at]]:
        report.violations.append(f"{name}: {len(missing)} times without a row, from {missing[0]}")
    if doubled := [at for at, count in found.items() if count > 1]:
        report.violations.append(f"{name}: {len(doubled)} times with several rows, from {doubled[0]}")
    return _check_runs(connection, pk, name, report)


def _check_runs(connection: "psycopg.Connection[Any]", pk: int, name: str, report: Report) -> Report:
    runs = _fetch(
        connection,
        "SELECT r.id, r.scheduled_for, o.nominal_at, o.state, r.status FROM runs_run r"
        " LEFT JOIN schedules_occurrence o ON o.run_id = r.id WHERE r.caused_by = %s AND r.attempt = 1",
        f"schedule:{pk}",
    )
    report.runs = len(runs)
    for run_id, planned, nominal, state, status in runs:
        if planned != nominal:
            report.violations.append(f"{name}: the run {run_id} for {planned} has the row of {nominal}")
        elif state not in LAUNCHED and (state, status) != ENDED_AT_ONCE:
            report.violations.append(f"{name}: the row of {nominal} is {state}, and has a run which is {status}")
    planned_times = Counter(planned for _, planned, *_ in runs)
    doubled = [f"{planned}" for planned, count in planned_times.items() if count > 1]
    report.violations += [f"{name}: several runs for {planned}" for planned in doubled]
    return report


def _fetch(connection: "psycopg.Connection[Any]", text: str, *values: Any) -> list[tuple[Any, ...]]:
    return connection.execute(text, values).fetchall()  # type: ignore[arg-type]
