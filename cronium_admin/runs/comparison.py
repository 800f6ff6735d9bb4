"""Compares two runs: what decided them, and what became of them. Pure; the caller loads both runs.

The sections are in the order in which they can explain a different result. `logs` compares the logs.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from cronium_admin.core.database.clock import database_now
from cronium_admin.core.json_text import format_compact, format_exact
from cronium_admin.core.templatetags.ui import (
    LANGUAGES,
    STATES,
    derive_display_status,
    format_duration,
    format_memory,
    format_seconds,
)
from cronium_admin.images.custom import parse_engine_tag
from cronium_admin.jobs.revision_changes import diff_scripts
from cronium_admin.runs.models import Run
from cronium_admin.runs.presentation.phases import build_phases
from cronium_admin.runs.presentation.reasons import describe_reason
from cronium_admin.runs.presentation.why import explain_run
from cronium_admin.runs.triggers import name_trigger

MAX_VALUE = 300  # characters of a value
MAX_PATHS = 200  # differing paths of a JSON value that are listed
MAX_NODES = 20_000  # of a JSON value that are compared
MAX_DIFF_LINES = 2000  # of the script's diff that are listed
SECRETS_NOTE = "Only the names of secrets are compared."
HIDDEN = "hidden"  # instead of the value of a variable
_PHASES = {"queued": "In the queue", "sandbox": "Sandbox", "running": "Script"}
_MISSING = object()


@dataclass(frozen=True)
class Row:
    """One value of both runs, as text; empty: the run has none. `key` is its name in the API."""

    key: str
    label: str
    a: str
    b: str
    is_equal: bool


@dataclass(frozen=True)
class Section:
    """`note` says what was left out; `is_partial`: a difference may be in it. `diff` is a unified diff, of the script
    only."""

    key: str
    title: str
    rows: list[Row] = field(default_factory=list)
    note: str = ""
    diff: str = ""
    is_partial: bool = False

    @property
    def differing(self) -> list[Row]:
        return [row for row in self.rows if not row.is_equal]

    @property
    def equal(self) -> list[Row]:
        return [row for row in self.rows if row.is_equal]

    @property
    def is_equal(self) -> bool:
        return not (self.differing or self.diff or self.is_partial)


@dataclass(frozen=True)
class Comparison:
    """`causes` can explain a different result; `effects` are results."""

    a: Run
    b: Run
    causes: list[Section]
    effects: list[Section]

    @property
    def is_same_job(self) -> bool:
        return is_of_same_job(self.a, self.b)

    @property
    def differing_causes(self) -> list[Section]:
        return [section for section in self.causes if not section.is_equal]

    @property
    def equal_causes(self) -> list[Section]:
        return [section for section in self.causes if section.is_equal]


def is_of_same_job(a: Run, b: Run) -> bool:
    """Runs of deleted jobs by the slug, under which the numbers of the runs continue."""
    if a.job_id is None and b.job_id is None:
        return (a.project_id, a.job_slug) == (b.project_id, b.job_slug)
    return a.job_id == b.job_id


def compare_runs(a: Run, b: Run, *, shows_env: bool = False) -> Comparison:
    """Loaded with `revision__script`, `created_by` and `output`. Without `shows_env`, variables are named without
    their values: only editors see those."""
    causes = [
        _compare_scripts(a, b),
        Section("image", "Image", list(_compare_images(a, b))),
        Section("env", "Environment", list(_compare_env(a.env, b.env, shows_env))),
        Section("secrets", "Names of secrets", list(_compare_names(a.secrets, b.secrets)), SECRETS_NOTE),
        _compare_json("input", "Input", a.input, b.input),
        Section("limits", "Limits", list(_compare_limits(a, b))),
        Section("network", "Network", list(_compare_networks(a, b))),
        Section("start", "Start", list(_compare_starts(a, b))),
    ]
    effects = [
        Section("result", "Result", list(_compare_results(a, b))),
        _compare_json("output", "Output", *(_get_output(run) for run in (a, b))),
        Section("measured", "Time and memory", list(_compare_measures(a, b))),
    ]
    return Comparison(a, b, causes, effects)


def _make_row(key: str, label: str, a: Any, b: Any) -> Row:
    return Row(key, label, _shorten(a), _shorten(b), a == b)


def _shorten(value: Any) -> str:
    text = "" if value is None else str(value)
    return text if len(text) <= MAX_VALUE else f"{text[:MAX_VALUE]}… ({len(text):,} characters)"


def _compare_scripts(a: Run, b: Run) -> Section:
    rows = [
        _make_row("revision", "Revision", a.job_revision, b.job_revision),
        _make_row("language", "Language", *(LANGUAGES.get(run.language, ("", run.language))[1] for run in (a, b))),
    ]
    if not is_of_same_job(a, b):
        rows.insert(0, _make_row("job", "Job", a.job_name, b.job_name))
    names = [f"{run} revision {run.job_revision}" for run in (a, b)]
    lines = diff_scripts(*_end_lines(a.script, b.script), *names).split("\n")
    left = len(lines) - MAX_DIFF_LINES
    note = f"{left:,} more lines of the difference are not listed." if left > 0 else ""
    return Section("script", "Script", rows, note, "\n".join(lines[:MAX_DIFF_LINES]))


def _end_lines(a: str, b: str) -> tuple[str, str]:
    # If neither has a newline at its end, that is no difference to be named.
    is_open = not (a.endswith("\n") or b.endswith("\n"))
    return (f"{a}\n", f"{b}\n") if is_open else (a, b)


def _compare_images(a: Run, b: Run) -> Iterator[Row]:
    yield _make_row("reference", "Image", *(str(parse_engine_tag(run.image) or run.image) for run in (a, b)))
    yield _make_row("rule", "Chosen by", a.image_rule, b.image_rule)
    yield _make_row("digest", "Digest on the host", a.image_digest, b.image_digest)
    yield _make_row("resolved", "Digest in the registry", a.image_resolved, b.image_resolved)


def _compare_env(a: Mapping[str, str], b: Mapping[str, str], shows_values: bool) -> Iterator[Row]:
    for name in sorted({*a, *b}):
        row = _make_row(name, name, a.get(name), b.get(name))
        if not shows_values:
            texts = [HIDDEN if name in env else "" for env in (a, b)]
            row = Row(name, name, texts[0], texts[1], row.is_equal)
        yield row


def _compare_names(a: Iterable[str], b: Iterable[str]) -> Iterator[Row]:
    for name in sorted({*a, *b}):
        yield _make_row(name, name, *("given" if name in names else "" for names in (a, b)))


def _compare_limits(a: Run, b: Run) -> Iterator[Row]:
    yield _make_row("profile", "Profile", a.profile_name, b.profile_name)
    yield _make_row("cpu", "CPU", *(f"{float(run.cpu):g}" for run in (a, b)))
    yield _make_row("memory_mb", "Memory", *(format_memory(run.memory_mb) for run in (a, b)))
    yield _make_row("pids", "Processes", *(f"{run.pids:,}" for run in (a, b)))
    yield _make_row("timeout_seconds", "Timeout", *(format_seconds(run.timeout_seconds) for run in (a, b)))
    yield _make_row("log_limit_mb", "Log limit", *(format_memory(run.log_limit_mb) for run in (a, b)))
    yield _make_row("on_log_limit", "At the log limit", a.on_log_limit, b.on_log_limit)
    yield _make_row("streams", "Streams", a.streams, b.streams)
    yield _make_row("read_only_root", "Root", *("read-only" if run.read_only_root else "writable" for run in (a, b)))
    yield _make_row("runtime", "Runtime", *(run.runtime or "the engine's default" for run in (a, b)))


def _compare_networks(a: Run, b: Run) -> Iterator[Row]:
    yield _make_row("network", "Network", a.network, b.network)
    for pattern in sorted({*a.egress, *b.egress}):
        yield _make_row(pattern, pattern, *("allowed" if pattern in run.egress else "" for run in (a, b)))


def _compare_starts(a: Run, b: Run) -> Iterator[Row]:
    yield _make_row("host", "Host", a.host, b.host)
    yield _make_row("queue", "Queue", a.queue, b.queue)
    yield _make_row("trigger", "Trigger", *(name_trigger(run.trigger) for run in (a, b)))
    yield _make_row(
        "created_by", "Launched by", *(run.created_by.get_username() if run.created_by else "" for run in (a, b))
    )
    yield _make_row("attempt", "Attempt", a.attempt, b.attempt)
    yield _make_row("priority", "Priority", a.priority_name, b.priority_name)
    yield _make_row("concurrency_key", "Concurrency key", a.concurrency_key, b.concurrency_key)


def _compare_results(a: Run, b: Run) -> Iterator[Row]:
    yield _make_row("status", "State", *(STATES[derive_display_status(run)][1] for run in (a, b)))
    yield _make_row("reason", "Reason", *(describe_reason(run.reason) for run in (a, b)))
    yield _make_row("exit_code", "Exit code", a.exit_code, b.exit_code)
    yield _make_row("why", "Why", *(explain_run(run).words for run in (a, b)))
    yield _make_row("condition", "Condition", *(_format_condition(run) for run in (a, b)))
    yield _make_row("log_lines", "Log lines", *(f"{run.log_lines:,}" for run in (a, b)))


def _format_condition(run: Run) -> str:
    return "" if run.condition is None else str(run.condition).lower()


def _compare_measures(a: Run, b: Run) -> Iterator[Row]:
    now = database_now()
    measured = [_measure_phases(run, now) for run in (a, b)]
    for name, words in _PHASES.items():
        yield _make_row(name, words, *(format_duration(lengths.get(name)) for lengths in measured))
    peaks = (run.peak_memory_bytes for run in (a, b))
    yield _make_row(
        "peak_memory", "Peak memory", *("" if peak is None else f"{peak / 1024 / 1024:,.0f} MB" for peak in peaks)
    )


def _measure_phases(run: Run, now: datetime) -> dict[str, timedelta]:
    steps = build_phases(run.created_at, run.claimed_at, run.started_at, run.finished_at, now)
    return {step.name: step.length for step in steps}


def _get_output(run: Run) -> Any:
    return _MISSING if run.output_at is None else run.output


def _compare_json(key: str, title: str, a: Any, b: Any) -> Section:
    """By path: one row for each value that differs, and one if all are equal."""
    if a is _MISSING and b is _MISSING:
        return Section(key, title)
    walk = _JsonWalk()
    walk.compare("", a, b)
    rows = [Row(path or "$", path or "Whole value", old, new, False) for path, old, new in walk.found]
    is_equal = not rows and (not walk.is_cut or format_exact(a, sort_keys=True) == format_exact(b, sort_keys=True))
    if is_equal:
        return Section(key, title, [Row("$", "Whole value", _format_value(a), _format_value(b), True)])
    if not walk.is_cut:
        return Section(key, title, rows)
    is_long = len(rows) >= MAX_PATHS
    note = f"The list ends after {MAX_PATHS:,} differences." if is_long else ""
    note = note or f"They differ. Only the first {MAX_NODES:,} values were compared one by one."
    return Section(key, title, rows, note, is_partial=True)


class _JsonWalk:
    """Walks two values at the same time, up to MAX_NODES values and MAX_PATHS differences."""

    def __init__(self) -> None:
        self.found: list[tuple[str, str, str]] = []
        self.is_cut = False
        self._nodes = 0

    def compare(self, path: str, a: Any, b: Any) -> None:
        stack = [(path, a, b)]
        while stack:
            path, a, b = stack.pop()
            self._nodes += 1
            if self._nodes > MAX_NODES or len(self.found) >= MAX_PATHS:
                self.is_cut = True
                return
            if isinstance(a, dict) and isinstance(b, dict):
                keys = sorted({*a, *b}, reverse=True)
                stack += [(_join(path, name), a.get(name, _MISSING), b.get(name, _MISSING)) for name in keys]
            elif isinstance(a, list) and isinstance(b, list):
                longer = range(max(len(a), len(b)) - 1, -1, -1)
                stack += [(f"{path}[{at}]", _get_item(a, at), _get_item(b, at)) for at in longer]
            elif type(a) is not type(b) or a != b:
                self.found.append((path, _format_value(a), _format_value(b)))


def _join(path: str, name: str) -> str:
    name = name[:80]
    step = name if name.isidentifier() else format_compact(name)
    return f"{path}.{step}" if path else step


def _get_item(values: list[Any], at: int) -> Any:
    return values[at] if at < len(values) else _MISSING


def _format_value(value: Any) -> str:
    return "" if value is _MISSING else _shorten(format_compact(value))
