"""A separate Docker Engine for a test, which may kill and restart it and connect in other ways."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path

import docker

MACHINES_ENGINE = "unix:///var/run/docker.sock"
ROOT = Path(__file__).resolve().parent.parent.parent
RUNNER, SIDECAR = "cronium/runner:bash-debian", "cronium/runtime-api:latest"


def load_images(images: Sequence[str], address: str) -> None:
    """Copies images of the machine's engine to the engine at `address`."""
    with (
        closing(docker.APIClient(MACHINES_ENGINE, timeout=120)) as source,
        closing(docker.APIClient(address, timeout=120)) as target,
    ):
        for image in images:  # by the library: since Debian 13 the program `docker` is a separate package
            target.load_image(b"".join(source.get_image(image)))


class SecondEngine:
    """Number `number` of this machine's additional engines (2 is the chaos test's). `close` removes everything."""

    def __init__(self, number: int) -> None:
        self.number = number
        # Not below pytest's folders: a socket's path has 107 bytes.
        self.folder = Path(tempfile.mkdtemp(prefix=f"cronium-engine{number}-"))
        self.address = f"unix://{self.folder}/docker.sock"
        self.subnet_pool = f"10.{215 + number}.0.0/16"
        self._arguments: tuple[str, ...] = ()

    def _script(self, what: str, *arguments: str) -> None:
        script = [str(ROOT / "scripts" / "second_engine.sh"), what, str(self.folder), str(self.number), *arguments]
        subprocess.run(script, check=True, timeout=120)

    def start(self, *arguments: str) -> None:
        """Starts the engine with these arguments of dockerd; returns when it answers."""
        if self.pid and arguments != self._arguments:
            self.signal(signal.SIGTERM)
        self._script("start", *arguments)
        self._arguments = arguments

    @property
    def pid(self) -> int | None:
        """None while the engine is stopped."""
        with suppress(FileNotFoundError):
            pid = int((self.folder / "docker.pid").read_text())
            return pid if Path(f"/proc/{pid}").exists() else None
        return None

    def signal(self, number: signal.Signals) -> None:
        """Sends the signal; returns when the process has ended."""
        pid = self.pid
        assert pid
        os.kill(pid, number)
        end = time.monotonic() + 30
        while Path(f"/proc/{pid}").exists():
            assert time.monotonic() < end, f"dockerd does not end by {number.name}"
            time.sleep(0.02)

    def client(self) -> docker.APIClient:
        return docker.APIClient(base_url=self.address, version="auto", timeout=60)

    def left(self) -> list[str]:
        """The names of all containers, and of all networks except the engine's defaults."""
        client = self.client()
        own = ("bridge", "host", "none")
        networks = [row["Name"] for row in client.networks() if row["Name"] not in own]
        return [row["Names"][0] for row in client.containers(all=True)] + networks

    def close(self) -> None:
        """Also ends the containers, which may outlive their engine."""
        with suppress(Exception):
            self.start()
            client = self.client()
            for row in client.containers(all=True):
                client.remove_container(row["Id"], force=True)
        self._script("stop")
        shutil.rmtree(self.folder)
