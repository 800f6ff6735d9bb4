"""The access of health checks to the machine: one connection to its engine, and a way to call the database."""

import time
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import docker
import requests
from django.db import DatabaseError
from docker.errors import DockerException

from cronium_admin.core.database.outage import is_outage
from cronium_admin.core.errors import ApiError
from cronium_admin.images.engine_connection import connect_engine

ANSWER_SECONDS = 5  # per request to the engine or the broker
T = TypeVar("T")


class DatabaseCall(Protocol):
    """Calls a function that uses the database. A worker does so in one of its database threads."""

    def __call__(self, function: Callable[[], T], /) -> T: ...


def call_directly(function: Callable[[], T], /) -> T:
    return function()


class HealthProbe:
    """`client` is None if the engine does not answer, and `engine_error` says why. Close it after use."""

    is_database_away = False

    def __init__(self, ask: DatabaseCall = call_directly) -> None:
        self._database_call = ask
        self.engine_error = ""
        self.client: docker.APIClient | None = None
        self.info: dict[str, Any] = {}
        self.asked_at = time.time()
        try:
            self.client = connect_engine(ANSWER_SECONDS)
            self.asked_at = time.time()
            self.info = self.client.info()
        except ApiError as error:
            self.engine_error = error.message
        except (DockerException, requests.RequestException) as error:
            self.engine_error = f"The Docker Engine does not answer: {error}"
            self.close()

    def call_database(self, function: Callable[[], T], /) -> T:
        """Raises DatabaseError. After an outage all later calls fail at once, because each attempt takes long."""
        if self.is_database_away:
            raise DatabaseError("the database is not available")
        try:
            return self._database_call(function)
        except DatabaseError as error:
            self.is_database_away = is_outage(error)
            raise

    def close(self) -> None:
        if self.client is not None:
            self.client.close()
            self.client = None
