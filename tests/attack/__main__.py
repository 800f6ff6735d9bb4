"""`make attack`: strangers attack a server on loopback while somebody who is signed in uses it and a run writes a log.

Prints a row an attack: how long pages took, what the attackers were told, how the server's files and log grew. Exits
with 1 when a page took longer than a second, a line was lost, or the disk was filled. `ATTACK_DESCRIPTORS` limits the
server's descriptors (1024, say); `ATTACK="requests heads"` chooses.
"""

import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import httpx

from tests.attack.strangers import ATTACKS
from tests.engine.server import ROOT, Server, Template

MOST_SECONDS = 1.0
MOST_GROWTH_MB = 100
LINES_A_SECOND = 20


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


def _attack(server: Server, client: httpx.Client, kind: str) -> bool:
    script = f"for i in $(seq 1 {LINES_A_SECOND * 25}); do echo line $i; sleep {1 / LINES_A_SECOND}; done"
    run = server.run(script)
    while server.get(run)["status"] != "running":
        time.sleep(0.1)
    before = _disk(server)
    attacker = subprocess.Popen(
        [sys.executable, "-m", "tests.attack.strangers", kind, str(server.port)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    times, most = [], before
    while attacker.poll() is None or len(times) < 10:
        began = time.monotonic()
        with suppress(httpx.TransportError):
            assert client.get("/jobs/").status_code == 200
        times.append(time.monotonic() - began)
        with httpx.Client(base_url=server.url, timeout=60, cookies=client.cookies) as fresh:  # a new connection
            began = time.monotonic()
            try:
                code = fresh.get("/jobs/").status_code
                assert code == 200, code
                times.append(time.monotonic() - began)
            except httpx.TransportError:
                times.append(99.0)
        most = max(most, _disk(server))
        time.sleep(0.2)
    told = attacker.communicate()[0].strip()
    server.ended(run)
    text = server.text(run).decode().split()
    lines = len(text) // 2
    is_whole = lines == LINES_A_SECOND * 25
    times.sort()
    grown = most - before
    sys.stdout.write(
        f"{kind:9} pages {len(times)}: median {times[len(times) // 2] * 1000:.0f} ms, worst {times[-1] * 1000:.0f} ms; "
        f"log {'whole' if is_whole else f'{lines} lines'}; disk +{grown:.0f} MB; strangers {told}\n"
    )
    sys.stdout.flush()
    return times[-1] <= MOST_SECONDS and is_whole and grown <= MOST_GROWTH_MB


def main() -> int:
    most = int(os.environ.get("ATTACK_DESCRIPTORS", "0"))
    with tempfile.TemporaryDirectory(prefix="cronium-attack-") as name:
        template = Template(Path(name) / "template")
        template.copy_to(Path(name) / "server")
        server = Server(Path(name) / "server", template.token, TMPDIR=name)
        allowed = resource.getrlimit(resource.RLIMIT_NOFILE)
        if most:  # the server inherits it, soft and hard; only root may raise its own again
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        server.start()
        if most:
            resource.setrlimit(resource.RLIMIT_NOFILE, allowed)
        try:
            client = _signed_in(server)
            chosen = os.environ.get("ATTACK", "").split() or list(ATTACKS)
            results = [_attack(server, client, kind) for kind in chosen]
        finally:
            server.stop()
            server.sweep()
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
