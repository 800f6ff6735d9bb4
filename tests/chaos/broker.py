"""A Redis server for the trial, without persistence, that the nemesis kills, freezes and restarts."""

import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

import redis

from tests.engine.server import Server, free_port


class Broker:
    """`start` after `kill` uses the same port."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.client = redis.Redis.from_url(self.url, socket_timeout=5)
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        if self._process and self._process.poll() is None:
            return
        path = os.environ["PATH"] + ":/usr/sbin"
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self._process = subprocess.Popen(
            ["redis-server", *options, "--dir", str(self._folder), "--logfile", "redis.log"],
            env=os.environ | {"PATH": path},
        )
        Server.until(self._is_ready, 20)

    def _is_ready(self) -> bool:
        with suppress(redis.RedisError):
            return bool(self.client.ping())
        return False

    def send_signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()

    def drop_connections(self) -> None:
        """Closes all connections and deletes all pending messages."""
        self.client.flushdb()
        for row in self.client.client_list():
            with suppress(redis.ResponseError):
                self.client.client_kill_filter(_id=row["id"], skipme=True)
