"""The four networks of a job on the real engine: what a script reaches, which events are recorded, and cleanup."""

import json
import os
import socket
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from typing import Any

import docker
import pytest

from executor import naming
from executor.docker.client import Engine
from executor.run.slot import Slot
from executor.sandbox.subnets import SubnetPool
from executor.spec import MB, RunSpec
from tests.engine.outside import Outside
from tests.engine.outside import outside as piece_of_internet
from tests.engine.server import Server
from tests.fakes.specs import Remembering, make_spec

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to put an address on this machine")
SIDECAR = "cronium/runtime-api:latest"

# The beginning of every script: `report(name, step)` records the result or error of a step; `at_once` records many.
PRELUDE = """
import base64, concurrent.futures, json, os, socket, sys, time, urllib.error, urllib.request
answers = {}

def report(name, step):
    try:
        answers[name] = step()
    except urllib.error.HTTPError as error:
        answers[name] = [error.code, error.read().decode()]
    except (OSError, ValueError) as error:
        answers[name] = f"{type(error).__name__}: {error}"

def at_once(steps):
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        list(pool.map(lambda name: report(name, steps[name]), steps))

def get(url):
    with urllib.request.urlopen(url, timeout=20) as answer:
        return [answer.status, answer.read().decode()]

def tcp(address, port, device=b""):
    with socket.socket() as one:
        one.settimeout(1)
        if device:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device)
        one.connect((address, port))
        one.getpeername()  # an "unreachable" that comes at the wrong moment looks like a connection, and is none
        return "reached"

def connect(destination, token=None, proxy="runtime-api", user="cronium"):
    token = os.environ["CRONIUM_EXECUTION_TOKEN"] if token is None else token
    shown = base64.b64encode(f"{user}:{token}".encode()).decode()
    auth = f"Proxy-Authorization: Basic {shown}\\r\\n" if token else ""
    with socket.create_connection((proxy, 8082), 20) as one:
        one.sendall(f"CONNECT {destination} HTTP/1.1\\r\\nHost: {destination}\\r\\n{auth}\\r\\n".encode())
        status = int(one.makefile("rb").readline().split()[1])
        if status == 200:
            one.sendall(b"GET /tunnel HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n")
            data = b""
            while more := one.recv(65536):
                data += more
            return [status, data.decode().splitlines()[-1]]
        return [status, ""]

"""
END = "\nprint(json.dumps(answers), flush=True)\n"


@dataclass
class Runner:
    """Executes specs on the real engine, as a supervisor's slot does."""

    engine: Engine
    image: str
    docker: docker.APIClient
    outside: Outside
    instance: str = field(default_factory=lambda: f"network-{uuid.uuid4().hex[:8]}")
    pool: SubnetPool = field(default_factory=lambda: SubnetPool(IPv4Network("10.216.0.0/20")))

    def start(self, script: str, network: str, *egress: str, **more: Any) -> "Begun":
        spec = make_spec(
            **{"instance": self.instance, "image": self.image, "sidecar_image": SIDECAR, "language": "python"},
            **{"script": PRELUDE + script + END, "network": network, "egress": egress},
            **{"egress_dns": (self.outside.address,), **more},
        )
        told = Remembering()
        slot = Slot(self.engine, spec, told, self.pool, threading.Semaphore(2))
        thread = threading.Thread(target=slot.run, daemon=True)
        thread.start()
        return Begun(spec, told, slot, thread)

    def run(self, script: str, network: str, *egress: str, **more: Any) -> "Begun":
        begun = self.start(script, network, *egress, **more)
        begun.end()
        return begun

    def open_gate(self, begun: "Begun") -> None:
        """Creates /tmp/gate, for which the script waits."""
        name = naming.name_main(begun.spec.run_id)
        self.docker.exec_start(self.docker.exec_create(name, ["touch", "/tmp/gate"], user="1000:1000")["Id"])

    def left(self) -> list[str]:
        wanted = {"label": [f"cronium.instance={self.instance}"]}
        found = [row["Names"][0] for row in self.docker.containers(all=True, filters=wanted)]
        return found + [row["Name"] for row in self.docker.networks(filters=wanted)]


