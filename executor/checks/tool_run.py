"""Runs a bash program of Cronium's own in an ordinary, hardened sandbox without a network, and returns its output.

For tools that read hostile text, such as linters. It uses no database.
"""

import secrets
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from executor.checks.isolation import make_host_label
from executor.checks.memory_handler import MemoryHandler, run_in_thread
from executor.docker.errors import EngineError
from executor.docker.protocol import EngineLike
from executor.run.slot import Slot
from executor.sandbox.subnets import SubnetPool
from executor.spec import MB, Limits, RunResult, RunSpec

SECONDS = 20.0
LIMITS = Limits(nano_cpus=1_000_000_000, memory_bytes=512 * MB, pids=64)
MAX_OUTPUT_BYTES = 8 * MB


@dataclass(frozen=True)
class ToolSettings:
    """What the runs of an installation have in common."""

    instance: str
    host: str
    subnets: SubnetPool


def run_tool(
    engine: EngineLike,
    image: str,
    program: str,
    settings: ToolSettings,
    is_stopped: Callable[[], bool] = lambda: False,
    on_result: Callable[[RunResult, bytes], None] = lambda result, output: None,
) -> tuple[RunResult, bytes]:
    """The end of the run, and what the program wrote. The engine must have `image`, with bash.

    The program reaches the container over standard input. Raises EngineError if the sandbox cannot be built, or once
    `is_stopped`. Returns when the sandbox is removed; `on_result` gets the same before that.
    """
    handler = MemoryHandler()
    slot = Slot(engine, _build_spec(image, program, settings), handler, settings.subnets, threading.Semaphore(1))
    thread = run_in_thread(slot, handler, "tool-run", is_stopped)
    try:
        if is_stopped() or handler.result is None:
            raise EngineError("The run of the tool was stopped.")
        if handler.result.status == "errored":
            raise EngineError(handler.result.message)
        on_result(handler.result, handler.text)
    finally:
        thread.join()
    return handler.result, handler.text


def _build_spec(image: str, program: str, settings: ToolSettings) -> RunSpec:
    return RunSpec(
        run_id=str(uuid.uuid4()),
        instance=settings.instance,
        host=make_host_label(settings.host),
        language="bash",
        script=program,
        image=image,
        sidecar_image="",
        limits=LIMITS,
        timeout_seconds=SECONDS,
        log_limit_bytes=MAX_OUTPUT_BYTES,
        network="none",
        token=secrets.token_urlsafe(32),
        token_expires_at=int(time.time() + SECONDS + 60),
    )
