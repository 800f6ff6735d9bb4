"""`make attack` attacks a server on loopback while a signed-in user loads pages and a run writes a log.

Prints one row per attack: page response times (median, 95th percentile, maximum; on a kept-alive connection and on a
new connection), the longest time without a new log line, the responses to the attackers, the growth of the server's
files, and the server's descriptors, threads and memory before the attack and ten seconds after it. Exits with 1 if a
page took over a second, a log line was lost, the disk grew over the limit, or descriptors leaked.

`ATTACK="requests heads"` selects attacks. `ATTACK_DESCRIPTORS` limits the server's descriptors (for example 1024).
`ATTACK_NICE` lowers the priority of the attackers, which share the machine's cores with the server. `ATTACK_SCALED=1`
attacks `web` with a separate worker, PostgreSQL and Redis.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.attack.strangers import ATTACKS
from tests.engine.scaled import Prepared, installation, new_database
from tests.engine.server import ROOT, Server, Template, manage

MAX_SECONDS = 1.0
MAX_GROWTH_MB = 100
MAX_DESCRIPTORS = 64  # allowed increase: database connections of threads
LINES_A_SECOND = 20
SETTLE_SECONDS = 10
TOKEN_COUNT = 4  # one token may open a quarter of all log streams


def _sign_in(server: Server) -> httpx.Client:
    client = httpx.Client(base_url=server.url, timeout=60)
    page = client.get("/sign-in/").text
    csrf_token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)
    assert csrf_token
    form = {"username": "admin", "password": "for tests only 1", "csrfmiddlewaretoken": csrf_token[1]}
    assert client.post("/sign-in/", data=form).status_code == 302
    assert client.get("/jobs/").status_code == 200
    return client


def _measure_disk(server: Server) -> float:
    """MB that the server uses in its folder: data, temporary files, its own log."""
    usage = subprocess.run(["du", "-sm", str(server.folder)], capture_output=True, text=True, check=False)
    # Spooled request bodies are open files without a name.
    unnamed = 0
    assert server.process
    for file in Path(f"/proc/{server.process.pid}/fd").iterdir():
        with suppress(OSError):
            if "(deleted)" in os.readlink(file):
                unnamed += file.stat().st_size
    return float(usage.stdout.split()[0]) + unnamed / 1e6


def _read_process(server: Server) -> tuple[int, int, int]:
    """The server's descriptors, threads, and memory in MB."""
    assert server.process
    process = Path(f"/proc/{server.process.pid}")
    rows = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
    return len(list((process / "fd").iterdir())), int(rows["Threads"]), int(rows["VmRSS"].split()[0]) // 1024


@dataclass
class UserView:
    """Measurements of a signed-in user during the attack."""

    kept_alive: list[float] = field(default_factory=list)
    new_connections: list[float] = field(default_factory=list)
    longest_pause: float = 0.0  # seconds without a new log line
    lines: int = 0
    last_line_at: float = field(default_factory=time.monotonic)

    def load_page(self, client: httpx.Client, times: list[float]) -> None:
        started_at = time.monotonic()
        try:
            code = client.get("/jobs/").status_code
            assert code == 200, code
            times.append(time.monotonic() - started_at)
        except httpx.TransportError as error:
            sys.stdout.write(f"no page: {error!r}\n")
            times.append(99.0)

    def read_log(self, server: Server, run: str) -> None:
        with suppress(httpx.TransportError):
            lines = len(server.call("GET", f"/runs/{run}/logs?after={self.lines}")["lines"])
            now = time.monotonic()
            self.longest_pause = max(self.longest_pause, now - self.last_line_at)
            if lines:
                self.lines, self.last_line_at = self.lines + lines, now

    @property
    def slowest(self) -> float:
        return max(self.kept_alive + self.new_connections)


def _format_times(times: list[float]) -> str:
    times = sorted(times)
    return "/".join(f"{times[int((len(times) - 1) * part)] * 1000:.0f}" for part in (0.5, 0.95, 1))


