"""The smoke test of an image: one ordinary, hardened run that starts the language and imports packages.

It uses no database. A test that cannot run is an EngineError, not a result.
"""

import json
import secrets
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from executor.checks.isolation import make_host_label
from executor.checks.memory_handler import MemoryHandler, run_in_thread
from executor.docker.errors import EngineError
from executor.docker.protocol import EngineLike
from executor.run.slot import Slot
from executor.sandbox.subnets import SubnetPool
from executor.spec import MB, Limits, RunResult, RunSpec

SECONDS = 120.0  # an import may load large libraries
LIMITS = Limits(nano_cpus=1_000_000_000, memory_bytes=1024 * MB, pids=250)
_FOLDER = Path(__file__).with_name("smoke_scripts")
_MAX_ROWS, _MAX_NAME, _MAX_FOUND = 200, 250, 500
_SCRIPTS = {"bash": "smoke.sh", "python": "smoke.py", "node": "smoke.js"}


@dataclass(frozen=True)
class SmokeCheck:
    """One check: `start`, `helper`, `setuid`, or `import NAME`. `found` says what is wrong."""

    name: str
    passed: bool
    found: str = ""


@dataclass(frozen=True)
class SmokeResult:
    """The checks of one image, in order; `message` is a sentence, empty if all passed."""

    checks: tuple[SmokeCheck, ...]
    message: str = ""

    @property
    def passed(self) -> bool:
        return bool(self.checks) and all(check.passed for check in self.checks)


@dataclass(frozen=True)
class SmokeSettings:
    """What the runs of an installation have in common."""

    instance: str
    host: str
    sidecar_image: str
    subnets: SubnetPool
    joined_network: bool = True
    helpers: Mapping[str, str] = field(default_factory=dict)


def run_smoke_test(
    engine: EngineLike,
    image: str,
    language: str,
    imports: Sequence[str],
    settings: SmokeSettings,
    is_stopped: Callable[[], bool] = lambda: False,
) -> SmokeResult:
    """Test `image`, by name or id. `imports`: names of packages as their index has them; ignored for bash.

    Raises EngineError if the sandbox cannot be built, or once `is_stopped`.
    """
    handler = MemoryHandler()
    spec = _build_spec(image, language, imports, settings)
    slot = Slot(engine, spec, handler, settings.subnets, threading.Semaphore(1))
    run_in_thread(slot, handler, "smoke-test", is_stopped).join()
    if is_stopped() or handler.result is None:
        raise EngineError("The smoke test was stopped.")
    return _read_result(handler, handler.result, language)


def _build_spec(image: str, language: str, imports: Sequence[str], settings: SmokeSettings) -> RunSpec:
    return RunSpec(
        run_id=str(uuid.uuid4()),
        instance=settings.instance,
        host=make_host_label(settings.host),
        language=language,
        script=(_FOLDER / _SCRIPTS[language]).read_text(),
        image=image,
        sidecar_image=settings.sidecar_image,
        limits=LIMITS,
        timeout_seconds=SECONDS,
        log_limit_bytes=MB,
        token=secrets.token_urlsafe(32),
        token_expires_at=int(time.time() + SECONDS + 60),
        env={"SMOKE_IMPORTS": json.dumps(list(imports))},
        joined_network=settings.joined_network,
        helpers=settings.helpers,
    )


def _read_result(handler: MemoryHandler, result: RunResult, language: str) -> SmokeResult:
    if result.status == "errored":  # the language was not started
        raise EngineError(f"The smoke test did not run: {result.message}")
    output = handler.text.decode(errors="replace").strip()
    try:
        # The image decides what it answers.
        rows = json.loads(output.splitlines()[-1])[:_MAX_ROWS]
        checks = [
            SmokeCheck(_clean(str(row["name"]), _MAX_NAME), bool(row["passed"]), _clean(str(row["found"]), _MAX_FOUND))
            for row in rows
        ]
    except (ValueError, LookupError, TypeError, RecursionError):
        found = f"{result.message} {_clean(output[-300:], 300)}".strip()
        return SmokeResult((SmokeCheck("start", False, found),), f"{language} does not start in the image: {found}")
    start = SmokeCheck("start", True)
    broken = "; ".join(f"{check.name}: {check.found}" for check in checks if not check.passed)
    return SmokeResult((start, *checks), f"The image failed its smoke test: {broken[:600]}" if broken else "")


def _clean(text: str, most: int) -> str:
    """Without characters that no text has, such as NUL and half surrogate pairs, which no database stores."""
    return "".join(character if character.isprintable() or character == "\n" else "?" for character in text[:most])
