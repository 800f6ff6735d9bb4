"""`make attack`: strangers attack a server on loopback while somebody who is signed in uses it and a run writes a log.

Prints a row an attack: how long pages took (median, 95th percentile, worst; on a connection that stays open, and on a
new one), how long the log did not grow, what the attackers were told, how the server's files grew, and its descriptors,
threads and memory before and ten seconds after. Exits with 1 when a page took over a second, a line was lost, the
disk was filled, or descriptors stayed. `ATTACK="requests heads"` chooses; `ATTACK_DESCRIPTORS` limits the server's
descriptors (1024, say); `ATTACK_NICE` gives the attackers, who share this machine's cores with the server, a lower
priority; `ATTACK_SCALED=1` attacks `web` beside a worker, over PostgreSQL and Redis.
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

MOST_SECONDS = 1.0
MOST_GROWTH_MB = 100
MOST_DESCRIPTORS = 64  # that may be more afterwards: database connections of threads
LINES_A_SECOND = 20
SETTLE_SECONDS = 10
PEOPLE = 4  # one person's credential follows a quarter of what all may


def _signed_in(server: Server) -> httpx.Client:
    client = httpx.Client(base_url=server.url, timeout=60)
    page = client.get("/sign-in/").text
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)
    assert token
    form = {"username": "admin", "password": "for tests only 1", "csrfmiddlewaretoken": token[1]}
    assert client.post("/sign-in/", data=form).status_code == 302
    assert client.get("/jobs/").status_code == 200
    return client


def _disk(server: Server) -> float:
    """MB in the folder that the server may fill: its data, its temporary files, its own log."""
    found = subprocess.run(["du", "-sm", str(server.folder)], capture_output=True, text=True, check=False)
    # Spooled bodies have no name: they are seen as deleted files that the process holds.
    held = 0
    assert server.process
    for file in Path(f"/proc/{server.process.pid}/fd").iterdir():
        with suppress(OSError):
            if "(deleted)" in os.readlink(file):
                held += file.stat().st_size
    return float(found.stdout.split()[0]) + held / 1e6


def _taken(server: Server) -> tuple[int, int, int]:
    """The server's descriptors, threads, and memory in MB."""
    assert server.process
    process = Path(f"/proc/{server.process.pid}")
    rows = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
    return len(list((process / "fd").iterdir())), int(rows["Threads"]), int(rows["VmRSS"].split()[0]) // 1024


@dataclass
class Seen:
    """What somebody who is signed in saw of the server while it was attacked."""

    kept: list[float] = field(default_factory=list)
    fresh: list[float] = field(default_factory=list)
    still: float = 0.0  # the longest time in which the log did not grow
    lines: int = 0
    grew_at: float = field(default_factory=time.monotonic)

    def ask(self, client: httpx.Client, times: list[float]) -> None:
        began = time.monotonic()
        try:
            code = client.get("/jobs/").status_code
            assert code == 200, code
            times.append(time.monotonic() - began)
        except httpx.TransportError as error:
            sys.stdout.write(f"no page: {error!r}\n")
            times.append(99.0)

    def look(self, server: Server, run: str) -> None:
        with suppress(httpx.TransportError):
            lines = len(server.call("GET", f"/runs/{run}/logs?after={self.lines}")["lines"])
            now = time.monotonic()
            self.still = max(self.still, now - self.grew_at)
            if lines:
                self.lines, self.grew_at = self.lines + lines, now

    @property
    def worst(self) -> float:
        return max(self.kept + self.fresh)


def _words(times: list[float]) -> str:
    times = sorted(times)
    return "/".join(f"{times[int((len(times) - 1) * part)] * 1000:.0f}" for part in (0.5, 0.95, 1))


def _attack(server: Server, client: httpx.Client, tokens: list[str], kind: str) -> bool:
    script = f"while :; do i=$((i+1)); echo line $i; sleep {1 / LINES_A_SECOND}; done"
    run = server.run(script, timeout_seconds=900)
    while not server.call("GET", f"/runs/{run}/logs")["lines"]:
        time.sleep(0.1)
    before, taken = _disk(server), _taken(server)
    nice = ["nice", "-n", os.environ.get("ATTACK_NICE", "0")]
    attacker = subprocess.Popen(
        [*nice, sys.executable, "-m", "tests.attack.strangers", kind, str(server.port), run, *tokens],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    seen, most = Seen(), before
    while attacker.poll() is None:
        seen.ask(client, seen.kept)
        with httpx.Client(base_url=server.url, timeout=60, cookies=client.cookies) as fresh:
            seen.ask(fresh, seen.fresh)
        seen.look(server, run)
        most = max(most, _disk(server))
        time.sleep(0.2)
    told = attacker.communicate()[0].strip()
    server.cancel(run)
    server.ended(run)
    text = server.text(run).decode().splitlines()
    is_whole = text == [f"line {number}" for number in range(1, len(text) + 1)]
    time.sleep(SETTLE_SECONDS)
    after, grown = _taken(server), most - before
    has_descriptors_back = after[0] <= taken[0] + MOST_DESCRIPTORS
    sys.stdout.write(
        f"{kind:9} pages {len(seen.kept)}: {_words(seen.kept)} ms, on new connections {_words(seen.fresh)} ms; "
        f"log of {len(text)} lines {'whole' if is_whole else 'lacks some'}, still for {seen.still:.1f} s; "
        f"disk +{grown:.0f} MB; "
        f"descriptors {taken[0]} -> {after[0]}, threads {taken[1]} -> {after[1]}, MB {taken[2]} -> {after[2]}; "
        f"load {os.getloadavg()[0]:.0f}; strangers {told}\n"
    )
    sys.stdout.flush()
    return seen.worst <= MOST_SECONDS and is_whole and grown <= MOST_GROWTH_MB and has_descriptors_back


def _limit_descriptors(server: Server) -> None:
    """Of the process that is started next, soft and hard."""
    if most := int(os.environ.get("ATTACK_DESCRIPTORS", "0")):
        server.prefix = ("sh", "-c", f'ulimit -n {most} && exec "$@"', "sh")


@contextmanager
def _embedded(folder: Path) -> Iterator[Server]:
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
def _scaled(folder: Path) -> Iterator[Server]:
    with new_database() as database:
        prepared = Prepared(database, folder / "template")
        with installation(prepared, folder, 9, TMPDIR=str(folder)) as made:
            made.start_worker("one")
            _limit_descriptors(made)
            made.start("web")
            made.until_hosts("one")
            yield made


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="cronium-attack-") as name:
        make = _scaled if os.environ.get("ATTACK_SCALED") else _embedded
        with make(Path(name)) as server:
            client = _signed_in(server)
            create = ("token", "create", "--user", "admin", "--name")
            tokens = [manage(server.env, *create, f"attack {number}").strip() for number in range(PEOPLE)]
            chosen = os.environ.get("ATTACK", "").split() or list(ATTACKS)
            results = [_attack(server, client, tokens, kind) for kind in chosen]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
