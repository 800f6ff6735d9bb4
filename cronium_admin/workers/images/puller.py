"""Provides the images of this host's runs: decides by policy whether to pull, and pulls each image once at a time."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from cronium_admin.images import pulls
from cronium_admin.images.reference import canonicalize_reference
from cronium_admin.registries.addresses import is_local_name
from cronium_admin.registries.models import PullPolicy, Registry
from cronium_admin.registries.rules import PullRule, resolve_policy
from cronium_admin.workers.database_threads import DatabaseThreads
from cronium_admin.workers.images.transfer import ImageTransfer, find_login
from executor.docker.errors import EngineError, EngineUnreachable, ImageMissing, ImagePullAborted
from executor.docker.progress import TransferProgress
from executor.docker.protocol import EngineLike
from executor.naming import strip_tag
from executor.sandbox.image import find_image
from executor.spec import RunSpec

log = logging.getLogger("cronium.images")
WAIT_SECONDS = 0.2  # until a waiter looks whether its run was stopped
USE_SECONDS = 1800.0
MB = 1_000_000


@dataclass(eq=False)
class Waiter:
    """A run that waits for a pull. `report(kind, text)` records an event; `show(text)` replaces its progress."""

    is_wanted: Callable[[], bool]
    report: Callable[[str, str], None]
    show: Callable[[str], None]


@dataclass(eq=False)
class _Pull:
    transfer: ImageTransfer
    waiters: set[Waiter] = field(default_factory=set)
    done: threading.Event = field(default_factory=threading.Event)


class ImagePuller:
    """All pulls of one host. Thread-safe."""

    def __init__(self, host: str, engine: EngineLike, database: DatabaseThreads) -> None:
        self._host, self._engine, self._database = host, engine, database
        self._lock = threading.Lock()
        self._pulls: dict[str, _Pull] = {}
        self._used_at: dict[str, float] = {}  # when the use of an image was recorded, by time.monotonic
        self._is_closed = False

    def provide(self, spec: RunSpec, policy_of_job: str, waiter: Waiter, *, is_prepared: bool = False) -> bool:
        """Return when the image of the run may be used; pull it before, if its policy says so. Whether it was pulled.

        Raises ImageMissing if it is not here and may not be pulled, a type of ImagePullFailed if the pull failed, and
        ImagePullAborted if the run is no longer wanted. `is_prepared`: a sandbox with the image waits already.
        """
        if is_local_name(spec.image) and not spec.image_resolved:
            return False
        if is_prepared and is_local_name(spec.image):
            return False
        if spec.image_digest:
            return self._provide_exact(spec, waiter)
        rule = self._database.call(resolve_policy, spec.image, policy_of_job)
        if is_prepared and rule.policy != PullPolicy.NEWER:
            return False
        present = self._engine.image_calls.describe(spec.image)
        if present is None:
            self.pull(canonicalize_reference(spec.image), self._require_registry(spec, rule), waiter)
            return True
        if rule.policy == PullPolicy.NEWER and rule.registry is not None and "@" not in spec.image:
            return self._refresh(spec.image, rule.registry, present.digests, waiter)
        return False

    def pull(self, reference: str, registry: Registry, waiter: Waiter) -> None:
        """Pull the image, or wait for the pull in progress. Raises as `provide`."""
        pull = self._join(reference, registry, waiter)
        try:
            while not pull.done.wait(WAIT_SECONDS):
                if not waiter.is_wanted():
                    raise ImagePullAborted(f"Nobody waits for {reference} any more.")
        finally:
            self._leave(reference, pull, waiter)
        if pull.transfer.error is not None:
            # A new error for each waiter: a traceback belongs to one thread.
            raise type(pull.transfer.error)(str(pull.transfer.error))

    def note_use(self, reference: str) -> None:
        """Record that a run has begun with the image, for garbage collection; seldom, because it costs a write."""
        now = time.monotonic()
        if is_local_name(reference) or now - self._used_at.get(reference, -USE_SECONDS) < USE_SECONDS:
            return
        self._used_at[reference] = now
        self._database.call(pulls.record_use, self._host, reference)

    def count_pulls(self) -> int:
        with self._lock:
            return len(self._pulls)

    def is_pulling(self, reference: str) -> bool:
        with self._lock:
            return canonicalize_reference(reference) in self._pulls

    def close(self) -> None:
        with self._lock:
            self._is_closed = True
            transfers = [pull.transfer for pull in self._pulls.values()]
        for transfer in transfers:
            transfer.abort()

    def _provide_exact(self, spec: RunSpec, waiter: Waiter) -> bool:
        # A rerun: the image that the earlier run had, by its digest, also if its tag has moved since.
        try:
            find_image(self._engine, spec)
            return False
        except ImageMissing:
            if not spec.image_resolved:
                raise
        # A custom image has a local name, and belongs to the registry that it was pushed to.
        source = spec.image_resolved if is_local_name(spec.image) else spec.image
        rule = self._database.call(resolve_policy, source, "")
        self.pull(canonicalize_reference(spec.image_resolved), self._require_registry(spec, rule), waiter)
        return True

    def _require_registry(self, spec: RunSpec, rule: PullRule) -> Registry:
        if rule.registry is not None and rule.policy != PullPolicy.NEVER:
            return rule.registry
        raise ImageMissing(f"The image {spec.image} is not on the host {self._host}, and {_explain_never(rule)}")

    def _refresh(self, reference: str, registry: Registry, digests: tuple[str, ...], waiter: Waiter) -> bool:
        """Pull a newer image if the registry has one; continue with the one that is here if it does not answer."""
        try:
            login = find_login(self._database, registry, self._engine)
            newest = self._engine.image_calls.resolve_digest(reference, login)
            if any(digest.endswith(f"@{newest}") for digest in digests):
                return False
            self.pull(canonicalize_reference(reference), registry, waiter)
            return True
        except (ImagePullAborted, EngineUnreachable):
            raise
        except EngineError as error:
            waiter.report("image_check_failed", f"Using the image that is on this host, which may be old: {error}")
            return False

    def _join(self, reference: str, registry: Registry, waiter: Waiter) -> _Pull:
        with self._lock:
            if self._is_closed:
                raise ImagePullAborted("The worker is stopping.")
            pull = self._pulls.get(reference)
            is_new = pull is None
            if pull is None:
                pull = self._pulls[reference] = _Pull(self._make_transfer(reference, registry))
            pull.waiters.add(waiter)
        if is_new:
            waiter.report("image_pull", f"Pulling {reference}")
            threading.Thread(target=self._run, args=(reference, pull), name="image-pull", daemon=True).start()
        else:
            waiter.report("image_pull", f"Waiting for the pull of {reference}, which another run has begun")
        return pull

    def _make_transfer(self, reference: str, registry: Registry) -> ImageTransfer:
        def show(progress: TransferProgress) -> None:
            counts = (progress.done_bytes, progress.total_bytes, progress.done_layers, progress.total_layers)
            self._database.call(pulls.store_progress, self._host, reference, *counts)
            self._tell(reference, lambda waiter: waiter.show(f"Pulling {reference}: {describe_progress(progress)}"))

        def report(text: str) -> None:
            self._tell(reference, lambda waiter: waiter.show(text))

        return ImageTransfer(self._host, self._engine, self._database, reference, registry, show, report)

    def _tell(self, reference: str, tell: Callable[[Waiter], None]) -> None:
        with self._lock:
            pull = self._pulls.get(reference)
            waiters = list(pull.waiters) if pull else []
        for waiter in waiters:
            try:
                tell(waiter)
            except Exception:
                log.exception("the progress of a pull could not be recorded")

    def _run(self, reference: str, pull: _Pull) -> None:
        started = time.monotonic()
        pull.transfer.run()
        if pull.transfer.error is None:
            text = f"Pulled {pull.transfer.digest} in {time.monotonic() - started:.0f} s"
            self._tell(reference, lambda waiter: waiter.show(text))
        with self._lock:
            if self._pulls.get(reference) is pull:
                del self._pulls[reference]
        pull.done.set()

    def _leave(self, reference: str, pull: _Pull, waiter: Waiter) -> None:
        with self._lock:
            pull.waiters.discard(waiter)
            is_unwanted = not pull.waiters and not pull.done.is_set()
            if is_unwanted and self._pulls.get(reference) is pull:
                del self._pulls[reference]  # a later run begins another pull
        if is_unwanted:
            pull.transfer.abort()


def describe_progress(progress: TransferProgress) -> str:
    layers = f"{progress.done_layers} of {progress.total_layers} layers"
    if not progress.total_bytes:
        return layers
    return f"{progress.done_bytes / MB:,.1f} of {progress.total_bytes / MB:,.1f} MB, {layers}"


def _explain_never(rule: PullRule) -> str:
    if rule.registry is None:
        return (
            "no registry is set up that it could be pulled from. Ask an administrator to add its registry on the "
            "Images page, put the image on the host, or choose another image."
        )
    if not rule.registry.may_pull:
        return f"the registry {rule.registry.address} is not used for pulls. Choose another image."
    by = {"image": "image's", "job": "job's"}.get(rule.rule, f"registry {rule.registry.address}'s")
    return f"the {by} pull policy is never. Put the image on the host, or change the policy."


def choose_digest(reference: str, digests: tuple[str, ...]) -> str:
    """Of the digests that an image has in several registries, the one of the reference's repository; empty if none.

    With containerd's image store a local name has a digest too, which is in no registry.
    """
    if is_local_name(reference):
        return ""
    repository = strip_tag(canonicalize_reference(reference))
    for digest in digests:
        if strip_tag(canonicalize_reference(digest)) == repository:
            return f"{repository}@{digest.partition('@')[2]}"
    return ""
