"""The scripts of hostile runs that start in waiting sandboxes, and the same in new sandboxes as their control."""

import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.engine import test_sandbox as sandbox
from tests.engine.hostile import probes
from tests.engine.hostile.conftest import check_ticks
from tests.engine.hostile.test_reach import host_addresses
from tests.engine.outside import Outside
from tests.engine.server import Server
from tests.engine.warm_server import WarmServer

NETWORKS = ("isolated", "egress", "open", "none")
PORT = 9000  # of a listener in a waiting sandbox, and of the innocent run
# Listens in a waiting sandbox until /tmp/stop exists, and leaves nothing. Its first visitor is itself.
LISTENER = f"""
import json, os, socket
listener = socket.create_server(("0.0.0.0", {PORT}))
listener.settimeout(0.1)
socket.create_connection((ADDRESS, {PORT}), 5).close()
visits = 0
while not os.path.exists("/tmp/stop"):
    try:
        listener.accept()[0].close()
        visits += 1
    except TimeoutError:
        pass
os.unlink("/tmp/stop")
print(json.dumps(visits))
"""
IS_LISTENING = f"print('true' if ':{PORT:04X} 00000000:0000 0A' in open('/proc/net/tcp').read() else 'false')"
# What a waiting main finds of its sidecar, and of the internet. The engine's own name server listens at 127.0.0.11.
KNOCK = """
import http.client, json, os, socket
answers = {}

def knock(host, port, method="GET", path="/", headers={}):
    try:
        one = http.client.HTTPConnection(host, port, timeout=2)
        one.request(method, path, b'{"output": 1}' if method != "GET" else None, headers)
        return one.getresponse().status
    except OSError as error:
        return type(error).__name__

own, token = os.environ["CRONIUM_RUN_ID"], {"Authorization": "Bearer x.y.z"}
ways = [("GET", "input"), ("GET", "context"), ("GET", "variables/x"), ("PUT", "variables/x"), ("POST", "output")]
answers["api"] = [
    knock(host, 8081, method, f"/executions/{own}/{path}", headers)
    for host in ("runtime-api", "127.0.0.1") for method, path in ways for headers in ({}, token)
]
answers["proxy"] = [knock(host, 8082) for host in ("runtime-api", "127.0.0.1")]
answers["internet"] = knock(OUTSIDE, OUTSIDE_PORT)
rows = [line.split() for name in ("tcp", "tcp6") for line in open("/proc/net/" + name).readlines()[1:]]
listening = [row[1] for row in rows if row[3] == "0A" and not row[1].startswith("0B00007F")]
answers["listening"] = sorted({int(address.rpartition(":")[2], 16) for address in listening})
answers["environment"] = open("/proc/1/environ").read()
answers["files"] = sorted(name for path in ("/tmp", "/workspace", "/dev/shm") for name in os.listdir(path))
print(json.dumps(answers))
"""
# Leaves files and processes behind, and waits to be cancelled.
LITTER = """
import os, subprocess, time
for path in ("/tmp", "/workspace", "/dev/shm"):
    open(os.path.join(path, "litter"), "w").write("litter")
for _ in range(3):
    subprocess.Popen(["sleep", "987"], start_new_session=True)
print("littered", flush=True)
time.sleep(60)
"""
INHERITED = """
import json, os
names = {path: sorted(set(os.listdir(path)) - {".cronium", "script.py"}) for path in ("/tmp", "/workspace", "/dev/shm")}
commands = [open(f"/proc/{pid}/cmdline").read() for pid in os.listdir("/proc") if pid.isdigit()]
print(json.dumps({"files": names, "commands": commands}))
"""
FORGED = r"""
import sys
sys.stdout.buffer.write(b"\2\0\0\0\0\0\0\4fake\n\1\0\0\0\0\0\0\377")
print('{"type": "ready"}\n{"type": "request", "id": 1, "op": "output", "body": {"output": "forged"}}', flush=True)
for path in ("/proc/1/fd/1", "/proc/1/fd/2"):
    try:
        open(path, "w").write("forged\n")
        print("written")
    except OSError:
        print("refused")
sys.stdout.flush()
print("cronium: the script did not arrive, so nothing was run", file=sys.stderr, flush=True)
sys.exit(125)
"""


