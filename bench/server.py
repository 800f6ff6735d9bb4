"""A temporary Cronium server for a benchmark, with its own data folder, port and subnets."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import docker.errors
import httpx

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 60
PASSWORD = "for measurements 1"


@dataclass
class Server:
    """A running `manage.py serve` and the API token of its administrator."""

    port: int
    token: str
    environment: dict[str, str]
    process: "subprocess.Popen[bytes]"

    @classmethod
    def start(cls, port: int, token: str, environment: dict[str, str]) -> "Server":
        server = cls(port, token, environment, _start_process(environment))
        server.wait_until_up()
        return server

    def restart(self, **settings: str) -> None:
        """Stop it, unless it was killed, and start it again. An empty value removes a setting."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(60)
        merged = {**self.environment, **settings}
        self.environment = {name: value for name, value in merged.items() if value or name not in settings}
        self.process = _start_process(self.environment)
        self.wait_until_up()

    def wait_until_up(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                self.call_api("GET", "/health")
                return
            except (urllib.error.URLError, ConnectionError):
                if self.process.poll() is not None or time.monotonic() > deadline:
                    log = Path(self.environment["CRONIUM_DATA_DIR"], "server.log").read_text()
                    raise RuntimeError(f"the server did not start:\n{log[-2000:]}") from None
                time.sleep(0.05)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/api/v1"

    def call_api(self, method: str, path: str, body: Any = None) -> Any:
        """Returns the JSON response. Raises urllib.error.HTTPError on an error status."""
        request = urllib.request.Request(self.url + path, method=method)
        request.add_header("Authorization", f"Bearer {self.token}")
        request.add_header("Content-Type", "application/json")
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(request, data, timeout=30) as response:
            return json.load(response)

    def sign_in(self) -> httpx.Client:
        client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", follow_redirects=True, timeout=30)
        client.get("/sign-in/")
        form = {"username": "admin", "password": PASSWORD, "csrfmiddlewaretoken": client.cookies["csrftoken"]}
        client.post("/sign-in/", data=form).raise_for_status()
        assert client.get("/runs/").url.path == "/runs/", "not signed in"
        return client


def _find_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _start_process(environment: dict[str, str]) -> "subprocess.Popen[bytes]":
    with (Path(environment["CRONIUM_DATA_DIR"]) / "server.log").open("ab") as log:
        command = [sys.executable, str(ROOT / "manage.py"), "serve"]
        return subprocess.Popen(command, env=environment, stdout=log, stderr=log)


def _run_manage(environment: dict[str, str], *arguments: str) -> str:
    command = [sys.executable, str(ROOT / "manage.py"), *arguments]
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.strip()


@contextmanager
def run_server(**settings: str) -> Iterator[Server]:
    """Starts a server, waits until it answers, and stops it with SIGINT, like Ctrl-C."""
    with tempfile.TemporaryDirectory(prefix="cronium-bench-") as folder:
        port = _find_free_port()
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("CRONIUM_")},
            **{name: value for name, value in os.environ.items() if name == "CRONIUM_DOCKER_HOST"},
            "CRONIUM_DATA_DIR": folder,
            "CRONIUM_PORT": str(port),
            "CRONIUM_SUBNET_POOL": "10.215.0.0/16",
            "CRONIUM_CANARY": "off",
            "CRONIUM_ADMIN_PASSWORD": PASSWORD,
            **settings,
        }
        _run_manage(environment, "migrate", "-v0")
        _run_manage(environment, "images", "build")
        _run_manage(environment, "bootstrap")
        token = _run_manage(environment, "token", "create", "--user", "admin", "--name", "bench")
        server = Server.start(port, token, environment)
        try:
            yield server
        finally:
            server.process.send_signal(signal.SIGINT)
            server.process.wait(60)
            _remove_objects(Path(folder) / "instance_id")


def _remove_objects(instance_file: Path) -> None:
    # A benchmark that was interrupted leaves live runs, which a next start of the server would adopt: there is none.
    if not instance_file.exists():
        return
    client = docker.APIClient(base_url=os.environ.get("CRONIUM_DOCKER_HOST"), version="auto")
    own = {"label": [f"cronium.instance={instance_file.read_text().strip()}"]}
    for container in client.containers(all=True, filters=own):
        with suppress(docker.errors.APIError):
            client.remove_container(container["Id"], force=True)
    for network in client.networks(filters=own):
        with suppress(docker.errors.APIError):
            client.remove_network(network["Id"])
