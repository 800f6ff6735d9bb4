"""A Cronium for tests: its processes, a client of its API and WebSockets, and its objects on the engine."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import docker
import httpx
import psycopg
from websockets.sync.client import ClientConnection, connect

from tests.forks import ROOT, Fork, Process, run_python
from tests.prepared import copy_database

# The waits of the tests are as many times longer, for slow and busy machines. No test proves a speed by a wait.
PATIENCE = 2
# Test processes that run side by side share the engine and nothing else: pytest-xdist numbers them from 0.
WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
WORKER += int(os.environ.get("CRONIUM_TEST_FIRST_WORKER", "0"))  # for suites that run side by side
SUBNET_POOL = f"10.{214 - WORKER}.0.0/16"
TERMINAL = {"succeeded", "failed", "timed_out", "cancelled", "errored", "lost"}
alive: "list[Server]" = []  # for the report of a test that fails
# A line of a bash script that waits for `open_gate`.
GATE = "until [ -e /tmp/gate ]; do sleep 0.1; done"


def environment(folder: Path, **more: str) -> dict[str, str]:
    """The environment of a process of this Cronium: none of the shell's CRONIUM variables except the engine's
    address."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CRONIUM_", "DJANGO_"))}
    if address := os.environ.get("CRONIUM_DOCKER_HOST"):
        kept["CRONIUM_DOCKER_HOST"] = address
    own = {"CRONIUM_DATA_DIR": str(folder), "CRONIUM_SUBNET_POOL": SUBNET_POOL, "PYTHONUNBUFFERED": "1"}
    own["CRONIUM_CANARY"] = "off"  # its containers are no test's own
    own["CRONIUM_WARM"] = "0"  # nor are waiting sandboxes; tests of them switch them on
    own |= {"CRONIUM_HOST_MEMORY_MB": "1000000", "CRONIUM_CPU_OVERCOMMIT": "100"}  # small machines run the tests
    return kept | own | more


def manage(env: dict[str, str], *arguments: str) -> str:
    """Runs one management command; returns its output."""
    return _run_python(env, "manage.py", *arguments)


def prepare(env: dict[str, str]) -> str:
    """Prepares the installation of `env`; returns a token of its administrator."""
    return _run_python(env, "-m", "tests.engine.prepare").strip()


def _run_python(env: dict[str, str], *arguments: str) -> str:
    done = run_python(arguments, env)
    assert done.returncode == 0, f"{' '.join(arguments)}: {done.stdout}{done.stderr}"
    return done.stdout


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Template:
    """A migrated database with images, administrator and token, and collected static files, created once and copied.

    `migrated` is a folder whose database is migrated already.
    """

    def __init__(self, folder: Path, migrated: Path | None = None) -> None:
        self.folder = folder
        if migrated:
            copy_database(migrated, folder)
        self.token = prepare(environment(folder, CRONIUM_ADMIN_PASSWORD="for tests only 1"))

    def copy_to(self, folder: Path) -> None:
        """The static files are hard links: no server writes into an existing file."""
        copy_database(self.folder, folder)
        shutil.copytree(self.folder / "static", folder / "static", copy_function=os.link)


