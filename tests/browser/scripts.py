"""Scripts that wait for a file in their container, and the function that creates it."""

from textwrap import dedent

from tests.engine.server import Server

_WAIT = (
    "import os, signal, sys, time\ndef gate(name):\n    while not os.path.exists('/tmp/' + name): time.sleep(0.02)\n"
)


def python(body: str) -> str:
    """A Python script in which `gate(name)` waits for `open_gate`. Its output is not buffered."""
    return _WAIT + "sys.stdout.reconfigure(line_buffering=True)\n" + dedent(body)


def open_gate(server: Server, run_id: str, name: str = "go") -> None:
    server.open_gate(run_id, name)


def run_id_of(url: str) -> str:
    """The id of the run in the page's URL."""
    return url.split("/runs/")[1].split("/")[0]