@dataclass
class Begun:
    """One run; `answers` is the last output of its script."""

    spec: RunSpec
    told: Remembering
    slot: Slot
    thread: threading.Thread

    def end(self, seconds: float = 60) -> None:
        self.thread.join(seconds)
        assert not self.thread.is_alive()
        assert self.told.result is not None
        assert self.told.result.status in ("succeeded", "cancelled"), (self.told.result, self.told.log().decode())
        assert self.told.events[-1] == "cleaned"

    @property
    def answers(self) -> dict[str, Any]:
        return dict(json.loads(self.told.log(1).decode().splitlines()[-1]))


@pytest.fixture(scope="module")
def outside() -> Iterator[Outside]:
    with piece_of_internet() as made:
        yield made


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(os.environ.get("CRONIUM_DOCKER_HOST", ""))


@pytest.fixture
def runner(
    engine: Engine, runner_images: dict[str, str], docker_client: docker.APIClient, outside: Outside
) -> Iterator[Runner]:
    outside.asked.clear()
    made = Runner(engine, runner_images["python"], docker_client, outside)
    yield made
    assert made.left() == [], "every network of every kind is gone with its run"


@pytest.fixture
def sleeper(runner: Runner) -> Iterator[Callable[..., Begun]]:
    """Starts runs that last until the end of the test."""
    begun: list[Begun] = []

    def start(network: str, *egress: str) -> Begun:
        one = runner.start(
            "print(os.environ['CRONIUM_EXECUTION_TOKEN'], flush=True); time.sleep(100)", network, *egress
        )
        one.told.wait_for_text(b"\n")
        begun.append(one)
        return one

    yield start
    for one in begun:
        one.slot.stop()
        one.end()


# None.


def test_without_a_network_there_is_loopback_and_nobody_else(runner: Runner, outside: Outside) -> None:
    script = f"""
import cronium
report("links", lambda: [name for _, name in socket.if_nameindex()])
report("outside", lambda: tcp("{outside.address}", {outside.port}))
report("names", lambda: socket.gethostbyname("site.example"))
report("itself", lambda: socket.create_server(("127.0.0.1", 0)).fileno() > 0)
for name, call in ("input", cronium.input), ("output", lambda: cronium.output(1)):
    try:
        answers[name] = call()
    except cronium.CroniumError as error:
        answers[name] = f"CroniumError: {{error}}"
print("tried", flush=True)
while not os.path.exists("/tmp/gate"):
    time.sleep(0.1)
"""
    begun = runner.start(script, "none")
    begun.told.wait_for_text(b"tried")
    assert runner.left() == [f"/cronium-main-{begun.spec.run_id}"], "no sidecar and no network"
    runner.open_gate(begun)
    begun.end()
    answers = begun.answers
    assert (answers["links"], answers["itself"]) == (["lo"], True)
    assert "Network is unreachable" in answers["outside"]
    assert "gaierror" in answers["names"]
    for call in ("input", "output"):
        assert (
            answers[call] == "CroniumError: This run has no network and so no runtime API: its job's network is 'none'."
        )
    assert begun.told.report["drifted"] == 0


@pytest.mark.parametrize(
    ("language", "script"),
    [
        ("bash", "cronium_input; echo code $?"),
        ("node", "require('cronium').input().catch((error) => console.log(error.name, error.message, 'code 1'))"),
    ],
)
def test_the_other_helpers_say_it_too(
    runner: Runner, runner_images: dict[str, str], language: str, script: str
) -> None:
    spec = make_spec(
        **{"instance": runner.instance, "image": runner_images[language], "sidecar_image": SIDECAR},
        **{"language": language, "script": script, "network": "none"},
    )
    told = Remembering()
    Slot(runner.engine, spec, told, runner.pool, threading.Semaphore(2)).run()
    said = told.log().decode()
    assert "no network and so no runtime API: its job's network is 'none'" in said
    assert "code 1" in said


# Egress.


