"""A fake of the engine's image calls, with registries in memory: tests set what they have and how they fail."""

import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from executor.docker.errors import EngineError, ImageNotFound, ImagePullAborted
from executor.docker.image_calls import RegistryLogin, Transfer
from executor.docker.models import ImageFacts
from executor.docker.progress import TransferProgress

if TYPE_CHECKING:
    from tests.fakes.engine import FakeEngine


def make_digest(text: str) -> str:
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


@dataclass
class FakeImages:
    """`offered`: canonical name:tag -> digest in its registry. `gate`: pulls wait for it, once it is not set."""

    engine: "FakeEngine"
    offered: dict[str, str] = field(default_factory=dict)
    pulled: list[str] = field(default_factory=list)
    logins: list[RegistryLogin | None] = field(default_factory=list)
    insecure: set[str] = field(default_factory=set)
    errors: dict[str, list[EngineError]] = field(default_factory=dict)  # by call: raised one after the other
    gate: threading.Event = field(default_factory=threading.Event)
    aborted: int = 0

    def __post_init__(self) -> None:
        self.gate.set()

    def offer(self, reference: str, content: str) -> str:
        self.offered[reference] = make_digest(content)
        return self.offered[reference]

    def describe(self, reference: str) -> ImageFacts | None:
        found = self.engine._image(reference)
        return None if found is None else self.engine.brings.get(found, ImageFacts(found))

    def resolve_digest(self, reference: str, login: RegistryLogin | None = None) -> str:
        self._fail("resolve_digest")
        if reference not in self.offered and f"docker.io/library/{reference}" not in self.offered:
            raise ImageNotFound(f"{reference} could not be pulled: the registry has no such image.")
        return self.offered.get(reference) or self.offered[f"docker.io/library/{reference}"]

    def pull(
        self,
        reference: str,
        login: RegistryLogin | None = None,
        *,
        transfer: Transfer,
        on_progress: Callable[[TransferProgress], None] = lambda progress: None,
    ) -> str:
        self.logins.append(login)
        self._fail("pull")
        on_progress(TransferProgress(1_000_000, 4_000_000, 1, 3))
        while not self.gate.wait(0.01):
            if transfer.is_aborted:
                self.aborted += 1
                raise ImagePullAborted(f"The pull of {reference} was stopped.")
        digest = reference.partition("@")[2]
        self.engine.pulled[reference] = make_digest(f"config of {digest}")
        self.engine.brings[make_digest(f"config of {digest}")] = ImageFacts(
            make_digest(f"config of {digest}"), digests=(reference,)
        )
        self.pulled.append(reference)
        return digest

    def push(
        self,
        reference: str,
        login: RegistryLogin | None = None,
        *,
        transfer: Transfer,
        on_progress: Callable[[TransferProgress], None] = lambda progress: None,
    ) -> str:
        self.logins.append(login)
        self._fail("push")
        return make_digest(reference)

    def tag(self, source: str, reference: str) -> None:
        found = self.engine._image(source)
        assert found is not None, source
        self.engine.pulled[reference] = found

    def remove(self, reference: str) -> bool:
        self._fail("remove")
        self.engine.pulled.pop(reference, None)
        return True

    def make_empty(self, reference: str) -> None:
        self.engine.pulled[reference] = make_digest("empty")

    def check_login(self, login: RegistryLogin) -> None:
        self.logins.append(login)
        self._fail("check_login")

    def is_insecure(self, host: str) -> bool:
        return host in self.insecure

    def _fail(self, call: str) -> None:
        if waiting := self.errors.get(call):
            raise waiting.pop(0)
