"""Makes requested checks of script texts: each in a throw-away, hardened sandbox without a network on this host."""

import logging
import threading
import time
from collections.abc import Callable
from functools import partial

from cronium_admin.script_checks import service
from cronium_admin.script_checks.findings import read_formatted, read_problems
from cronium_admin.script_checks.models import Action, ScriptCheck
from cronium_admin.script_checks.tools import ToolFailed, build_program, parse_output
from cronium_admin.workers.context import HostContext
from cronium_admin.workers.instance import get_instance_id
from executor.checks.tool_run import ToolSettings, run_tool
from executor.docker.errors import EngineError
from executor.docker.protocol import EngineLike
from executor.sandbox.subnets import SubnetPool
from executor.spec import RunResult

log = logging.getLogger("cronium.checks")
AT_ONCE = 3
IMAGE_SECONDS = 30.0  # between two looks for the image


class ScriptChecker:
    """`start_requested` may be called from any thread, and never blocks. `cleared`: as of the canary, whose objects
    look like these."""

    def __init__(
        self, context: HostContext, subnets: SubnetPool, cleared: threading.Event, is_leader: Callable[[], bool]
    ) -> None:
        self._context, self._subnets, self._cleared, self._is_leader = context, subnets, cleared, is_leader
        self._slots = threading.Semaphore(AT_ONCE)
        self._threads: list[threading.Thread] = []
        self._image, self._looked_at = "", float("-inf")

    def start_requested(self) -> None:
        if not self._context.closing.is_set() and self._slots.acquire(blocking=False):
            thread = threading.Thread(target=self._run_thread, name="script-checks", daemon=True)
            thread.start()
            self._threads = [*(other for other in self._threads if other.is_alive()), thread]

    @property
    def threads(self) -> list[threading.Thread]:
        return self._threads

    def make_requested(self) -> None:
        """Makes checks until none is requested."""
        while self._may_check() and (image := self._find_image()):
            row = self._context.database.call(service.take_check, self._context.host)
            if row is None:
                return
            self._make_check(row, image)

    def _run_thread(self) -> None:
        try:
            self.make_requested()
        except Exception:
            if not self._context.closing.is_set():
                log.exception("an error in the checks of scripts")
        finally:
            self._slots.release()

    def _may_check(self) -> bool:
        context = self._context
        is_stopping = context.closing.is_set() or context.is_draining
        return self._is_leader() and self._cleared.is_set() and not is_stopping and not context.is_unsafe

    def _find_image(self) -> str:
        if self._image and time.monotonic() - self._looked_at < IMAGE_SECONDS:
            return self._image
        try:
            self._image = find_linter(self._context.engine)
        except EngineError:  # the heartbeat reports it
            self._image = ""
        self._looked_at = time.monotonic()
        return self._image

    def _make_check(self, row: ScriptCheck, image: str) -> None:
        context, call = self._context, self._context.database.call
        try:
            settings = ToolSettings(call(get_instance_id), context.host, self._subnets)
            program = build_program(row.action, row.language, row.text)
            is_stopped = context.closing.is_set
            run_tool(context.engine, image, program, settings, is_stopped, partial(self._store_answer, row))
        except (EngineError, ToolFailed) as error:
            self._looked_at = float("-inf")  # the image may be gone
            if not context.closing.is_set():
                call(service.store_failure, row, str(error))

    def _store_answer(self, row: ScriptCheck, result: RunResult, output: bytes) -> None:
        call = self._context.database.call
        if result.status != "succeeded":
            raise ToolFailed("The check was stopped: it needed more time, memory or output than it may use.")
        answer = parse_output(output)
        if row.action == Action.FORMAT:
            call(service.store_answer, row, [], formatted=read_formatted(row.text, answer))
        else:
            call(service.store_answer, row, *read_problems(row.language, answer))


def find_linter(engine: EngineLike) -> str:
    """The image on this engine; empty if it has none. Raises EngineError."""
    names = (name for name in service.IMAGES if engine.image_calls.describe(name) is not None)
    return next(names, "")
