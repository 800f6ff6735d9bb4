"""The browser of the browser tests gets no netlink socket, so that it hears of no change of this machine's network."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.browser.steady_chromium import SOCKET_CALLS

PROGRAM = Path(__file__).parents[1] / "browser/steady_chromium.py"
TRY = """
import errno, socket
socket.socket(socket.AF_INET).close()
try:
    socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)
except OSError as error:
    print(errno.errorcode[error.errno])
"""


@pytest.mark.skipif(os.uname().machine not in SOCKET_CALLS, reason="the filter knows x86_64 and aarch64")
def test_it_and_its_children_get_no_netlink_socket() -> None:
    again = f"import subprocess, sys\n{TRY}\nsubprocess.run([sys.executable, '-c', {TRY!r}], check=True)"
    env = {**os.environ, "CRONIUM_STEADY_BROWSER": sys.executable}
    done = subprocess.run([PROGRAM, "-c", again], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["EAFNOSUPPORT", "EAFNOSUPPORT"]
