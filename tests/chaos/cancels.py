"""Asks for each cancel some time after its run, so that it meets runs at every step, and keeps what was answered."""

import random
import time
from contextlib import suppress

import httpx

from tests.chaos.check import TERMINAL, Asked, Cancel
from tests.engine.server import Server

AFTER_SECONDS = 6.0  # at most, from when its run was asked for


class Cancels:
    """`answers` by the run's number. A request that gave no answer is repeated; asking twice does no harm."""

    def __init__(self, server: Server, rng: random.Random) -> None:
        self.answers: dict[int, Cancel] = {}
        self._server, self._rng = server, rng
        self._due: list[tuple[float, Asked]] = []

    def plan(self, one: Asked) -> None:
        self.answers[one.number] = Cancel()
        self._due.append((time.monotonic() + self._rng.uniform(0, AFTER_SECONDS), one))

    def go(self) -> None:
        """Ask for what is due."""
        for pair in [pair for pair in self._due if pair[0] <= time.monotonic()]:
            if self._is_answered(pair[1]):
                self._due.remove(pair)

    def go_on(self, seconds: float) -> list[str]:
        """Ask for all that was planned until it is answered; what was not within that time."""
        end = time.monotonic() + seconds
        while self._due and time.monotonic() < end:
            self.go()
            time.sleep(0.2)
        return [f"run {one.number} {one.run_id}: its cancel was not answered" for _, one in self._due]

    def _is_answered(self, one: Asked) -> bool:
        kept = self.answers[one.number]
        kept.asked = True
        with suppress(httpx.TransportError):
            answer = self._server.client.post(f"/runs/{one.run_id}/cancel")
            if answer.status_code == 409:  # it has ended
                return True
            if answer.status_code == 202:
                told = answer.json()["status"]
                if told not in TERMINAL or told == "cancelled":
                    kept.accepted_at = time.time()
                return True
            if answer.status_code < 500:
                raise AssertionError(f"a cancel was answered {answer.status_code} {answer.text}")
        return False
