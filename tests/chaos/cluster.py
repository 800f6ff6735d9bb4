"""The system under test: web, two workers with an engine each, a database and Redis."""

import os
import shutil
import signal
import subprocess
import sys
import uuid
from contextlib import suppress
from pathlib import Path

import docker
import psycopg

from tests.chaos.broker import Broker
from tests.chaos.check import create_script
from tests.chaos.evidence import read_variable
from tests.chaos.witness import Witness
from tests.engine.second import load_images
from tests.engine.server import ROOT, Server, prepare
from tests.forks import Process

POOLS = {"a": "10.216.0.0/16", "b": "10.217.0.0/16"}


class Cluster(Server):
    """`processes` has the keys web, a and b. Faults go only to the engine of b.

    `setup_run_id` is the run that `check_setup` started before the trial.
    """

    is_forked = False

    def __init__(self, folder: Path, database: str) -> None:
        self.server_database = database
        self.name = f"cronium_chaos_{uuid.uuid4().hex[:8]}"
        self.broker = Broker(folder)
        self.engine_folder = folder / "engine"
        self.processes: dict[str, Process] = {}
        self.witness = Witness(self.name)
        self.setup_run_id = ""
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{self.name}"')  # type: ignore[arg-type]
        super().__init__(
            folder,
            "",
            CRONIUM_DATABASE_URL=database.rsplit("/", 1)[0] + "/" + self.name,
            CRONIUM_REDIS_URL=self.broker.url,
            CRONIUM_ADMIN_PASSWORD="for tests only 1",
            CRONIUM_MAX_CONCURRENT="6",
            CRONIUM_WARM="3",
        )

    @property
    def address_b(self) -> str:
        return f"unix://{self.engine_folder}/docker.sock"

    def prepare(self) -> None:
        self.witness.start()
        self.broker.start()
        self.control_engine("start")
        self.token = prepare(self.env)
        images = [tag for row in self.docker.images() for tag in row["RepoTags"] or [] if tag.startswith("cronium/r")]
        load_images(images, self.address_b)
        self.client.headers["Authorization"] = f"Bearer {self.token}"
        self.start("web")
        assert self.process is not None
        self.processes["web"] = self.process
        self.start_process("b")
        self.check_setup()
        self.start_process("a")

    def check_setup(self) -> None:
        """Raises RuntimeError unless a script on the second engine reaches its sidecar and both counters count it."""
        self.setup_run_id = self.run(create_script(self.name, 0, 1, 0, 0), timeout_seconds=90)
        run = self.ended(self.setup_run_id, 120)
        counts = len(self.witness.get_starts(0)), read_variable(self, 0)
        if (run["status"], counts) != ("succeeded", (1, 1)):
            details = f"{run['status']}, {run['message']}; counts {counts}; {self.witness.failure}"
            raise RuntimeError(f"a script on the second engine failed before the trial: {details}")

    def start_process(self, name: str, crash_at: str = "") -> None:
        env = dict(self.env)
        if crash_at:
            env["CRONIUM_CRASH_AT"] = crash_at
        if name == "b":
            env["CRONIUM_DOCKER_HOST"] = self.address_b
        if name in POOLS:
            env["CRONIUM_SUBNET_POOL"] = POOLS[name]
        arguments = ["web"] if name == "web" else ["worker", "--host", name]
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "manage.py", *arguments], cwd=ROOT, env=env, stdout=log, stderr=log
            )

    def signal_process(self, name: str, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            self.processes[name].send_signal(number)

    def control_engine(self, action: str) -> None:
        command = [str(ROOT / "scripts" / "second_engine.sh"), action, str(self.engine_folder)]
        subprocess.run(command, check=True, timeout=120)

    def signal_engine(self, number: signal.Signals) -> None:
        with suppress(FileNotFoundError, ProcessLookupError):
            os.kill(int((self.engine_folder / "docker.pid").read_text()), number)

    def break_connections(self) -> None:
        with psycopg.connect(self.server_database, autocommit=True) as connection:
            query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
            connection.execute(query, (self.name,))

    def connect_engines(self) -> list[docker.APIClient]:
        return [self.docker, docker.APIClient(base_url=self.address_b, version="auto")]

    def has_run_on_b(self) -> bool:
        """True if a main container is running on the second engine. Raises if the engine does not answer."""
        filters = {"label": [f"cronium.instance={self.instance}", "cronium.role=main"], "status": ["running"]}
        running = {row["Labels"]["cronium.run_id"] for row in self.connect_engines()[1].containers(filters=filters)}
        return bool(running - self.list_waiting())

    def list_waiting(self) -> set[str]:
        """The ids of the sandboxes that wait for a run."""
        with psycopg.connect(self.env["CRONIUM_DATABASE_URL"]) as connection:
            return {str(row[0]) for row in connection.execute("SELECT id FROM warm_warmsandbox")}

    def list_leftovers(self) -> list[str]:
        filters = {"label": [f"cronium.instance={self.instance}"]}
        names: list[str] = []
        for engine in self.connect_engines():
            names += [row["Names"][0] for row in engine.containers(all=True, filters=filters)]
            names += [row["Name"] for row in engine.networks(filters=filters)]
        waiting = self.list_waiting()
        return [name for name in names if not any(sandbox_id in name for sandbox_id in waiting)]

    def remove(self) -> None:
        self.witness.stop()
        for process in self.processes.values():
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGCONT)
                process.kill()
            process.wait()
        with suppress(Exception):
            self.sweep()
        self.signal_engine(signal.SIGCONT)
        self.control_engine("stop")
        with psycopg.connect(self.server_database, autocommit=True) as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{self.name}" WITH (FORCE)')  # type: ignore[arg-type]
        self.broker.kill()
        shutil.rmtree(self.engine_folder, ignore_errors=True)
