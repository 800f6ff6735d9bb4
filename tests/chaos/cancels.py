"""Requests each cancel a random time after its run, so that cancels reach runs in every step. Keeps the responses."""

import random
import time
from contextlib import suppress

import httpx

from tests.chaos.check import TERMINAL, Cancel, Request
from tests.engine.server import Server

MAX_DELAY_SECONDS = 6.0  # after the request of the run


class Cancels:
    """`results` is keyed by the run's number. A request without a response is repeated; a cancel is idempotent."""

    def __init__(self, server: Server, rng: random.Random) -> None:
        self.results: dict[int, Cancel] = {}
        self._server, self._rng = server, rng
        self._due: list[tuple[float, Request]] = []

    def schedule(self, request: Request) -> None:
        self.results[request.number] = Cancel()
        self._due.append((time.monotonic() + self._rng.uniform(0, MAX_DELAY_SECONDS), request))

    def send_due(self) -> None:
        for pair in [pair for pair in self._due if pair[0] <= time.monotonic()]:
            if self._has_response(pair[1]):
                self._due.remove(pair)

    def send_all(self, seconds: float) -> list[str]:
        """Sends all scheduled cancels; returns a message for each that got no response within `seconds`."""
        deadline = time.monotonic() + seconds
        while self._due and time.monotonic() < deadline:
            self.send_due()
            time.sleep(0.2)
        return [f"run {request.number} {request.run_id}: the cancel got no response" for _, request in self._due]

    def _has_response(self, request: Request) -> bool:
        cancel = self.results[request.number]
        cancel.is_requested = True
        with suppress(httpx.TransportError):
            response = self._server.client.post(f"/runs/{request.run_id}/cancel")
            if response.status_code == 409:  # the run has ended
                return True
            if response.status_code == 202:
                status = response.json()["status"]
                if status not in TERMINAL or status == "cancelled":
                    cancel.accepted_at = time.time()
                return True
            if response.status_code < 500:
                raise AssertionError(f"a cancel got the response {response.status_code} {response.text}")
        return False
