"""Pure: what a run's end means. One table from what was seen to status, reason and message."""

from dataclasses import dataclass

from executor.docker.errors import EngineError, SandboxTampered
from executor.docker.models import ContainerState
from executor.output.stream import ENGINE_LOST, ENGINE_RESTARTED, LEAST_LINE_BYTES, ROTATED, UNCOUNTED
from executor.run.payload import NOT_RECEIVED
from executor.spec import MB, RunResult, RunSpec

CANCEL, SHUTDOWN, TIMEOUT, LIMIT = "cancel", "shutdown", "timeout", "limit"
GONE = "container_gone"
# An engine that is restarted ends its containers with SIGTERM and SIGKILL, at its end or before it answers again.
ENGINE_STOP_SECONDS, ENGINE_STOP_CODES = 60.0, (137, 143)
SIGNALS = {129: "SIGHUP", 130: "SIGINT", 131: "SIGQUIT", 134: "SIGABRT", 137: "SIGKILL", 139: "SIGSEGV", 143: "SIGTERM"}
GAPS = {
    ENGINE_LOST: "The engine had lost a part of its log when it was read again: lines are missing",
    ENGINE_RESTARTED: "The engine was away while the script ran: lines that it held in its memory may be missing",
    ROTATED: "While no worker read it the script wrote more than its log may hold: lines are missing",
    UNCOUNTED: "While no worker read it the script may have written more past its log's limit, which was not counted",
}
PAUSED = "paused", "The run's container was paused from outside Cronium: the script stops, its timeout does not"
CONTINUED = "continued", "The run's container was resumed"
REPLACED = "A part of the log was read again from the engine, which had replaced bytes that are not UTF-8"


@dataclass(frozen=True)
class StopRequest:
    """Why the executor itself ended a run, one of the words above; by whom, for the message."""

    why: str


def build_exit_result(
    spec: RunSpec,
    state: ContainerState,
    stopped: StopRequest | None,
    dropped_bytes: int,
    engine_booted_at: float = 0.0,
    watched_at_boot: float = 0.0,
) -> RunResult:
    """The result of a container that has exited. What we did to it outranks how it then died.

    `watched_at_boot` is the engine's start under which it was seen to run, where it was.
    """
    code = state.exit_code
    if stopped:
        return build_stop_result(spec, stopped, code, dropped_bytes)
    if state.oom_killed:
        return _build_oom_result(spec, code)
    if code == 0:
        return RunResult("succeeded", "exit_code", "The script exited with code 0.", 0)
    if code in ENGINE_STOP_CODES and _is_engine_restart(state, engine_booted_at, watched_at_boot):
        message = (
            f"The Docker Engine of host {spec.host} was restarted while the script ran, which ended it (exit code "
            f"{code}). Run it again if that is safe."
        )
        return RunResult("errored", "engine_restarted", message, code)
    return RunResult("failed", "exit_code", _describe_exit_code(spec, code), code)


def _is_engine_restart(state: ContainerState, booted_at: float, watched_at_boot: float) -> bool:
    """Whether the engine's own end ended it: it ran until then, or where nobody saw that, it ended about then."""
    if not state.started_at < booted_at:
        return False
    if watched_at_boot:
        return watched_at_boot != booted_at
    return abs(state.finished_at - booted_at) < ENGINE_STOP_SECONDS


def build_stop_result(spec: RunSpec, stopped: StopRequest, code: int | None, dropped_bytes: int = 0) -> RunResult:
    """The result of a run that the executor ended, before (`code` None) or after its script began."""
    if stopped.why == TIMEOUT:
        message = (
            f"Stopped at its time limit of {spec.timeout_seconds:g} s. Raise the job's timeout if it needs longer."
        )
        return RunResult("timed_out", "timeout", message, code)
    if stopped.why == LIMIT:
        limit = spec.log_limit_bytes
        message = (
            f"Stopped because its log passed its limit of {limit // MB} MB (or {limit // LEAST_LINE_BYTES:,} lines); "
            f"{dropped_bytes:,} bytes after that were not kept. Write less, raise the limit, or let the job drop "
            "further output."
        )
        return RunResult("failed", "output_limit", message, code)
    if stopped.why == SHUTDOWN:
        return RunResult("cancelled", "shutdown", "Stopped because Cronium itself was stopped. Run it again.", code)
    return RunResult("cancelled", "cancelled", "Cancelled; its container has been stopped.", code)


def build_error_result(error: EngineError) -> RunResult:
    """The result of a run that the engine, or we, could not carry out."""
    return RunResult("errored", error.reason, str(error))


def build_unstoppable_result(result: RunResult, stopped: StopRequest | None) -> RunResult:
    """The result of a run that failed as `result` says, after its script began, and whose container was not seen to
    have ended: no status may say then that it was stopped."""
    wanted = " A stop had been requested." if stopped else ""
    message = f"{result.message}{wanted} Its script may still run; it is removed once the engine answers."
    return RunResult("errored", result.reason, message)


def build_undelivered_result(spec: RunSpec) -> RunResult:
    """The result of a run whose worker died while it handed the script over: none of it was run."""
    message = f"The worker on host {spec.host} stopped before it had sent the script, so none of it ran."
    return RunResult("errored", "not_delivered", f"{message} Run it again.")


def build_gone_result(spec: RunSpec, *, is_watched: bool) -> RunResult:
    """The result of a run whose container vanished after its script had begun, while a worker watched it or before."""
    what = (
        f"The run's container on host {spec.host} was removed from outside Cronium while the script ran"
        if is_watched
        else f"The worker on host {spec.host} stopped while the script ran, and the run's container was removed since"
    )
    return RunResult("lost", GONE, f"{what}, so its result is unknown. Run it again if that is safe.")


def build_tampered_result(spec: RunSpec) -> RunResult:
    """The result of a run whose container somebody else has started again."""
    message = (
        f"The run's container on host {spec.host} was restarted from outside Cronium, which ended the script. How far "
        "the script came is unknown. Run it again if that is safe."
    )
    return RunResult("lost", SandboxTampered.reason, message)


def is_removed_by_others(state: ContainerState, stopped: StopRequest | None) -> bool:
    """Whether a container that we did not stop was killed because somebody else removes it."""
    return stopped is None and state.status in ("removing", "dead") and state.exit_code in ENGINE_STOP_CODES


def _build_oom_result(spec: RunSpec, code: int) -> RunResult:
    limit = spec.limits.memory_bytes // MB
    if code == 0:
        message = (
            f"A process of the script was killed for memory at {limit} MB, though the script itself exited with 0."
        )
    else:
        message = f"Killed for memory at {limit} MB."
    return RunResult("failed", "oom", f"{message} Choose a larger profile, or set memory in the job.", code)


def _describe_exit_code(spec: RunSpec, code: int) -> str:
    if code == NOT_RECEIVED:
        return f"The script exited with code {code}, which is also what a script that never arrived gives."
    if code == 127:
        return (
            "The script exited with code 127, which usually means that a command was not found in the image "
            f"{spec.image}."
        )
    if code == 137:
        return (
            "The script was ended by SIGKILL (exit code 137), sent by one of its own processes or from outside on "
            f"host {spec.host}. The engine reports no lack of memory."
        )
    if name := SIGNALS.get(code):
        return f"The script was ended by {name} (exit code {code})."
    return f"The script exited with code {code}."