def test_what_is_allowed_is_reached_through_the_proxy_and_told(runner: Runner, outside: Outside) -> None:
    outside.names["site.example"] = [[outside.address]]
    where = f"{outside.address}:{outside.port}"
    script = f"""
report("by address", lambda: get("http://{where}/one"))
report("by name", lambda: get("http://site.example:{outside.port}/two"))
report("tunnel", lambda: connect("site.example:{outside.port}"))
import cronium
report("runtime api", lambda: cronium.output("fine"))
"""
    begun = runner.run(script, "egress", where, f"*.example:{outside.port}")
    answers = begun.answers
    assert answers["by address"] == answers["by name"] == answers["tunnel"] == [200, "hello from outside"]
    assert [(operation, body["output"]) for operation, body in begun.told.requests] == [("output", "fine")]
    assert [path for path, _ in outside.asked] == ["/one", "/two", "/tunnel"]
    assert not [headers for _, headers in outside.asked if "roxy" in str(headers) or begun.spec.token in str(headers)]
    named = f"site.example:{outside.port} ({outside.address})"
    assert begun.told.told == [
        ("network_allowed", where),
        ("network_allowed", named),
        ("network_allowed", named),
    ]
    assert begun.told.report["drifted"] == 0, begun.told.report


def test_what_is_not_allowed_is_refused_and_told(runner: Runner, outside: Outside) -> None:
    script = f"""
report("port", lambda: get("http://{outside.address}:{outside.port}/"))
report("name", lambda: get("http://other.example/"))
report("tunnel", lambda: connect("other.example:443"))
report("https", lambda: get("https://other.example/"))
"""
    begun = runner.run(script, "egress", f"{outside.address}:1", "site.example:*")
    answers, why = begun.answers, "refused: not in the job's list of destinations"
    assert answers["port"] == [403, f"cronium: {outside.address}:{outside.port} {why}\n"]
    assert answers["name"] == [403, f"cronium: other.example:80 {why}\n"]
    assert answers["tunnel"][0] == 403
    assert f"other.example:443 {why}" in answers["https"], "a client shows the status line, which says it"
    assert [kind for kind, _ in begun.told.told] == ["network_refused"] * 4
    assert begun.told.told[1][1] == f"other.example:80 {why}"
    assert outside.asked == []
    assert outside.lookups["other.example"] == 0, "a name that is not allowed is not even looked up"


BAD = {
    "private": "10.0.0.1",
    "loopback": "127.0.0.1",
    "metadata": "169.254.169.254",
    "link-local": "169.254.1.1",
    "carrier": "100.64.0.1",
    "multicast": "224.0.0.1",
    "unspecified": "0.0.0.0",
}


def test_a_name_that_leads_to_an_address_nobody_may_reach_is_refused(runner: Runner, outside: Outside) -> None:
    outside.names |= {f"{why}.bad.example": [[address]] for why, address in BAD.items()}
    outside.names["mixed.bad.example"] = [[outside.address, "10.0.0.1"]]
    names = [*BAD, "mixed", "nowhere"]
    script = f"""
for name in {names}:
    report(name, lambda: get(f"http://{{name}}.bad.example:{outside.port}/"))
report("literal", lambda: get("http://169.254.169.254/latest/meta-data"))
report("gateway", lambda: connect(socket.gethostbyname("runtime-api") + ":8081"))
"""
    begun = runner.run(script, "egress", "*.bad.example:*", "169.254.169.254:*", "10.216.0.0:8081")
    answers = begun.answers
    for why, address in BAD.items():
        status, said = answers[why]
        assert status == 403, why
        assert f"{why}.bad.example:{outside.port} ({address}) refused: {why}" in said
    assert answers["mixed"][0] == 403
    assert answers["nowhere"] == [
        502,
        f"cronium: nowhere.bad.example:{outside.port} refused: the name does not resolve\n",
    ]
    assert answers["literal"] == [403, "cronium: 169.254.169.254:80 refused: metadata address\n"]
    assert answers["gateway"][0] == 403
    assert [kind for kind, _ in begun.told.told] == ["network_refused"] * (len(names) + 2)
    assert outside.asked == []