def _run_attack(server: Server, client: httpx.Client, tokens: list[str], kind: str) -> bool:
    script = f"while :; do i=$((i+1)); echo line $i; sleep {1 / LINES_A_SECOND}; done"
    run = server.run(script, timeout_seconds=900)
    while not server.call("GET", f"/runs/{run}/logs")["lines"]:
        time.sleep(0.1)
    before, process_before = _measure_disk(server), _read_process(server)
    nice = ["nice", "-n", os.environ.get("ATTACK_NICE", "0")]
    attacker = subprocess.Popen(
        [*nice, sys.executable, "-m", "tests.attack.strangers", kind, str(server.port), run, *tokens],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    user, peak = UserView(), before
    while attacker.poll() is None:
        user.load_page(client, user.kept_alive)
        with httpx.Client(base_url=server.url, timeout=60, cookies=client.cookies) as fresh:
            user.load_page(fresh, user.new_connections)
        user.read_log(server, run)
        peak = max(peak, _measure_disk(server))
        time.sleep(0.2)
    responses = attacker.communicate()[0].strip()
    server.cancel(run)
    server.ended(run)
    text = server.text(run).decode().splitlines()
    is_complete = text == [f"line {number}" for number in range(1, len(text) + 1)]
    time.sleep(SETTLE_SECONDS)
    process_after, growth = _read_process(server), peak - before
    resources = ", ".join(
        f"{name} {process_before[i]} -> {process_after[i]}" for i, name in enumerate(("descriptors", "threads", "MB"))
    )
    has_freed_descriptors = process_after[0] <= process_before[0] + MAX_DESCRIPTORS
    sys.stdout.write(
        f"{kind:9} pages {len(user.kept_alive)}: {_format_times(user.kept_alive)} ms, "
        f"on new connections {_format_times(user.new_connections)} ms; "
        f"log of {len(text)} lines {'complete' if is_complete else 'INCOMPLETE'}, "
        f"longest pause {user.longest_pause:.1f} s; "
        f"disk +{growth:.0f} MB; "
        f"{resources}; "
        f"load {os.getloadavg()[0]:.0f}; responses {responses}\n"
    )
    sys.stdout.flush()
    return user.slowest <= MAX_SECONDS and is_complete and growth <= MAX_GROWTH_MB and has_freed_descriptors


def _limit_descriptors(server: Server) -> None:
    """Sets the soft and the hard limit of the next process that `server` starts, which is no fork."""
    server.is_forked = False
    if limit := int(os.environ.get("ATTACK_DESCRIPTORS", "0")):
        server.prefix = ("sh", "-c", f'ulimit -n {limit} && exec "$@"', "sh")


@contextmanager
def _run_embedded(folder: Path) -> Iterator[Server]:
    template = Template(folder / "template")
    template.copy_to(folder / "server")
    server = Server(folder / "server", template.token, TMPDIR=str(folder))
    _limit_descriptors(server)
    server.start()
    try:
        yield server
    finally:
        server.stop()
        server.sweep()


@contextmanager
def _run_scaled(folder: Path) -> Iterator[Server]:
    with new_database() as database:
        prepared = Prepared(database, folder / "template")
        with installation(prepared, folder, 9, TMPDIR=str(folder)) as server:
            server.start_worker("one")
            _limit_descriptors(server)
            server.start("web")
            server.until_hosts("one")
            yield server


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="cronium-attack-") as name:
        run_server = _run_scaled if os.environ.get("ATTACK_SCALED") else _run_embedded
        with run_server(Path(name)) as server:
            client = _sign_in(server)
            create = ("token", "create", "--user", "admin", "--name")
            tokens = [manage(server.env, *create, f"attack {number}").strip() for number in range(TOKEN_COUNT)]
            kinds = os.environ.get("ATTACK", "").split() or list(ATTACKS)
            results = [_run_attack(server, client, tokens, kind) for kind in kinds]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
