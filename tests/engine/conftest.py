"""Fixtures of the tests with a real engine: the engine's own client, and Cronium processes."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import docker
import pytest
from xdist.scheduler import LoadFileScheduling

from tests.engine.scaled import Prepared, drop_prepared, share_prepared
from tests.engine.second import RUNNER, SIDECAR, SecondEngine, load_images
from tests.engine.server import WORKER, Server, Template, alive

HOSTS = "tests/engine/hosts"
# The files that take longest, longest first: a long file that starts last would keep one process busy alone.
LONGEST = [
    *("test_warm.py", "test_recovery.py", "test_on_postgres.py", "test_warm_hosts.py", "test_engine_restart.py"),
    *("test_log_torture.py", "hosts", "test_backup.py"),
    *("test_logs_keeping.py", "test_canary.py", "test_ways.py"),
    *("test_logs.py", "test_network.py", "test_plans.py", "test_processes.py", "test_secrets.py", "test_endings.py"),
    *("test_queue.py", "test_tampering.py", "test_reach.py", "test_tls_services.py"),
]


class LongestFirst(LoadFileScheduling):
    """Gives each process one file at a time, in the order of collection; the tests in `hosts` share one cluster."""

    def _split_scope(self, nodeid: str) -> str:
        return HOSTS if nodeid.startswith(f"{HOSTS}/") else super()._split_scope(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LongestFirst | None:
    if config.getoption("dist") != "loadfile":
        return None
    config.option.loadscopereorder = False  # by the number of tests
    return LongestFirst(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=_rank)


def _rank(item: pytest.Item) -> int:
    names = (item.path.name, item.path.parent.name)
    return next((rank for rank, name in enumerate(LONGEST) if name in names), len(LONGEST))


@pytest.fixture(scope="session")
def docker_client() -> Iterator[docker.APIClient]:
    """A docker-py client that bypasses Cronium's code."""
    address = os.environ.get("CRONIUM_DOCKER_HOST") or os.environ.get("DOCKER_HOST")
    made = docker.APIClient(base_url=address or "unix:///var/run/docker.sock", version="auto", timeout=60)
    yield made
    made.close()


@pytest.fixture(scope="session")
def runner_images(docker_client: docker.APIClient) -> dict[str, str]:
    """The runner image of each language that `images build` made on this engine."""
    tags = {tag for image in docker_client.images() for tag in image["RepoTags"] or []}
    found = {
        language: next((tag for tag in sorted(tags) if tag.startswith(f"cronium/runner:{language}-")), "")
        for language in ("bash", "python", "node")
    }
    assert all(found.values()), f"run `manage.py images build` first: {found}"
    return found


@pytest.fixture(scope="session")
def bash_image(runner_images: dict[str, str]) -> str:
    return runner_images["bash"]


@pytest.fixture(scope="session")
def template(migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Template:
    return Template(tmp_path_factory.mktemp("template"), migrated)


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """The prepared database and files that every installation with PostgreSQL copies; one for all processes of a run.

    `pytest_sessionfinish` drops the database.
    """
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    return share_prepared(shared)


def pytest_sessionfinish(session: pytest.Session) -> None:
    if "PYTEST_XDIST_WORKER" not in os.environ:
        drop_prepared(Path(session.config._tmp_path_factory.getbasetemp()))  # type: ignore[attr-defined]


@pytest.fixture(scope="session")
def new_server(template: Template, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Server]:
    """Makes a server that is not started, on a fresh copy of the prepared database; keywords are environment."""

    def make(**env: str) -> Server:
        folder = tmp_path_factory.mktemp("server")
        template.copy_to(folder)
        return Server(folder, template.token, **env)

    return make


@contextmanager
def running(server: Server) -> Iterator[Server]:
    """A started server; it is stopped at the end and leaves no object on the engine."""
    try:
        server.start()
        yield server
        server.stop()
        assert server.left() == []
    finally:
        if server.process and server.process.poll() is None:
            server.process.kill()
        if server in alive:
            alive.remove(server)
        server.sweep()


@pytest.fixture(scope="session")
def server(new_server: Callable[..., Server]) -> Iterator[Server]:
    """The server that most tests share."""
    with running(new_server(CRONIUM_MAX_CONCURRENT="35")) as made:
        yield made


@pytest.fixture
def serve(new_server: Callable[..., Server]) -> Iterator[Callable[..., Server]]:
    """Starts a server for one test; keywords are environment variables."""
    with ExitStack() as stack:
        yield lambda **env: stack.enter_context(running(new_server(**env)))


@pytest.fixture(scope="module")
def real_server(new_server: Callable[..., Server]) -> Iterator[Server]:
    """A server for tests that look at its memory or at the command lines of all processes."""
    made = new_server(CRONIUM_MAX_CONCURRENT="10")
    made.is_forked = False
    with running(made):
        yield made


@pytest.fixture(scope="session")
def second(template: Template) -> Iterator[SecondEngine]:
    """An engine with the images of bash runs, not started; tests may kill it and start it with other arguments."""
    if os.geteuid() != 0:
        pytest.skip("a further engine needs root")
    made = SecondEngine(3 + WORKER)
    try:
        made.start()
        load_images([RUNNER, SIDECAR], made.address)
        made.signal(signal.SIGTERM)
        yield made
    finally:
        made.close()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    if report.failed:
        for one in alive:
            report.sections.append((f"Cronium at {one.url}", one.report()))
        # A server whose start failed was killed; it is no part of a later test's failure.
        alive[:] = [one for one in alive if one.process is None or one.process.poll() is None]
