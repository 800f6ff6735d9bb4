"""What differs between a failed run and the last success before it: only what can explain the failure."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from cronium_admin.core.json_text import format_exact
from cronium_admin.core.templatetags.ui import format_memory, format_run_duration
from cronium_admin.images.custom import parse_engine_tag
from cronium_admin.jobs.models import ScriptText
from cronium_admin.jobs.revision_changes import count_changed_lines
from cronium_admin.jobs.templatetags.networks import NETWORKS
from cronium_admin.runs.job_health import BAD, UNCOUNTED_TRIGGERS
from cronium_admin.runs.lookup import SEARCHED_RUNS
from cronium_admin.runs.models import Run

_SHORT = 40  # characters of an input that is shown
_HEX = 12  # digits of a digest


@dataclass(frozen=True)
class Difference:
    label: str
    before: str
    after: str
    added: int = 0  # lines of the script
    removed: int = 0


@dataclass(frozen=True)
class SinceSuccess:
    """`same`: what did not change, by name. `measured`: always shown, such as the duration."""

    good: Run
    changed: list[Difference]
    same: list[str]
    measured: list[Difference]


def count_streak(run: Run, good: Run | None) -> int:
    """How many runs have failed since the last success, with `run`; at most SEARCHED_RUNS + 1.

    Counts back to the first number that is missing: the deleted run may have succeeded.
    """
    first = good.number if good else run.number - SEARCHED_RUNS - 1
    runs = Run.objects.filter(job=run.job_id, number__gt=first, number__lte=run.number).order_by("-number")
    failures = 0
    rows = runs.values_list("number", "status", "trigger")
    for expected, (number, status, trigger) in zip(range(run.number, first, -1), rows, strict=False):
        if number != expected:
            break
        failures += status in BAD and trigger not in UNCOUNTED_TRIGGERS
    return failures


def compare_with_success(run: Run, good: Run) -> SinceSuccess:
    """Of environment variables only the names: of those that are new, missing, or have another value."""
    script = _compare_scripts(run, good)
    rows = [(label, read(good), read(run)) for label, read in _READERS]
    different = [Difference(label, before, after) for label, before, after in rows if before != after]
    for label, before, after in (("Environment", good.env, run.env), ("Input", good.input, run.input)):
        if difference := _COMPARE[label](before, after):
            different.append(difference)
    changed = [script, *different] if script else different
    labels = {difference.label for difference in changed}
    every = ["Script", *(label for label, _, _ in rows), *_COMPARE]
    return SinceSuccess(good, changed, [label for label in every if label not in labels], _list_measured(run, good))


def _compare_scripts(run: Run, good: Run) -> Difference | None:
    own = [(each.differs or {}).get("script") for each in (good, run)]
    if own == [None, None] and good.revision.script_id == run.revision.script_id:
        return None
    texts = [text if text is not None else _read_script(each) for text, each in zip(own, (good, run), strict=True)]
    if texts[0] == texts[1]:
        return None
    before, after = (
        "unsaved" if "script" in (each.differs or {}) else f"rev {each.job_revision}" for each in (good, run)
    )
    return Difference("Script", before, after, *count_changed_lines(*texts))


def _read_script(run: Run) -> str:
    return ScriptText.objects.values_list("text", flat=True).get(pk=run.revision.script_id)


def _name_image(run: Run) -> str:
    name = str(parse_engine_tag(run.image) or run.image)
    digest = run.image_digest.removeprefix("sha256:")[:_HEX]
    return f"{name} {digest}" if digest else name


def _describe_network(run: Run) -> str:
    word = NETWORKS.get(run.network, ("", run.network))[1]
    return ", ".join([word, *run.egress])


def _list_names(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"


_READERS: tuple[tuple[str, Callable[[Run], str]], ...] = (
    ("Image", _name_image),
    ("Limits", lambda run: f"{run.cpu:g} CPU, {format_memory(run.memory_mb)}, {run.pids:,} processes"),
    ("Profile", lambda run: run.profile_name),
    ("Timeout", lambda run: f"{run.timeout_seconds:,} s"),
    ("Network", _describe_network),
    ("Names of secrets", lambda run: _list_names(run.secrets)),
    ("Host", lambda run: run.host or "none"),
    ("Root", lambda run: "read-only" if run.read_only_root else "writable"),
)


def _compare_env(before: dict[str, str], after: dict[str, str]) -> Difference | None:
    removed, added = before.keys() - after.keys(), after.keys() - before.keys()
    new_values = {name for name in before.keys() & after.keys() if before[name] != after[name]}
    if not removed and not added and not new_values:
        return None
    words = [*(f"+{name}" for name in sorted(added)), *(f"{name} changed" for name in sorted(new_values))]
    return Difference("Environment", _list_names(removed) if removed else "", ", ".join(words) or "removed")


def _compare_input(before: Any, after: Any) -> Difference | None:
    texts = [format_exact(value) for value in (before, after)]
    if texts[0] == texts[1]:
        return None
    return Difference("Input", _shorten_input(texts[0]), _shorten_input(texts[1]))


def _shorten_input(text: str) -> str:
    if text == "null":
        return "none"
    return text if len(text) <= _SHORT else f"{len(text):,} characters"


_COMPARE: dict[str, Callable[[Any, Any], Difference | None]] = {
    "Environment": _compare_env,
    "Input": _compare_input,
}


def _list_measured(run: Run, good: Run) -> list[Difference]:
    rows = [Difference("Lines", f"{good.log_lines:,}", f"{run.log_lines:,}")]
    if run.finished_at and good.finished_at:
        rows.append(Difference("Took", format_run_duration(good), format_run_duration(run)))
    if run.peak_memory_bytes and good.peak_memory_bytes:
        rows.append(Difference("Memory", _format_peak(good.peak_memory_bytes), _format_peak(run.peak_memory_bytes)))
    return rows


def _format_peak(value: int) -> str:
    return f"{value / 1024 / 1024:,.0f} MB"
