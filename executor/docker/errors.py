"""The executor's error types. Callers match types, never texts."""


class EngineError(Exception):
    """The engine refused or failed. `reason` becomes the run's reason, `str()` its message."""

    reason = "engine_error"


class EngineUnreachable(EngineError):
    """No answer: the engine is not running, not reachable, or exceeded the timeout."""

    reason = "engine_unreachable"


class NotFound(EngineError):
    """The container, network or image does not exist."""


class Conflict(EngineError):
    """The name is taken, or the object's state does not allow the operation."""


class Invalid(EngineError):
    """The engine rejects the request as invalid (400)."""


class Forbidden(EngineError):
    """The engine refuses the request (403)."""


class AddressTaken(EngineError):
    """The subnet overlaps with a network of the engine."""

    reason = "address_pool_exhausted"


class ImageMissing(EngineError):
    """The image is not on this engine."""

    reason = "image_missing"


class SidecarImageMissing(ImageMissing):
    """The image of the sidecar is not on this engine; no registry has it."""


class ImagePullFailed(EngineError):
    """A pull or push failed; the subclasses name the causes that a user can tell apart."""

    reason = "image_pull_failed"


class ImagePullDenied(ImagePullFailed):
    """The registry refuses the credentials, or shows this user no such image."""

    reason = "image_pull_denied"


class ImageNotFound(ImagePullFailed):
    """The registry does not have the image."""

    reason = "image_not_found"


class ImagePullLimited(ImagePullFailed):
    """The registry refuses further pulls for a while (429)."""

    reason = "image_pull_limited"


class ImagePullStalled(ImagePullFailed):
    """No byte arrived for a minute."""

    reason = "image_pull_stalled"


class ImageRegistryUnreachable(ImagePullFailed):
    """The engine can't connect to the registry, or does not trust it."""

    reason = "registry_unreachable"


class ImagePullAborted(EngineError):
    """Nobody waits for the transfer any more, so it was stopped."""


class ImageUnusable(EngineError):
    """The engine has the image but cannot start a container from it."""

    reason = "image_unusable"


class SidecarUnhealthy(EngineError):
    """The sidecar ended, or was not ready within its time."""

    reason = "sidecar_unhealthy"


class RuntimeMissing(EngineError):
    """The engine does not have the container runtime that the run requests."""

    reason = "runtime_missing"


class SandboxDrift(EngineError):
    """The engine created a sandbox that violates a requirement. The script was not sent."""

    reason = "sandbox_drift"


class SandboxMismatch(Conflict):
    """A prepared sandbox cannot be bound to this run. Nothing of the run was sent to it."""

    reason = "sandbox_mismatch"


class SandboxDefect(SandboxMismatch):
    """A prepared sandbox ended while it waited, or is paused."""

    reason = "defect"


class SandboxGone(NotFound):
    """The run's container disappeared after its script had begun."""

    reason = "container_gone"


class SandboxTampered(Conflict):
    """The run's container was started again from outside."""

    reason = "tampered"


class LogCut(EngineUnreachable):
    """Reading a container's output ended before the output did. It can be resumed."""


BY_STATUS: dict[int, type[EngineError]] = {400: Invalid, 403: Forbidden, 404: NotFound, 409: Conflict}