def test_a_name_is_looked_up_once_and_its_answer_is_the_one_that_is_connected(runner: Runner, outside: Outside) -> None:
    """The first answer is public and every later one private: the proxy connects to the address that it checked."""
    outside.names["rebind.example"] = [[outside.address], ["127.0.0.1"]]
    where = f"rebind.example:{outside.port}"
    script = f"""
report("first", lambda: connect("{where}"))
report("second", lambda: get("http://{where}/"))
"""
    begun = runner.run(script, "egress", "rebind.example:*")
    assert begun.answers["first"] == [200, "hello from outside"]
    assert begun.answers["second"] == [403, f"cronium: {where} (127.0.0.1) refused: loopback address\n"]
    assert outside.lookups["rebind.example"] == 2
    assert begun.told.told == [
        ("network_allowed", f"{where} ({outside.address})"),
        ("network_refused", f"{where} (127.0.0.1) refused: loopback address"),
    ]


def test_there_is_no_way_around_the_proxy(runner: Runner, outside: Outside) -> None:
    """Neither directly, nor through the sidecar's other network, nor through the gateways; names resolve only in the
    proxy."""
    script = f"""
mine = socket.gethostbyname("runtime-api")
first, last = mine.rsplit(".", 1)
others = [f"{{first}}.{{int(last) + more}}" for more in (7, 8, 15, 16, -9, -8)]
ways = [
    (f"{{address}} {{device}}", address, {outside.port}, device)
    for address in ("{outside.address}", "172.17.0.1", f"{{first}}.{{int(last) - 1}}")
    for device in (b"", b"eth0")
]
ways += [(f"{{address}}:{{port}}", address, port, b"eth0") for address in others for port in (8081, 8082)]
steps = {{name: lambda way=way: tcp(*way) for name, *way in ways}}
steps["names"] = lambda: socket.gethostbyname("site.example")
steps["v6"] = lambda: socket.create_connection(("::1", 8081), 1).close()
at_once(steps)
"""
    outside.names["site.example"] = [[outside.address]]
    before = outside.lookups["site.example"]
    begun = runner.run(script, "egress", f"{outside.address}:*", "site.example:*")
    reached = {name for name, answer in begun.answers.items() if answer == "reached"}
    assert len(begun.answers) == 20
    assert reached == set()
    assert outside.asked == []
    assert outside.lookups["site.example"] == before
    assert begun.told.told == []


def test_only_the_runs_own_token_opens_its_proxy(
    runner: Runner, outside: Outside, sleeper: Callable[..., Begun]
) -> None:
    where = f"{outside.address}:{outside.port}"
    other = sleeper("egress", where)
    script = f"""
report("none", lambda: connect("{where}", ""))
report("wrong", lambda: connect("{where}", "x" + os.environ["CRONIUM_EXECUTION_TOKEN"]))
report("another run's", lambda: connect("{where}", "{other.spec.token}"))
os.environ["http_proxy"] = "http://runtime-api:8082"
report("client", lambda: get("http://{where}/"))
"""
    begun = runner.run(script, "egress", where)
    assert {name: answer[0] for name, answer in begun.answers.items()} == dict.fromkeys(begun.answers, 407)
    assert len(begun.answers) == 4
    assert (outside.asked, begun.told.told) == ([], [])


