"""The clients of one engine and the facts about it that stay the same until it restarts."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import docker
import requests
from docker.errors import APIError, DockerException

from executor.docker import connection, errors
from executor.docker.connection import EngineAddress
from executor.docker.ssh import TunnelDown

log = logging.getLogger("cronium.engine")
CONTROL_SECONDS = 30  # timeout of a control call; `stop` adds its grace period


@contextmanager
def translate_errors(operation: str) -> Iterator[None]:
    """Raise the errors of docker-py and requests as types of `executor.docker.errors`.

    `operation` is an infinitive, such as "list its images", for the message.
    """
    try:
        yield
    except APIError as error:
        status = error.response.status_code if error.response is not None else 500
        text = f"The engine could not {operation}: {error.explanation or error}"
        raise errors.BY_STATUS.get(status, errors.EngineError)(text) from error
    except TunnelDown as error:
        raise errors.EngineUnreachable(str(error)) from error
    except (requests.exceptions.RequestException, DockerException, OSError) as error:
        tls = f" (TLS: {tls_error})" if (tls_error := connection.explain_tls_error(error)) else ""
        raise errors.EngineUnreachable(
            f"The Docker Engine did not answer (request: {operation}){tls}. Is it running? See `manage.py doctor`."
        ) from error


@dataclass(frozen=True)
class Session:
    """Two clients of an engine, and the facts that stay the same until the engine restarts."""

    control: docker.APIClient
    streams: docker.APIClient
    api_version: str
    info: dict[str, Any]


class SessionCache:
    """The current session of an engine. Thread-safe."""

    def __init__(self, address: EngineAddress, pool: int) -> None:
        self._address, self._pool = address, pool
        self._lock = threading.Lock()  # guards the next two attributes
        self._session: Session | None = None
        self._booted_at = 0.0

    def open_session(self) -> Session:
        # The engine may start later than this process, and may be upgraded while this process runs.
        with self._lock, translate_errors("report its version"):
            self._address.ensure_reachable()
            if self._session is None:
                control = self._address.open_client(timeout=CONTROL_SECONDS, max_pool_size=self._pool)
                version = str(control.api_version)
                streams = self._address.open_client(
                    timeout=CONTROL_SECONDS, version=version, max_pool_size=3 * self._pool
                )
                self._session = Session(control, streams, version, control.info())
            return self._session

    @contextmanager
    def open_fresh_client(self) -> Iterator[docker.APIClient]:
        # An engine that shuts down accepts no connection, but answers on existing ones until its containers have ended.
        client = self._address.open_client(timeout=CONTROL_SECONDS, version=self.open_session().api_version)
        try:
            yield client
        finally:
            client.close()

    def update_info(self, info: dict[str, Any]) -> None:
        with self._lock:
            self._session = self._session and replace(self._session, info=info)

    def forget_replaced(self, api_version: str = "", booted_at: float = 0.0) -> None:
        """Drop the session when the engine has changed. Running calls keep their old clients."""
        with self._lock:
            is_upgraded = self._session is not None and api_version not in ("", self._session.api_version)
            if is_upgraded or (booted_at and self._booted_at not in (0.0, booted_at)):
                log.info("the engine was restarted or replaced; reading its version and settings again")
                self._session = None
            self._booted_at = booted_at or self._booted_at