class Watch:
    """A WebSocket on a run's log. `lines`, `status` and `end` hold the received messages."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.lines: list[tuple[int, int, str, str]] = []
        self.statuses: list[dict[str, Any]] = []
        self.partial: list[Any] = []
        self.end: dict[str, Any] | None = None

    def until(self, reached: Callable[["Watch"], object], seconds: float = 60) -> "Watch":
        """Reads until `reached`; fails after `seconds`, or if the server closes the connection."""
        seconds *= PATIENCE
        over = time.monotonic() + seconds
        while not reached(self):
            try:
                self._take(json.loads(self.socket.recv(max(0.01, over - time.monotonic()))))
            except TimeoutError:
                raise AssertionError(f"not within {seconds} s; last {self.statuses[-1:]} {self.lines[-5:]}") from None
        return self

    def _take(self, message: dict[str, Any]) -> None:
        if message["type"] == "lines":
            self.lines += [tuple(line) for line in message["lines"]]
        elif message["type"] == "status":
            self.statuses.append(message)
        elif message["type"] == "partial":
            self.partial.append(message["lines"])
        elif message["type"] == "end":
            self.end = message

    def until_line(self, text: str, seconds: float = 60) -> "Watch":
        return self.until(lambda watch: any(text in line[3] for line in watch.lines), seconds)

    def until_status(self, status: str, seconds: float = 60) -> "Watch":
        return self.until(lambda watch: any(one["status"] == status for one in watch.statuses), seconds)

    def until_end(self, seconds: float = 90) -> dict[str, Any]:
        self.until(lambda watch: watch.end, seconds)
        assert self.end is not None
        return self.end


class Server:
    """`manage.py serve` (or web and workers) on a data folder of its own."""

    is_forked = True  # False for tests that look at the command line or the memory of a process

    def __init__(self, folder: Path, token: str, **env: str) -> None:
        self.folder, self.token = folder, token
        self.port = free_port()
        self.env = environment(folder, CRONIUM_PORT=str(self.port), **env)
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / "server.log"
        self.process: Process | None = None
        self.prefix: tuple[str, ...] = ()  # a command that starts the process, `nice` for one; not of a fork
        self.engine_address = ""  # where the test sees the engine; the machine's where it is empty
        self.client = httpx.Client(
            base_url=self.url + "/api/v1", headers={"Authorization": f"Bearer {token}"}, timeout=30
        )
        self._jobs = 0

    # Processes.

    def start(self, *arguments: str) -> "Server":
        """Starts `manage.py serve` (or `arguments`); returns when it answers."""
        self.process = self.spawn(*(arguments or ("serve",)))
        alive.append(self)
        try:
            self._wait_until_it_answers(self.process)
        except BaseException:  # its caller gets no server that it could stop
            self.process.kill()
            self.process.wait()
            raise
        return self

    def _wait_until_it_answers(self, process: Process, seconds: float = 180) -> None:
        end = time.monotonic() + seconds
        while True:
            assert process.poll() is None, f"ended at its start:\n{self.log.read_text()}"
            with suppress(httpx.TransportError):
                if self.client.get("/health").status_code == 200:
                    return
            assert time.monotonic() < end, f"does not answer after {seconds:.0f} s"
            time.sleep(0.05)

    def spawn(self, *arguments: str, log: Path | None = None, **env: str) -> Process:
        """Starts a process of this Cronium; its output goes to the log."""
        command = ("manage.py", *arguments)
        with (log or self.log).open("ab") as file:
            if self.is_forked:
                return Fork(command, self.env | env, (file, file))
            words = [*self.prefix, sys.executable, *command]
            return subprocess.Popen(words, cwd=ROOT, env=self.env | env, stdout=file, stderr=file)

    def stop(self, number: signal.Signals = signal.SIGINT, seconds: float = 40) -> int:
        """Sends the signal; returns the exit code after the process has ended."""
        if self in alive:
            alive.remove(self)
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(seconds * PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(f"did not end within {seconds} s:\n{self.log.read_text()[-3000:]}") from None

    # Its API.

    def call(self, method: str, path: str, body: Any = None, status: int = 0, **more: Any) -> Any:
        answer = self.client.request(method, path, json=body, **more)
        assert answer.status_code == status if status else answer.is_success, f"{answer.status_code} {answer.text}"
        return answer.json()

    def job(self, script: str, language: str = "bash", **more: Any) -> str:
        """Creates a job; returns its slug."""
        self._jobs += 1
        slug = f"test-{self._jobs}"
        values = {"name": slug, "slug": slug, "language": language, "script": script, "timeout_seconds": 180}
        return str(self.call("POST", "/jobs", values | more, 201)["slug"])

    def launch(self, slug: str, body: dict[str, Any] | None = None, key: str = "") -> str:
        headers = {"Idempotency-Key": key} if key else {}
        return str(self.call("POST", f"/jobs/{slug}/runs", body or {}, 202, headers=headers)["id"])

    def run(self, script: str, language: str = "bash", **more: Any) -> str:
        """Creates and launches a job; returns the run's id."""
        return self.launch(self.job(script, language, **more))

    def get(self, run_id: str) -> dict[str, Any]:
        return dict(self.call("GET", f"/runs/{run_id}"))

    def cancel(self, run_id: str) -> dict[str, Any]:
        return dict(self.call("POST", f"/runs/{run_id}/cancel", None, 202))

    def kinds(self, run_id: str) -> list[str]:
        """The kinds of the run's events, in order."""
        return [event["kind"] for event in self.get(run_id)["events"]]

    def text(self, run_id: str) -> bytes:
        answer = self.client.get(f"/runs/{run_id}/logs.txt")
        assert answer.status_code == 200
        return answer.content

    @contextmanager
    def watch(self, run_id: str, after: int = 0) -> Iterator[Watch]:
        headers = {"Authorization": f"Bearer {self.token}"}
        url = f"ws://127.0.0.1:{self.port}/ws/runs/{run_id}/logs?after={after}"
        with connect(url, additional_headers=headers, max_size=None) as made:
            yield Watch(made)

    def ended(self, run_id: str, seconds: float = 90) -> dict[str, Any]:
        """The run, after it has ended."""
        with self.watch(run_id) as watch:
            watch.until_end(seconds)
        return self.get(run_id)

    def cleaned(self, run_id: str, seconds: float = 30) -> None:
        """Returns when the engine has no object of this run."""
        self.until(lambda: not self.left(f"cronium.run_id={run_id}"), seconds)

    @staticmethod
    def until(reached: Callable[[], object], seconds: float = 30) -> None:
        """Polls, for a state without a notification."""
        seconds *= PATIENCE
        end = time.monotonic() + seconds
        while not reached():
            assert time.monotonic() < end, f"not within {seconds} s"
            time.sleep(0.05)

    # The objects on the engine.

    @property
    def docker(self) -> docker.APIClient:
        if not hasattr(self, "_docker"):
            address = self.engine_address or os.environ.get("CRONIUM_DOCKER_HOST") or os.environ.get("DOCKER_HOST")
            self._docker = docker.APIClient(base_url=address or "unix:///var/run/docker.sock", version="auto")
        return self._docker

    @property
    def instance(self) -> str:
        database = self.env.get("CRONIUM_DATABASE_URL", "")
        if database.startswith("postgres"):
            with psycopg.connect(database) as connection:
                row = connection.execute("SELECT instance FROM hosts_installation").fetchone()
            return str(row[0]) if row else "none"
        file = self.folder / "instance_id"
        return file.read_text().strip() if file.exists() else "none"

    def left(self, *labels: str) -> list[str]:
        """The names of all containers and networks of this instance (and with these labels)."""
        wanted = {"label": [f"cronium.instance={self.instance}", *labels]}
        containers = [row["Names"][0] for row in self.docker.containers(all=True, filters=wanted)]
        return containers + [row["Name"] for row in self.docker.networks(filters=wanted)]

    def container(self, run_id: str, role: str = "main") -> dict[str, Any]:
        return dict(self.docker.inspect_container(f"cronium-{role}-{run_id}"))

    def open_gate(self, run_id: str, name: str = "gate") -> None:
        """Creates /tmp/`name`, for which a script waits."""
        made = self.docker.exec_create(f"cronium-main-{run_id}", ["touch", f"/tmp/{name}"], user="1000:1000")
        self.docker.exec_start(made["Id"])
        # Its output may end before the engine knows its exit code. The script may end at once, and touch with it.
        self.until(lambda: not self.docker.exec_inspect(made["Id"])["Running"], 20)
        if self.docker.exec_inspect(made["Id"])["ExitCode"] != 0:
            self.until(lambda: not self.docker.containers(filters={"name": f"cronium-main-{run_id}"}))

    def sweep(self) -> None:
        """Removes leftover objects, after a test that kills the server."""
        wanted = {"label": [f"cronium.instance={self.instance}"]}
        for row in self.docker.containers(all=True, filters=wanted):
            with suppress(docker.errors.APIError):
                self.docker.remove_container(row["Id"], force=True)
        for row in self.docker.networks(filters=wanted):
            with suppress(docker.errors.APIError):
                self.docker.remove_network(row["Id"])

    def report(self) -> str:
        """Information that helps to find the cause of a failed test."""
        wanted = {"label": [f"cronium.instance={self.instance}"]}
        rows = [f"{row['Names'][0]}: {row['Status']}" for row in self.docker.containers(all=True, filters=wanted)]
        rows += [row["Name"] for row in self.docker.networks(filters=wanted)]
        tail = self.log.read_text(errors="replace")[-4000:] if self.log.exists() else ""
        state = f"process: {self.process.poll() if self.process else 'not started'}"
        return "\n".join([state, *rows, "server log:", tail])


def pause_container(client: docker.APIClient, name: str, seconds: float = 30) -> None:
    """Repeats a refused pause: cgroup v1 may fail to freeze a container while its processes fork."""
    give_up_at = time.monotonic() + seconds
    while True:
        try:
            return client.pause(name)
        except docker.errors.APIError as error:
            if "unable to freeze" not in str(error) or time.monotonic() > give_up_at:
                raise
        time.sleep(0.2)
