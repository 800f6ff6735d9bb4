"""The engine's calls for images: resolve, pull, push, tag and remove. Raises the types of `executor.docker.errors`.

Credentials travel in the header of one call; nothing here stores or logs them.
"""

import base64
import json
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any

import docker
import requests

from executor.docker import errors
from executor.docker.models import ImageFacts, parse_image_facts
from executor.docker.progress import TransferMeter, TransferProgress, find_error, parse_events
from executor.docker.session import SessionCache, translate_errors
from executor.docker.transfer_errors import TransferKind, explain_failure

STALL_SECONDS = 60.0  # without a word of the engine's progress stream
RESOLVE_SECONDS = 20.0  # for a registry that does not answer
EMPTY_TAR = bytes(1024)  # two empty blocks: the end of an archive


@dataclass(frozen=True)
class RegistryLogin:
    """Credentials of one registry, for one call."""

    server: str
    username: str
    password: str = field(repr=False)

    @property
    def values(self) -> dict[str, str]:
        """As the engine takes them."""
        if self.username == "<token>":  # a credential helper's way to return an identity token
            return {"identitytoken": self.password, "serveraddress": self.server}
        return {"username": self.username, "password": self.password, "serveraddress": self.server}

    def encode(self) -> str:
        """The header X-Registry-Auth. An engine ignores one that it can't decode, and then asks without credentials."""
        return base64.urlsafe_b64encode(json.dumps(self.values).encode()).decode()