@pytest.mark.parametrize("network", ["isolated", "egress", "open"])
def test_nobody_else_reaches_a_runs_proxy(
    runner: Runner, outside: Outside, sleeper: Callable[..., Begun], network: str
) -> None:
    """Another run's main, with the right token, at each address of the sidecar; and the host, at its outer address."""
    where = f"{outside.address}:{outside.port}"
    owner = sleeper("egress", where)
    sidecar = runner.docker.inspect_container(naming.name_sidecar(owner.spec.run_id))
    legs = {name: one["IPAddress"] for name, one in sidecar["NetworkSettings"]["Networks"].items()}
    assert set(legs) == set(naming.list_network_names(owner.spec))
    # A router in between may accept connections for others, so the answer counts, not the connection.
    script = f"""
def speak(address, port, device):
    with socket.socket() as one:
        one.settimeout(1)
        if device:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device)
        one.connect((address, port))
        shown = base64.b64encode(b"cronium:{owner.spec.token}").decode()
        auth = f"Proxy-Authorization: Basic {{shown}}\\r\\n"
        one.sendall(f"CONNECT {where} HTTP/1.1\\r\\nHost: x\\r\\n{{auth}}\\r\\n".encode())
        return one.recv(4096).decode()

ways = [(a, port, device) for a in {list(legs.values())} for port in (8081, 8082) for device in (b"", b"eth0")]
at_once({{str(way): lambda way=way: speak(*way) for way in ways}})
"""
    if network == "egress":
        for address in legs.values():
            script += f"report('through the proxy to {address}', lambda: connect('{address}:8082'))\n"
    answers = runner.run(script, network, *(f"{address}:*" for address in legs.values())).answers
    through = [answers.pop(name) for name in list(answers) if name.startswith("through")]
    assert through == [[403, ""]] * (2 if network == "egress" else 0)
    assert len(answers) == 8
    assert not [said for said in answers.values() if "HTTP/1.1 200" in said or "cronium" in said or 'error"' in said]
    assert outside.asked == []
    for port in (8081, 8082):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((legs[naming.name_egress_network(owner.spec.run_id)], port), 5)


def test_what_inspect_shows_of_a_run_with_a_way_out(runner: Runner, sleeper: Callable[..., Begun]) -> None:
    begun = sleeper("egress", "site.example:443")
    job, out = naming.list_network_names(begun.spec)
    main = runner.docker.inspect_container(naming.name_main(begun.spec.run_id))
    sidecar = runner.docker.inspect_container(naming.name_sidecar(begun.spec.run_id))
    assert set(main["NetworkSettings"]["Networks"]) == {job}
    assert set(sidecar["NetworkSettings"]["Networks"]) == {job, out}
    shown = json.dumps([main, sidecar])
    assert begun.spec.token not in shown
    assert "proxy" not in shown.lower()
    inner, outer = runner.docker.inspect_network(job), runner.docker.inspect_network(out)
    assert (inner["Internal"], outer["Internal"]) == (True, False)
    assert IPv4Network(outer["IPAM"]["Config"][0]["Subnet"]).prefixlen == 29
    assert outer["Labels"]["cronium.role"] == "network"
    assert [one["Name"] for one in outer["Containers"].values()] == [naming.name_sidecar(begun.spec.run_id)]


def test_much_through_the_proxy_needs_little_memory(runner: Runner, outside: Outside) -> None:
    """200 MB, beside sixty open tunnels and one whose client does not read."""
    where = f"{outside.address}:{outside.port}"
    script = f"""
shown = base64.b64encode(f"cronium:{{os.environ['CRONIUM_EXECUTION_TOKEN']}}".encode()).decode()
head = f"CONNECT {where} HTTP/1.1\\r\\nHost: x\\r\\nProxy-Authorization: Basic {{shown}}\\r\\n\\r\\n".encode()
held = []
for _ in range(60):
    held.append(socket.create_connection(("runtime-api", 8082), 20))
    held[-1].sendall(head)
    assert b" 200 " in held[-1].recv(1000)
held[0].sendall(b"GET /bytes/{400 * MB} HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
began = time.monotonic()
with urllib.request.urlopen("http://{where}/bytes/{200 * MB}", timeout=60) as answer:
    size = 0
    while piece := answer.read(1 << 20):
        size += len(piece)
answers["size"] = size
answers["seconds"] = time.monotonic() - began
print(json.dumps(answers), flush=True)
time.sleep(100)
"""
    begun = runner.start(script, "egress", where, timeout_seconds=90.0)
    begun.told.wait_for_text(b"seconds", 85)
    peak = runner.engine.read_usage(naming.name_sidecar(begun.spec.run_id)).peak_memory_bytes
    answers = begun.answers
    begun.slot.stop()
    begun.end()
    assert answers["size"] == 200 * MB
    assert peak is not None
    print(f"200 MB in {answers['seconds']:.1f} s, {peak / MB:.0f} MB at most")
    assert peak < 64 * MB


