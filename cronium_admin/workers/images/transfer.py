"""One pull of one image on this host: finds the credentials and the digest, pulls, names and records it."""

import logging
import threading
import time
from collections.abc import Callable

from cronium_admin.images import pulls
from cronium_admin.images.reference import make_kept_reference
from cronium_admin.registries.addresses import split_host
from cronium_admin.registries.credentials import (
    CredentialsUnavailable,
    ask_helper,
    find_transport_problem,
    read_stored_login,
)
from cronium_admin.registries.models import Registry
from cronium_admin.workers.database_threads import DatabaseThreads
from cronium_admin.workers.images.certificates import write_authority
from cronium_admin.workers.images.rate_limit import read_retry_after
from executor.docker.errors import EngineError, ImagePullAborted, ImagePullDenied, ImagePullFailed, ImagePullLimited
from executor.docker.image_calls import RegistryLogin, Transfer
from executor.docker.models import ImageFacts
from executor.docker.progress import TransferProgress
from executor.docker.protocol import EngineLike
from executor.naming import strip_tag

log = logging.getLogger("cronium.images")
PROGRESS_SECONDS = 1.0
LIMITED_TRIES = 3
LIMITED_SECONDS = (15.0, 30.0)  # before the second and third try, when the registry does not say


def find_login(
    database: DatabaseThreads, registry: Registry, engine: EngineLike, *, for_admin: bool = False
) -> RegistryLogin | None:
    """The registry's credentials for one transfer. Raises ImagePullDenied if they can't be read or must not be sent.

    Every user of the image sees the error of a transfer. Only administrators see helpers and what they say.
    """
    try:
        login = (
            ask_helper(registry.helper, registry.address)
            if registry.helper
            else database.call(read_stored_login, registry)
        )
    except CredentialsUnavailable as error:
        if for_admin:
            raise ImagePullDenied(str(error)) from None
        log.warning("no credentials for %s: %s", registry.address, error)
        raise ImagePullDenied(
            f"The credentials of the registry {registry.address} can't be read. An administrator finds the cause with "
            "Check on the page Images, tab Registries."
        ) from None
    is_insecure = engine.image_calls.is_insecure(split_host(registry.address)) if login else False
    if problem := find_transport_problem(registry, is_insecure=is_insecure, has_login=login is not None):
        raise ImagePullDenied(problem)
    return login


class ImageTransfer:
    """One pull, in a thread of its own, for any number of waiters. `reference` is canonical."""

    def __init__(
        self,
        host: str,
        engine: EngineLike,
        database: DatabaseThreads,
        reference: str,
        registry: Registry,
        on_progress: Callable[[TransferProgress], None],
        on_wait: Callable[[str], None],
    ) -> None:
        self.reference, self.registry = reference, registry
        self.error: EngineError | None = None
        self.digest = ""
        self._host, self._engine, self._database = host, engine, database
        self._on_progress, self._on_wait = on_progress, on_wait
        self._transfer = Transfer()
        self._stopped = threading.Event()
        self._told_at = 0.0
        self._begun_at = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._begun_at

    def abort(self) -> None:
        self._stopped.set()
        self._transfer.abort()

    def run(self) -> None:
        """Raises nothing: `error` is None on success."""
        try:
            self._database.call(pulls.start_pull, self._host, self.reference)
            image = self._pull_with_retries()
            self._database.call(pulls.store_present, self._host, self.reference, self.digest, image.id)
        except EngineError as error:
            self.error = error
        except Exception:
            log.exception("the pull of %s failed", self.reference)
            self.error = ImagePullFailed(f"{self.reference} could not be pulled. See Cronium's log for the error.")
        self._record_failure()

    def _record_failure(self) -> None:
        if self.error is None:
            return
        is_aborted = isinstance(self.error, ImagePullAborted)
        reason = "image_pull_aborted" if is_aborted else self.error.reason
        try:
            self._database.call(pulls.store_failure, self._host, self.reference, reason, str(self.error))
        except Exception:
            log.exception("the failed pull of %s could not be recorded", self.reference)

    def _pull_with_retries(self) -> ImageFacts:
        for pause in (*LIMITED_SECONDS, None):
            try:
                return self._pull()
            except ImagePullLimited as error:
                if pause is None:
                    raise
                pause = read_retry_after(self.registry, self.reference) or pause
                self._on_wait(f"{error} The next attempt is in {pause:.0f} s.")
                if self._stopped.wait(pause):
                    raise ImagePullAborted(f"The pull of {self.reference} was stopped.") from error
        raise AssertionError  # the last round returns or raises

    def _pull(self) -> ImageFacts:
        images = self._engine.image_calls
        if self.registry.ca:
            write_authority(self.registry, self._engine)
        login = find_login(self._database, self.registry, self._engine)
        repository, _, digest = self.reference.partition("@")
        is_exact = bool(digest)
        if not is_exact:
            digest = images.resolve_digest(self.reference, login)
        # By digest, so that what is pulled is what was resolved, and what the run records.
        exact = f"{strip_tag(repository)}@{digest}" if digest else self.reference
        found = images.pull(exact, login, transfer=self._transfer, on_progress=self._note_progress)
        self.digest = exact if digest else f"{strip_tag(repository)}@{found}"
        image = images.describe(exact)
        if image is None:
            raise ImagePullFailed(f"{self.reference} was pulled, but the engine does not have it. Is its disk full?")
        images.tag(exact, make_kept_reference(self.digest))
        if not is_exact:
            images.tag(exact, self.reference)
        return image

    def _note_progress(self, progress: TransferProgress) -> None:
        now = time.monotonic()
        if now - self._told_at < PROGRESS_SECONDS:
            return
        self._told_at = now
        self._on_progress(progress)
