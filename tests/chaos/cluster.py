"""What the nemesis plays with: web and two workers, each with an engine of its own, a database and Redis."""

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
from tests.chaos.check import script
from tests.chaos.evidence import variable
from tests.chaos.witness import Witness
from tests.engine.second import load_images
from tests.engine.server import ROOT, Server, manage

POOLS = {"a": "10.216.0.0/16", "b": "10.217.0.0/16"}


class Cluster(Server):
    """`parts` are its processes by name: web, a and b. Only the engine of b is its own to kill.

    `proof` is the run that was started before the trial.
    """

    def __init__(self, folder: Path, database: str) -> None:
        self.server_database = database
        self.name = f"cronium_chaos_{uuid.uuid4().hex[:8]}"
        self.broker = Broker(folder)
        self.engine_folder = folder / "engine"
        self.parts: dict[str, subprocess.Popen[bytes]] = {}
        self.witness = Witness(self.name)
        self.proof = ""
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{self.name}"')  # type: ignore[arg-type]
        super().__init__(
            folder,
            "",
            CRONIUM_DATABASE_URL=database.rsplit("/", 1)[0] + "/" + self.name,
            CRONIUM_REDIS_URL=self.broker.url,
            CRONIUM_ADMIN_PASSWORD="for tests only 1",
            CRONIUM_MAX_CONCURRENT="6",
        )

    @property
    def address_b(self) -> str:
        return f"unix://{self.engine_folder}/docker.sock"

    def prepare(self) -> None:
        """Engine, images, database and token; then all processes."""
        self.witness.start()
        self.broker.start()
        self.engine("start")
        manage(self.env, "migrate", "-v", "0")
        manage(self.env, "images", "build")
        images = [tag for row in self.docker.images() for tag in row["RepoTags"] or [] if tag.startswith("cronium/r")]
        load_images(images, self.address_b)
        manage(self.env, "bootstrap")
        self.token = manage(self.env, "token", "create", "--user", "admin", "--name", "tests").strip()
        self.client.headers["Authorization"] = f"Bearer {self.token}"
        self.start("web")
        assert self.process is not None
        self.parts["web"] = self.process
        self.start_part("b")
        self.prove()
        self.start_part("a")

    def prove(self) -> None:
        """A script on the second engine reaches its sidecar, and both counters count it; if not, every trial would
        blame Cronium for it."""
        self.proof = self.run(script(self.name, 0, 1, 0, 0), timeout_seconds=90)
        ended = self.ended(self.proof, 120)
        counted = len(self.witness.starts(0)), variable(self, 0)
        if (ended["status"], counted) != ("succeeded", (1, 1)):
            words = f"{ended['status']}, {ended['message']}; counted {counted}; {self.witness.failed}"
            raise RuntimeError(f"a script on the second engine does not run as it must: {words}")

    def start_part(self, part: str, crash_at: str = "") -> None:
        env = dict(self.env)
        if crash_at:
            env["CRONIUM_CRASH_AT"] = crash_at
        if part == "b":
            env["CRONIUM_DOCKER_HOST"] = self.address_b
        if part in POOLS:
            env["CRONIUM_SUBNET_POOL"] = POOLS[part]
        arguments = ["web"] if part == "web" else ["worker", "--host", part]
        with (self.folder / f"{part}.log").open("ab") as log:
            self.parts[part] = subprocess.Popen(
                [sys.executable, "manage.py", *arguments], cwd=ROOT, env=env, stdout=log, stderr=log
            )

    def signal_part(self, part: str, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            self.parts[part].send_signal(number)

    def engine(self, what: str) -> None:
        """Start or stop the second engine."""
        script = [str(ROOT / "scripts" / "second_engine.sh"), what, str(self.engine_folder)]
        subprocess.run(script, check=True, timeout=120)

    def signal_engine(self, number: signal.Signals) -> None:
        with suppress(FileNotFoundError, ProcessLookupError):
            os.kill(int((self.engine_folder / "docker.pid").read_text()), number)

    def break_connections(self) -> None:
        with psycopg.connect(self.server_database, autocommit=True) as connection:
            query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
            connection.execute(query, (self.name,))

    def engines(self) -> list[docker.APIClient]:
        return [self.docker, docker.APIClient(base_url=self.address_b, version="auto")]

    def runs_on_b(self) -> bool:
        """Whether a script's container runs on the second engine, which must answer."""
        wanted = {"label": [f"cronium.instance={self.instance}", "cronium.role=main"], "status": ["running"]}
        return bool(self.engines()[1].containers(filters=wanted))

    def left_on_engines(self) -> list[str]:
        wanted = {"label": [f"cronium.instance={self.instance}"]}
        names: list[str] = []
        for engine in self.engines():
            names += [row["Names"][0] for row in engine.containers(all=True, filters=wanted)]
            names += [row["Name"] for row in engine.networks(filters=wanted)]
        return names

    def end(self) -> None:
        """Nothing of it stays: processes, second engine, containers, database."""
        self.witness.close()
        for process in self.parts.values():
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGCONT)
                process.kill()
            process.wait()
        with suppress(Exception):
            self.sweep()
        self.signal_engine(signal.SIGCONT)
        self.engine("stop")
        with psycopg.connect(self.server_database, autocommit=True) as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{self.name}" WITH (FORCE)')  # type: ignore[arg-type]
        self.broker.kill()
        shutil.rmtree(self.engine_folder, ignore_errors=True)