# Open, and isolated beside it.


def test_an_open_network_leads_straight_outside(runner: Runner, outside: Outside) -> None:
    script = f"""
import cronium
report("outside", lambda: get("http://{outside.address}:{outside.port}/open"))
report("proxy", lambda: [name for name in os.environ if "PROXY" in name.upper()])
report("runtime api", lambda: cronium.output("fine"))
"""
    begun = runner.run(script, "open")
    assert begun.answers["outside"] == [200, "hello from outside"]
    assert begun.answers["proxy"] == []
    assert [(operation, body["output"]) for operation, body in begun.told.requests] == [("output", "fine")]
    assert begun.told.told == []
    assert begun.told.report["drifted"] == 0, begun.told.report


@pytest.mark.parametrize("network", ["open", "isolated"])
def test_a_script_outlives_its_sidecar_without_a_network(runner: Runner, outside: Outside, network: str) -> None:
    script = f"""
print("up", flush=True)
end = time.monotonic() + 30
while "eth0" in dict(socket.if_nameindex()).values() and time.monotonic() < end:
    time.sleep(0.05)
report("links", lambda: [name for _, name in socket.if_nameindex()])
report("outside", lambda: tcp("{outside.address}", {outside.port}))
report("runtime api", lambda: tcp("runtime-api", 8081))
time.sleep(3)  # the event is one of a running script
"""
    begun = runner.start(script, network)
    begun.told.wait_for_text(b"up")
    runner.docker.kill(naming.name_sidecar(begun.spec.run_id))
    begun.told.wait_for("sidecar_ended")
    begun.end()
    assert begun.told.result is not None
    assert begun.told.result.status == "succeeded"
    assert begun.answers["links"] == ["lo"]
    assert "reached" not in (begun.answers["outside"], begun.answers["runtime api"])
    assert [kind for kind, _ in begun.told.told] == ["sidecar_ended"]


def test_an_isolated_run_has_neither_proxy_nor_way(runner: Runner, outside: Outside) -> None:
    script = f"""
report("outside", lambda: tcp("{outside.address}", {outside.port}))
report("proxy", lambda: tcp("runtime-api", 8082))
report("runtime api", lambda: tcp("runtime-api", 8081))
"""
    begun = runner.run(script, "isolated")
    assert begun.answers["outside"] != "reached"
    assert "refused" in begun.answers["proxy"]
    assert begun.answers["runtime api"] == "reached"
    assert outside.asked == []


@pytest.mark.parametrize("network", ["none", "egress", "open"])
def test_a_run_that_is_cancelled_leaves_nothing_either(runner: Runner, network: str) -> None:
    begun = runner.start("print('up', flush=True); time.sleep(100)", network, "site.example:443")
    begun.told.wait_for_text(b"up")
    begun.slot.stop()
    begun.end()
    assert begun.told.result is not None
    assert begun.told.result.status == "cancelled"


# From a job to its run's timeline.


def test_a_job_with_a_list_gets_out_to_it_and_its_run_tells(serve: Callable[..., Server], outside: Outside) -> None:
    outside.names["site.example"] = [[outside.address]]
    server = serve(CRONIUM_EGRESS_DNS=outside.address)
    script = f"""
import urllib.request
print(urllib.request.urlopen("http://site.example:{outside.port}/").read().decode())
try:
    urllib.request.urlopen("http://10.0.0.1/")
except OSError as error:
    print(error)
"""
    job = server.job(script, "python", network="egress", egress=[f"site.example:{outside.port}"])
    run = server.ended(server.launch(job))
    assert run["status"] == "succeeded", server.text(run["id"]).decode()
    assert server.text(run["id"]).splitlines()[0] == b"hello from outside"
    server.cleaned(run["id"])
    events = [(one["kind"], one["message"]) for one in server.get(run["id"])["events"]]
    assert ("network_allowed", f"site.example:{outside.port} ({outside.address})") in events
    assert ("network_refused", "10.0.0.1:80 refused: not in the job's list of destinations") in events
