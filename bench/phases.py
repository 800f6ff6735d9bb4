"""Prints the phases of runs, from the field `trace` of the API, beside the time of a bare `docker run`."""

import statistics
from collections.abc import Iterable, Mapping, Sequence

from cronium_admin.runs.trace import PARTS, STEPS, list_steps

Trace = Mapping[str, float | None]


def print_phases(traces: Iterable[Trace | None], floor: Sequence[float] = ()) -> None:
    """`floor`: seconds of a bare `docker run` until its first line, measured beside the runs."""
    reached = [{phase: at for phase, at in trace.items() if at is not None} for trace in traces if trace]
    if not reached:
        print("  no run has a trace")
        return
    print(f"  {f'phases of {len(reached)} runs, in ms':32} {'median':>8} {'p95':>8}   {'at':>8}")
    for phase in STEPS:
        took = [step.end - step.start for trace in reached for step in list_steps(trace) if step.phase == phase]
        if took:
            _print_row(phase, took, [trace[phase] for trace in reached if phase in trace])
        if phase == "claimed":
            _print_parts([trace for trace in reached if "claimed" in trace])
    for phase in ("first_line_stored", "first_line_at_socket"):
        if at := [trace[phase] for trace in reached if phase in trace]:
            _print_row(f"until {phase}", at, at)
    if floor:
        _print_row("bare docker run, first line", [1000 * seconds for seconds in floor])


def _print_parts(traces: Sequence[Mapping[str, float]]) -> None:
    for part in PARTS:
        if having := [trace for trace in traces if part in trace]:
            took = [trace[part] - trace["claimed"] for trace in having]
            _print_row(f"  {part}, since claimed", took, [trace[part] for trace in having])


def _print_row(name: str, values: Sequence[float], at: Sequence[float] = ()) -> None:
    where = f"   {statistics.median(at):8.1f}" if at else ""
    p95 = sorted(values)[min(len(values) - 1, int(0.95 * len(values)))]
    print(f"  {name:32} {statistics.median(values):8.1f} {p95:8.1f}{where}")
