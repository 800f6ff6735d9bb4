"""What the last runs of a job say about its settings, in words. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median

from cronium_admin.core.templatetags.ui import format_memory, format_seconds
from cronium_admin.profiles.limits import Limits
from cronium_admin.runs.trace import list_steps

MIN_RUNS = 10  # for advice that does not follow from a failure
MEASURED_SECONDS = 60.0  # CPU time is measured every two seconds: of shorter runs it says little
NEAR, LOW = 0.9, 0.25  # shares of a limit
HEADROOM = 1.5  # times the highest measured value, for a lower limit
QUEUE_SECONDS, IMAGE_SECONDS_A_DAY = 10.0, 10.0
DAY = 86_400.0


@dataclass(frozen=True)
class RunFacts:
    """An ended run. Times are seconds; None: not measured."""

    status: str
    reason: str
    limits: Limits
    timeout: int
    created_at: datetime
    waited: float | None  # for a host, after the run was due
    took: float | None
    peak_memory_mb: float | None
    cpu_seconds: float | None
    trace: dict[str, float]
    is_log_cut: bool
    attempt: int


@dataclass(frozen=True)
class JobFacts:
    """The settings of a job, and the profiles that it may have instead: name and limits."""

    limits: Limits
    timeout: int
    profiles: Sequence[tuple[str, Limits]]


@dataclass(frozen=True)
class Advice:
    """`kind` is a code. `is_problem`: runs fail, or soon will. `action` names what to change."""

    kind: str
    is_problem: bool
    finding: str
    action: str


def find_advice(job: JobFacts, runs: Sequence[RunFacts]) -> list[Advice]:
    """`runs` are the last ended runs, newest first. Problems come first."""
    found = [advice for rule in _RULES if (advice := rule(job, runs))]
    return sorted(found, key=lambda advice: not advice.is_problem)


def _judge_memory(job: JobFacts, runs: Sequence[RunFacts]) -> Advice | None:
    limit = job.limits.memory_mb
    same = [run for run in runs if run.limits.memory_mb == limit]
    peaks = [run.peak_memory_mb for run in same if run.peak_memory_mb is not None]
    if killed := sum(run.reason == "oom" for run in same):
        finding = f"{_count(killed, same, runs)} killed for memory at {format_memory(limit)}."
        return Advice("memory_kill", True, finding, _suggest_more_memory(job))
    if len(peaks) < MIN_RUNS:
        return None
    if (peak := max(peaks)) >= NEAR * limit:
        finding = f"{_name_measured(peaks, runs)} used up to {peak:,.0f} MB of {format_memory(limit)}."
        return Advice("memory_near", True, finding, _suggest_more_memory(job))
    fitting = [(name, limits.memory_mb) for name, limits in job.profiles if limits.cpu >= job.limits.cpu]
    smaller = [(name, memory) for name, memory in fitting if peak * HEADROOM <= memory < limit]
    if peak > LOW * limit or not smaller:
        return None
    name, memory = min(smaller, key=lambda one: one[1])
    finding = (
        f"{_name_measured(peaks, runs)} used at most {peak:,.0f} MB of {format_memory(limit)} ({peak / limit:.0%})."
    )
    return Advice("memory_low", False, finding, f"The profile {name} ({format_memory(memory)}) would fit.")


def _judge_cpu(job: JobFacts, runs: Sequence[RunFacts]) -> Advice | None:
    cpu = float(job.limits.cpu)
    shares = [
        run.cpu_seconds / ((run.took or 1.0) * cpu)
        for run in runs
        if run.limits.cpu == job.limits.cpu and run.cpu_seconds is not None and _is_long(run.took)
    ]
    if len(shares) < MIN_RUNS:
        return None
    middle, highest = min(1.0, median(shares)), min(1.0, max(shares))
    if middle >= NEAR:
        finding = f"Its runs use {middle:.0%} of their CPU limit ({cpu:g} CPU) in the median, which slows them."
        return Advice("cpu_high", False, finding, _suggest_more_cpu(job))
    enough = _round_cpu(highest * cpu)
    if highest > LOW or enough >= cpu:
        return None
    finding = f"Its runs use {middle:.0%} of their CPU limit ({cpu:g} CPU) in the median, {highest:.0%} at most."
    return Advice("cpu_low", False, finding, f"{enough:g} CPU would be enough.")


def _judge_timeout(job: JobFacts, runs: Sequence[RunFacts]) -> Advice | None:
    same = [run for run in runs if run.timeout == job.timeout]
    if ended := sum(run.reason == "timeout" for run in same):
        finding = f"{_count(ended, same, runs)} ended by the timeout of {_round_seconds(job.timeout)}."
        return Advice(
            "timeout_hit", True, finding, "Raise the timeout if the script needs longer, or find what it waits for."
        )
    took = [run.took for run in same if run.took is not None and run.status == "succeeded"]
    if len(took) >= MIN_RUNS and max(took) >= NEAR * job.timeout:
        finding = f"A successful run took {_round_seconds(max(took))} of the timeout of {_round_seconds(job.timeout)}."
        return Advice("timeout_near", True, finding, "Raise the timeout before a run is ended by it.")
    return None


def _judge_log(job: JobFacts, runs: Sequence[RunFacts]) -> Advice | None:
    same = [run for run in runs if run.limits.log_limit_mb == job.limits.log_limit_mb]
    if not (cut := sum(run.is_log_cut for run in same)):
        return None
    limit = format_memory(job.limits.log_limit_mb)
    finding = f"The log of {cut} of the last {len(same)} runs{_name_limit(same, runs)} reached its limit of {limit}."
    return Advice("log_cut", True, finding, "Raise the log limit, or let the script write less.")


def _judge_retries(job: JobFacts, runs: Sequence[RunFacts]) -> Advice | None:
    late = sum(run.status == "succeeded" and run.attempt > 1 for run in runs)
    if len(runs) < MIN_RUNS or late < 2:
        return None
    finding = f"{late} of the last {len(runs)} runs succeeded only at a later attempt."
    return Advice("retried", False, finding, "Compare a failed attempt with the successful one that followed it.")


def _judge_queue(job: JobFacts, runs: Sequence[RunFacts]) -> Advice | None:
    waits = [run.waited for run in runs if run.waited is not None]
    if len(waits) < MIN_RUNS or (middle := median(waits)) < QUEUE_SECONDS:
        return None
    usual, longest = _round_seconds(middle), _round_seconds(max(waits))
    finding = f"Its runs wait {usual} in the median before a host takes them, {longest} at most."
    action = "Start it at a quieter time, raise its priority, or add slots to the hosts."
    return Advice("queue_wait", False, finding, action)


def _judge_image(job: JobFacts, runs: Sequence[RunFacts]) -> Advice | None:
    if not (waits := [seconds for run in runs if (seconds := _sum_image_wait(run)) > 0]):
        return None
    ages = [run.created_at for run in runs]
    days = max(1.0, (max(ages) - min(ages)).total_seconds() / DAY)
    if (a_day := sum(waits) / days) < IMAGE_SECONDS_A_DAY:
        return None
    wait = _round_seconds(a_day)
    finding = f"Its runs wait {wait} a day for an image: {len(waits)} of the last {len(runs)} waited for a pull."
    return Advice(
        "image_wait", False, finding, "Let the hosts prefetch the image, or choose a pull policy that pulls less."
    )


_RULES: tuple[Callable[[JobFacts, Sequence[RunFacts]], Advice | None], ...] = (
    *(_judge_memory, _judge_timeout, _judge_log, _judge_cpu, _judge_retries, _judge_queue, _judge_image),
)


def _sum_image_wait(run: RunFacts) -> float:
    return sum(step.end - step.start for step in list_steps(run.trace) if step.phase == "image_pulled") / 1000


def _is_long(seconds: float | None) -> bool:
    return seconds is not None and seconds >= MEASURED_SECONDS


def _suggest_more_memory(job: JobFacts) -> str:
    enough = [(name, limits) for name, limits in job.profiles if limits.cpu >= job.limits.cpu]
    larger = [(name, limits.memory_mb) for name, limits in enough if limits.memory_mb > job.limits.memory_mb]
    if not larger:
        return "No profile has more memory. Set the memory of the job higher."
    name, memory = min(larger, key=lambda one: one[1])
    return f"The profile {name} has {format_memory(memory)}."


def _suggest_more_cpu(job: JobFacts) -> str:
    more = [(name, limits) for name, limits in job.profiles if limits.cpu > job.limits.cpu]
    if not more:
        return "No profile has more CPU. Set the CPU limit of the job higher."
    name, limits = min(more, key=lambda one: (one[1].cpu, one[1].memory_mb))
    return f"The profile {name} has {float(limits.cpu):g} CPU."


def _count(number: int, same: Sequence[RunFacts], runs: Sequence[RunFacts]) -> str:
    # `number` of `same`: the runs with the limit that the job has now
    total, limit = len(same), _name_limit(same, runs)
    if total == 1:
        return f"Its last run{limit} was"
    if number == total:
        return f"Its last {total} runs{limit} were"
    return f"{number} of its last {total} runs{limit} {'was' if number == 1 else 'were'}"


def _name_limit(same: Sequence[RunFacts], runs: Sequence[RunFacts]) -> str:
    return "" if len(same) == len(runs) else " with this limit"


def _name_measured(values: Sequence[float], runs: Sequence[RunFacts]) -> str:
    number = len(values)
    return f"Its last {number} runs" if number == len(runs) else f"Its last {number} measured runs with this limit"


def _round_cpu(used: float) -> float:
    return max(0.1, -(-used * HEADROOM * 10 // 1) / 10)  # up to a tenth


def _round_seconds(seconds: float) -> str:
    return format_seconds(round(seconds))
