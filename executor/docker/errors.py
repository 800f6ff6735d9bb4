"""What can go wrong with an engine, by type: callers never match texts."""


class EngineError(Exception):
    """The engine refused or failed; `reason` is the run's reason, `str()` a sentence for the person."""

    reason = "engine_error"


class EngineUnreachable(EngineError):
    """No answer: not running, not reachable, or silent past the time limit."""

    reason = "engine_unreachable"


class NotFound(EngineError):
    """The container, network or image does not exist."""


class Conflict(EngineError):
    """The name is taken, or the object is in a state that does not allow this."""


class Invalid(EngineError):
    """The engine calls what it was asked for wrong."""


class Forbidden(EngineError):
    """The engine refuses what it was asked for, as it stands."""


class AddressTaken(EngineError):
    """The subnet overlaps with one the engine has."""

    reason = "address_pool_exhausted"


class ImageMissing(EngineError):
    """The image is not on this engine."""

    reason = "image_missing"


class ImageUnusable(EngineError):
    """The image is there, and the engine can't start a container from it."""

    reason = "image_unusable"


class SidecarUnhealthy(EngineError):
    """The sidecar ended, or said nothing of its health within its time."""

    reason = "sidecar_unhealthy"


class RuntimeMissing(EngineError):
    """The engine does not offer the runtime that the run asks for."""

    reason = "runtime_missing"


class SandboxDrift(EngineError):
    """The engine made a sandbox that breaks a promise, so nothing was sent into it."""

    reason = "sandbox_drift"


class SandboxGone(NotFound):
    """The run's container is not there any more, though its script had begun."""

    reason = "container_gone"


class SandboxTampered(Conflict):
    """Somebody else has started the run's container again."""

    reason = "tampered"


class LogCut(EngineUnreachable):
    """The reading of a container's output ended before the output did: it can be resumed."""


BY_STATUS: dict[int, type[EngineError]] = {400: Invalid, 403: Forbidden, 404: NotFound, 409: Conflict}