class Transfer:
    """A pull or push in progress. `abort` may be called from any thread, at any time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self.is_aborted = False

    def abort(self) -> None:
        """The engine stops a transfer whose connection is closed, unless another client waits for the same layers."""
        with self._lock:
            self.is_aborted = True
            if self._socket is not None:
                with suppress(OSError):
                    socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    @contextmanager
    def hold_socket(self, raw: Any) -> Iterator[None]:
        with self._lock:
            self._socket = getattr(raw, "_sock", raw)
        if self.is_aborted:
            self.abort()
        try:
            yield
        finally:
            with self._lock:
                self._socket = None


class ImageCalls:
    """The calls of one engine. Thread-safe."""

    def __init__(self, sessions: SessionCache) -> None:
        self._sessions = sessions

    @property
    def _control(self) -> docker.APIClient:
        return self._sessions.open_session().control

    def describe(self, reference: str) -> ImageFacts | None:
        """None when the engine does not have the image."""
        with suppress(errors.NotFound), translate_errors(f"look up the image {reference}"):
            return parse_image_facts(self._control.inspect_image(reference))  # type: ignore[no-untyped-call]
        return None

    def resolve_digest(self, reference: str, login: RegistryLogin | None = None) -> str:
        """The digest (`sha256:...`) that the registry has for a tag now. Raises as `pull` does."""
        client: Any = self._control
        headers = _build_headers(login)
        with self._translate(f"ask the registry for {reference}", reference):
            url = client._url("/distribution/{0}/json", reference)
            answer = client._get(url, headers=headers, timeout=RESOLVE_SECONDS)
            client._raise_for_status(answer)
            return str((answer.json().get("Descriptor") or {}).get("digest") or "")

    def pull(
        self,
        reference: str,
        login: RegistryLogin | None = None,
        *,
        transfer: Transfer,
        on_progress: Callable[[TransferProgress], None] = lambda progress: None,
    ) -> str:
        """Pull `name:tag` or `name@sha256:...` and return the manifest's digest.

        Raises a type of `errors.ImagePullFailed`; ImagePullAborted after `transfer.abort`.
        """
        meter = TransferMeter()
        name, tag = _split_reference(reference)
        events = self._stream("/images/create", {"fromImage": name, "tag": tag}, login, reference, transfer)
        for event in events:
            if message := find_error(event):
                raise explain_failure(message, reference)
            meter.add(event)
            on_progress(meter.read())
        if transfer.is_aborted:
            raise errors.ImagePullAborted(f"The pull of {reference} was stopped.")
        return meter.digest

    def push(
        self,
        reference: str,
        login: RegistryLogin | None = None,
        *,
        transfer: Transfer,
        on_progress: Callable[[TransferProgress], None] = lambda progress: None,
    ) -> str:
        """Push a tag and return the digest of its manifest. Raises as `pull` does."""
        meter = TransferMeter()
        name, tag = _split_reference(reference)
        for event in self._stream(
            f"/images/{name}/push", {"tag": tag}, login, reference, transfer, kind=TransferKind.PUSH
        ):
            if message := find_error(event):
                raise explain_failure(message, reference, TransferKind.PUSH)
            meter.add(event)
            on_progress(meter.read())
        if transfer.is_aborted:
            raise errors.ImagePullAborted(f"The push of {reference} was stopped.")
        if not meter.digest:  # an engine that ends the stream early has pushed nothing that can be named
            raise errors.ImagePullFailed(f"{reference} was not pushed: the engine reported no digest.")
        return meter.digest

    def tag(self, source: str, reference: str) -> None:
        name, tag = _split_reference(reference)
        with translate_errors(f"name the image {source} {reference}"):
            self._control.tag(source, name, tag, force=True)

    def remove(self, reference: str) -> bool:
        """Remove one name of an image, and the image with its last name. False if a container uses it; never forced.

        A missing image is no error.
        """
        try:
            with suppress(errors.NotFound), translate_errors(f"remove the image {reference}"):
                self._control.remove_image(reference, force=False, noprune=False)
        except errors.Conflict:
            return False
        return True

    def make_empty(self, reference: str) -> None:
        """Create an image without files, for a push that shows whether pushes are allowed."""
        name, tag = _split_reference(reference)
        with translate_errors(f"create the image {reference}"):
            self._control.import_image_from_data(EMPTY_TAR, repository=name, tag=tag)

    def check_login(self, login: RegistryLogin) -> None:
        """Let the engine sign in. Raises as `pull` does."""
        client: Any = self._control
        with self._translate(f"sign in to {login.server}", login.server, kind=TransferKind.SIGN_IN):
            client._raise_for_status(
                client._post_json(client._url("/auth"), data=login.values, timeout=RESOLVE_SECONDS)
            )

    def is_insecure(self, host: str) -> bool:
        """Whether the engine would use plain HTTP, or an unchecked certificate, for this registry."""
        with translate_errors("report its registries"):
            config = self._control.info().get("RegistryConfig") or {}
        entry = (config.get("IndexConfigs") or {}).get(host)
        if entry is not None and not entry.get("Secure", True):
            return True
        return is_in_networks(host, config.get("InsecureRegistryCIDRs") or ())

    def _stream(
        self,
        path: str,
        params: Mapping[str, str],
        login: RegistryLogin | None,
        reference: str,
        transfer: Transfer,
        *,
        kind: TransferKind = TransferKind.PULL,
    ) -> Iterator[dict[str, Any]]:
        client: Any = self._sessions.open_session().streams
        # Push refuses a request without the header, also for a registry without credentials.
        headers = _build_headers(login) or ({"X-Registry-Auth": "e30="} if kind is TransferKind.PUSH else {})
        with self._translate(f"transfer {reference}", reference, transfer, kind):
            url = client._url(path)
            answer = client._post(url, params=params, headers=headers, stream=True, timeout=(10, STALL_SECONDS))
            try:
                client._raise_for_status(answer)
                with transfer.hold_socket(client._get_raw_response_socket(answer)):
                    # docker-py's own reader takes one byte at a time and raises the errors of urllib3.
                    yield from parse_events(answer.iter_content(chunk_size=None))
            finally:
                answer.close()

    @contextmanager
    def _translate(
        self,
        operation: str,
        reference: str,
        transfer: Transfer | None = None,
        kind: TransferKind = TransferKind.PULL,
    ) -> Iterator[None]:
        try:
            with translate_errors(operation):
                yield
        except (errors.ImagePullFailed, errors.ImagePullAborted):
            raise
        except errors.EngineUnreachable as error:
            if transfer is not None and transfer.is_aborted:
                raise errors.ImagePullAborted(f"The pull of {reference} was stopped.") from error
            if _is_timeout(error.__cause__):
                raise errors.ImagePullStalled(
                    f"The transfer of {reference} stalled: no byte arrived for {STALL_SECONDS:.0f} s. Check the "
                    "network between the Docker Engine and the registry, then run again."
                ) from error
            raise
        except errors.EngineError as error:
            cause = error.__cause__
            raise explain_failure(str(getattr(cause, "explanation", None) or error), reference, kind) from error


def is_in_networks(host: str, networks: Iterable[str]) -> bool:
    """Whether an address of `host[:port]` lies in one of the networks. False for a name that this machine can't
    resolve."""
    name = host.rpartition(":")[0] or host
    try:
        found = {ip_address(row[4][0]) for row in socket.getaddrinfo(name.strip("[]"), None)}
    except (OSError, ValueError):
        return False
    ranges = [ip_network(network, strict=False) for network in networks]
    return any(address in network for address in found for network in ranges)


def _is_timeout(error: BaseException | None) -> bool:
    if isinstance(error, requests.exceptions.Timeout):
        return True
    return isinstance(error, requests.exceptions.ConnectionError) and "timed out" in str(error).lower()


def _build_headers(login: RegistryLogin | None) -> dict[str, str]:
    return {"X-Registry-Auth": login.encode()} if login else {}


def _split_reference(reference: str) -> tuple[str, str]:
    """Name, and tag or digest, as the engine's parameters `fromImage` and `tag` take them."""
    name, at, digest = reference.partition("@")
    if at:
        head, slash, last = name.rpartition("/")
        return head + slash + last.partition(":")[0], digest
    head, slash, last = reference.rpartition("/")
    base, _, tag = last.partition(":")
    return head + slash + base, tag or "latest"
