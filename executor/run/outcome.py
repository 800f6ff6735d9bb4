"""Pure: maps the end of a run to status, reason and message."""

from dataclasses import dataclass

from executor.docker.errors import EngineError, SandboxTampered
from executor.docker.models import ContainerState
from executor.output.source import ENGINE_LOST, ENGINE_RESTARTED, ROTATED, UNCOUNTED
from executor.output.stream import LEAST_LINE_BYTES
from executor.sandbox.bootstrap import NOT_RECEIVED
from executor.spec import MB, RunResult, RunSpec

CANCEL, SHUTDOWN, TIMEOUT, LIMIT, DISK = "cancel", "shutdown", "timeout", "limit", "disk"
GONE = "container_gone"
# A restarting engine ends its containers with SIGTERM and SIGKILL, when it stops or before it answers again.
ENGINE_STOP_SECONDS, ENGINE_STOP_CODES = 60.0, (137, 143)
SIGNALS = {129: "SIGHUP", 130: "SIGINT", 131: "SIGQUIT", 134: "SIGABRT", 137: "SIGKILL", 139: "SIGSEGV", 143: "SIGTERM"}
GAPS = {
    ENGINE_LOST: "The engine had lost part of its log when it was read again: lines are missing",
    ENGINE_RESTARTED: "The engine was away while the script ran: buffered lines may be missing",
    ROTATED: "While no worker read the log, the script wrote more than the log may hold: lines are missing",
    UNCOUNTED: "While no worker read the log, the script may have written output past its limit that is not counted",
}
PAUSED = "paused", "The run's container was paused from outside Cronium: the script is paused, its timeout is not"
CONTINUED = "continued", "The run's container was resumed"
REPLACED = "Part of the log was read again from the engine, which had replaced bytes that are not UTF-8"


@dataclass(frozen=True)
class StopRequest:
    """The reason for which the executor ended a run: CANCEL, SHUTDOWN, TIMEOUT, LIMIT or DISK."""

    why: str


def build_exit_result(
    spec: RunSpec,
    state: ContainerState,
    stopped: StopRequest | None,
    dropped_bytes: int,
    engine_booted_at: float = 0.0,
    watched_at_boot: float = 0.0,
) -> RunResult:
    """The result of an exited container. A stop by the executor takes precedence over the exit code.

    `watched_at_boot` is the engine's start time at which the container was seen running; 0.0 if it never was.
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
            f"The Docker Engine of host {spec.host} was restarted while the script ran, which ended the script (exit "
            f"code {code}). Run it again if that is safe."
        )
        return RunResult("errored", "engine_restarted", message, code)
    return RunResult("failed", "exit_code", _describe_exit_code(spec, code), code)


def _is_engine_restart(state: ContainerState, booted_at: float, watched_at_boot: float) -> bool:
    """Whether a restart of the engine ended the container: it was seen running under an earlier start of the engine, or
    (unseen) it ended near the engine's start."""
    if not state.started_at < booted_at:
        return False
    if watched_at_boot:
        return watched_at_boot != booted_at
    return abs(state.finished_at - booted_at) < ENGINE_STOP_SECONDS


def build_stop_result(spec: RunSpec, stopped: StopRequest, code: int | None, dropped_bytes: int = 0) -> RunResult:
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
            "output past its limit."
        )
        return RunResult("failed", "output_limit", message, code)
    if stopped.why == DISK:
        message = (
            f"Stopped because it wrote more than {spec.disk_limit_bytes // MB} MB to its disk. Install less, or remove "
            "files that the image does not need in the same step; an administrator can raise CRONIUM_BUILD_DISK_MB."
        )
        return RunResult("failed", "disk_limit", message, code)
    if stopped.why == SHUTDOWN:
        return RunResult("cancelled", "shutdown", "Stopped because Cronium itself was stopped. Run it again.", code)
    return RunResult("cancelled", "cancelled", "Cancelled. The run's container was stopped.", code)


def build_error_result(error: EngineError) -> RunResult:
    return RunResult("errored", error.reason, str(error))


def build_unstoppable_result(result: RunResult, stopped: StopRequest | None) -> RunResult:
    # The container may still be running: no status may claim that it was stopped.
    stop_note = " A stop had been requested." if stopped else ""
    message = f"{result.message}{stop_note} The script may still run; its container is removed once the engine answers."
    return RunResult("errored", result.reason, message)


def build_undelivered_result(spec: RunSpec) -> RunResult:
    message = f"The worker on host {spec.host} stopped before it had sent the whole script, so the script did not run."
    return RunResult("errored", "not_delivered", f"{message} Run it again.")


def build_gone_result(spec: RunSpec, *, is_watched: bool) -> RunResult:
    cause = (
        f"The run's container on host {spec.host} was removed from outside Cronium while the script ran"
        if is_watched
        else f"The worker on host {spec.host} stopped while the script ran, and the run's container was removed later"
    )
    return RunResult("lost", GONE, f"{cause}, so its result is unknown. Run it again if that is safe.")


def build_tampered_result(spec: RunSpec) -> RunResult:
    message = (
        f"The run's container on host {spec.host} was restarted from outside Cronium, which ended the script. Its "
        "progress until then is unknown. Run it again if that is safe."
    )
    return RunResult("lost", SandboxTampered.reason, message)


def is_removed_by_others(state: ContainerState, stopped: StopRequest | None) -> bool:
    return stopped is None and state.status in ("removing", "dead") and state.exit_code in ENGINE_STOP_CODES


def _build_oom_result(spec: RunSpec, code: int) -> RunResult:
    limit = spec.limits.memory_bytes // MB
    if code == 0:
        message = (
            f"A process of the script was killed for memory at {limit} MB, although the script itself exited with 0."
        )
    else:
        message = f"Killed for memory at {limit} MB."
    return RunResult("failed", "oom", f"{message} Choose a larger profile, or set memory in the job.", code)


def _describe_exit_code(spec: RunSpec, code: int) -> str:
    if code == NOT_RECEIVED:
        return f"The script exited with code {code}. Cronium uses the same code when a script does not arrive."
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