class Attacks:
    """The hostile scripts, on a server whose runs start in waiting sandboxes, and as the control on one without."""

    def __init__(self, server: WarmServer, control: Server, internet: Outside) -> None:
        self.server, self.control = server, control
        self.allowed = f"{internet.address}:{internet.port}"
        self.listener = socket.create_server(("0.0.0.0", 0), backlog=500)
        self.innocent = server.run(probes.read("innocent"), "python", timeout_seconds=1800, input={"who": "innocent"})
        with server.watch(self.innocent) as watch:
            watch.until_line("visitors")
        port, addresses, others = self.listener.getsockname()[1], host_addresses(), server.find_addresses(self.innocent)
        self.targets = [
            *(("host", address, port) for address in addresses),
            *(("dashboard", address, server.port) for address in addresses),
            *(("other run", address, PORT) for address in others),
            *(("other run's sidecar", address, 8081) for address in others),
            ("host's loopback", "127.0.0.1", port),
            ("internet", internet.address, internet.port),
            ("metadata", "169.254.169.254", 80),
        ]
        runs = {network: control.launch(self.make_reach(control, network)) for network in NETWORKS}
        runs |= {name: control.run(probes.read(name), "python") for name in ("calls", "files")}
        self.forged = control.run(FORGED, "python")
        self.start_pool()
        self.seen = sandbox.look(control)
        self.cold = {name: read(control, run_id) for name, run_id in runs.items()}
        assert control.get(self.seen.run["id"])["cold_reason"] == "off"

    def start_pool(self) -> None:
        """The second launch of a kind gives it a place."""
        for network in NETWORKS:
            job = self.server.job("print('hello')", "python", network=network, egress=self.list_egress(network))
            for run_id in [self.server.launch(job) for _ in range(2)]:
                self.server.ended(run_id)
        self.server.is_warm = True

    def list_egress(self, network: str) -> list[str]:
        return [self.allowed] if network == "egress" else []

    def make_reach(self, server: Server, network: str, *more: tuple[str, str, int]) -> str:
        env = {"TARGETS": json.dumps({"tcp": [*self.targets, *more], "dns": ["127.0.0.11", "8.8.8.8"]})}
        more_values = {"network": network, "egress": self.list_egress(network), "env": env}
        return server.job(probes.read("reach"), "python", **more_values)

    def close(self) -> None:
        self.listener.close()
        self.server.is_warm = False
        self.server.open_gate(self.innocent)
        with self.server.watch(self.innocent) as watch:
            watch.until_end()
            check_ticks(watch)
        assert self.server.get(self.innocent)["output"]["visitors"] == 0


def read(server: Server, run_id: str) -> Any:
    """The JSON that a script printed last."""
    server.ended(run_id)
    return json.loads(server.text(run_id).decode(errors="replace").splitlines()[-1])


@contextmanager
def listening(server: WarmServer, run_id: str, address: str) -> Iterator[list[int]]:
    """A listener in a waiting sandbox; afterwards the list holds the number of its visitors."""
    visits: list[int] = []
    script = f"ADDRESS = {address!r}\n{LISTENER}"
    thread = threading.Thread(target=lambda: visits.append(server.execute(run_id, script)))
    thread.start()
    try:
        server.until(lambda: server.execute(run_id, IS_LISTENING))
        yield visits
    finally:
        server.execute(run_id, "open('/tmp/stop', 'w').close(); print('true')")
        thread.join(20)


def blank(server: Server, found: sandbox.Seen, value: Any) -> Any:
    """The value without what differs between two runs of one kind."""
    text, run_id = json.dumps(value, sort_keys=True).replace(server.instance, "INSTANCE"), found.run["id"]
    for name in (found.sidecar["Id"], found.main["Id"], run_id, run_id.replace("-", "")):
        text = text.replace(name, "ID").replace(name[:12], "ID").replace(name[:10], "ID")
    return json.loads(re.sub(r"10\.\d+\.\d+\.\d+", "ADDRESS", text))
