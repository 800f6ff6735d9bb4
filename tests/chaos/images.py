"""Image builds and pulls under faults: requests them beside the runs, and checks that none is stuck or left over."""

import random
import threading
import time
from collections import Counter
from contextlib import suppress
from typing import Any

import docker
import httpx
import psycopg

from tests.chaos.check import TERMINAL
from tests.chaos.cluster import Cluster
from tests.chaos.evidence import list_runs
from tests.engine.registry import Registry
from tests.fakes.small_image import build_small_image

RAW_NAME = "cronium/build-raw"
BUILD_PAUSES, PULL_PAUSES = (4.0, 15.0), (2.0, 8.0)  # seconds
IMAGES, TOOLS = 3, 4
SETTLE_SECONDS = 120.0


class ImageLoad:
    """Two threads until `stopped`: one builds custom images, the other removes and pulls the images of jobs."""

    def __init__(self, cluster: Cluster, registry: Registry, seed: int) -> None:
        self.cluster, self.registry = cluster, registry
        self.stopped = threading.Event()
        self.errors: Counter[str] = Counter()
        self._random = random.Random(seed)
        self._names = [f"{cluster.name[8:].replace('_', '-')}-{number}" for number in range(IMAGES)]
        self._threads = [threading.Thread(target=target, daemon=True) for target in (self._build, self._pull)]

    def start(self) -> None:
        """Call while nothing is broken: also the creation of jobs and images must succeed."""
        host = self.registry.host
        self._demand("/registries", {"address": host, "may_push": True})
        for number, name in enumerate(self._names):
            recipe = {"base": "bash", "steps": [f"echo {name} >/built"]}
            pushed = {"registry": host} if number == 0 else {}
            self._demand("/custom-images", {"name": name, "recipe": recipe, **pushed})
        for number in range(TOOLS):
            made = build_small_image(f"{self.cluster.name}-{number}", is_runnable=True)
            self.registry.put_image("team/tools", str(number), made)
            job = {"name": self._slug(number), "slug": self._slug(number), "language": "bash", "timeout_seconds": 90}
            job |= {"script": "cat /version", "image": f"{host}/team/tools:{number}"}
            self._demand("/jobs", job)
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self.stopped.set()
        for thread in self._threads:
            thread.join(60)

    def list_run_ids(self) -> list[str]:
        """The runs of builds and pulls. Raises UnexpectedResponse."""
        slugs = {self._slug(number) for number in range(TOOLS)} | {f"image-{name}" for name in self._names}
        return [str(run["id"]) for run in self._list_runs() if _get_slug(run) in slugs or run["trigger"] == "build"]

    def is_settled(self) -> bool:
        return not self.find_open() and not self.find_leftovers()

    def find_open(self) -> list[str]:
        """Builds and pulls that have not ended."""
        with psycopg.connect(self.cluster.env["CRONIUM_DATABASE_URL"]) as connection:
            query = "SELECT 'version ' || number || ' of image ' || image_id || ' is building' FROM images_imageversion"
            building = connection.execute(f"{query} WHERE status = 'building'").fetchall()
            query = "SELECT reference || ' on ' || host || ' is ' || state FROM images_pulledimage"
            pulling = connection.execute(f"{query} WHERE state IN ('pulling', 'requested')").fetchall()
        return [str(row[0]) for row in (*building, *pulling)]

    def find_leftovers(self) -> list[str]:
        """Images of builds that did not end with a version."""
        left = []
        for engine in self.cluster.connect_engines():
            for label in ("cronium.instance", "cronium.origin"):
                for row in engine.images(filters={"label": [f"{label}={self.cluster.instance}"]}):
                    names = row["RepoTags"] or []
                    if not names or any(name.startswith(f"{RAW_NAME}:") for name in names):
                        left.append(f"the image {names or row['Id']}")
        return left

    def find_violations(self) -> list[str]:
        # Hosts pull ahead what jobs need, also now: such a pull must end too.
        end = time.monotonic() + SETTLE_SECONDS
        while (still_open := self.find_open()) and time.monotonic() < end:
            time.sleep(1)
        violations = [f"stuck: {text}" for text in still_open]
        violations += [f"left on an engine: {text}" for text in self.find_leftovers()]
        violations += self._check_versions()
        for run in self._list_runs():
            if _get_slug(run).startswith("pull-"):
                violations += self._check_pull(run)
        return violations

    def print_summary(self) -> None:
        with psycopg.connect(self.cluster.env["CRONIUM_DATABASE_URL"]) as connection:
            query = "SELECT status, reason, count(*) FROM images_imageversion GROUP BY 1, 2 ORDER BY 1, 2"
            for status, reason, count in connection.execute(query).fetchall():
                print(f"  build {f'{status}/{reason}':26} {count}")
            query = "SELECT count(*) FROM runs_runevent WHERE kind = 'image_removed'"
            print(f"  pulled again {connection.execute(query).fetchall()[0][0]:>20}")
        outcomes = Counter(
            f"{run['status']}/{run['reason']}" for run in self._list_runs() if _get_slug(run).startswith("pull-")
        )
        for outcome, count in sorted(outcomes.items()):
            print(f"  pull {outcome:27} {count}")
        for error, count in sorted(self.errors.items()):
            print(f"  response {error:23} {count}")

    def remove(self) -> None:
        """From the machine's engine; the other one is removed with its data."""
        engine = self.cluster.docker
        with suppress(Exception):
            for row in engine.images(filters={"label": [f"cronium.origin={self.cluster.instance}"]}):
                _remove_image(engine, row)
            for row in engine.images(filters={"label": [f"cronium.instance={self.cluster.instance}"]}):
                _remove_image(engine, row)
            self._forget_tools(engine)

    def _build(self) -> None:
        while not self.stopped.wait(self._random.uniform(*BUILD_PAUSES)):
            name = self._random.choice(self._names)
            self._try("POST", f"/custom-images/{name}/builds", expected=(202, 409))

    def _pull(self) -> None:
        number = 0
        while not self.stopped.wait(self._random.uniform(*PULL_PAUSES)):
            number += 1
            with suppress(Exception):  # the other engine may be down, or an image in use
                for engine in self.cluster.connect_engines():
                    self._forget_tools(engine)
            slug = self._slug(number % TOOLS)
            self._try("POST", f"/jobs/{slug}/runs", json={}, headers={"Idempotency-Key": f"{slug}-{number}"})

    def _try(self, method: str, path: str, *, expected: tuple[int, ...] = (202,), **arguments: Any) -> None:
        """Web may be down: the request is then not repeated."""
        with suppress(httpx.TransportError):
            response = self.cluster.client.request(method, path, **arguments)
            if response.status_code not in expected:
                self.errors[f"{method} {path.rpartition('/')[2]} {response.status_code}"] += 1

    def _demand(self, path: str, body: dict[str, Any]) -> None:
        response = self.cluster.client.post(path, json=body)
        assert response.status_code == 201, f"{path}: {response.status_code} {response.text}"

    def _slug(self, number: int) -> str:
        return f"pull-{number}"

    def _list_runs(self) -> list[dict[str, Any]]:
        return list_runs(self.cluster)

    def _forget_tools(self, engine: docker.APIClient) -> None:
        for row in engine.images():
            names = [*(row["RepoTags"] or []), *(row["RepoDigests"] or [])]
            if any(name.startswith(f"{self.registry.host}/team/") for name in names):
                _remove_image(engine, row)

    def _check_versions(self) -> list[str]:
        violations = []
        with psycopg.connect(self.cluster.env["CRONIUM_DATABASE_URL"]) as connection:
            query = """
                SELECT v.number, i.name, i.project_id, v.status, v.reason, v.message, v.host, v.run_id, r.status
                FROM images_imageversion v JOIN images_customimage i ON i.id = v.image_id
                LEFT JOIN runs_run r ON r.id = v.run_id
            """
            rows = connection.execute(query).fetchall()
        engines = dict(zip(("a", "b"), self.cluster.connect_engines(), strict=True))
        for number, name, project, status, reason, message, host, run_id, run_status in rows:
            what = f"version {number} of {name} ({status}/{reason}, run {run_id} {run_status})"
            if status == "failed" and not (reason and message):
                violations.append(f"{what}: no reason")
            if status == "ready" and run_status not in ("succeeded", "errored"):
                violations.append(f"{what}: ready, but the run is not")
            if status == "ready":
                try:
                    engines[host].inspect_image(f"cronium/custom/{project}/{name}:{number}")
                except docker.errors.ImageNotFound:
                    violations.append(f"{what}: its image is not on {host}")
        return violations

    def _check_pull(self, run: dict[str, Any]) -> list[str]:
        what = f"pull run {run['id']} ({run['status']}/{run['reason']})"
        if run["status"] not in TERMINAL:
            return [f"{what}: stuck"]
        if run["status"] == "succeeded":
            number = _get_slug(run).rpartition("-")[2]
            log = self.cluster.client.get(f"/runs/{run['id']}/logs.txt").text
            expected = f"{self.cluster.name}-{number}"
            return [] if log.strip() == expected or run.get("log_gaps") else [f"{what}: wrong image, it said {log!r}"]
        return [] if run["reason"] and run["message"] else [f"{what}: no reason"]


def _get_slug(run: dict[str, Any]) -> str:
    return str((run["job"] or {}).get("slug") or "")


def _remove_image(engine: docker.APIClient, row: dict[str, Any]) -> None:
    for name in [*(row["RepoTags"] or []), *(row["RepoDigests"] or []), row["Id"]]:
        with suppress(docker.errors.APIError):
            engine.remove_image(name)
