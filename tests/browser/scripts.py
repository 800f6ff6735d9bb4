"""Scripts that wait for the test, and the hand that lets them go on: a file made in their container."""

from textwrap import dedent

from tests.engine.server import Server

_WAIT = (
    "import os, signal, sys, time\ndef gate(name):\n    while not os.path.exists('/tmp/' + name): time.sleep(0.02)\n"
)


def python(body: str) -> str:
    """A python script in which `gate(name)` waits for `open_gate`, and whose lines leave it at once."""
    return _WAIT + "sys.stdout.reconfigure(line_buffering=True)\n" + dedent(body)


def open_gate(server: Server, run_id: str, name: str = "go") -> None:
    server.open_gate(run_id, name)


def run_id_of(url: str) -> str:
    """The run whose page has this address."""
    return url.split("/runs/")[1].split("/")[0]
