"""Many threads share two of glibc's arenas."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Each thread allocates in turn; an arena of a thread is a mapping of its own, 64 MB of addresses.
COUNT_ARENAS = """
import ctypes, sys, threading
from cronium_admin.core.malloc import limit_arenas
if sys.argv[1] == "limited":
    limit_arenas()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
barrier, places = threading.Barrier(8), set()
def allocate():
    barrier.wait()
    places.add(libc.malloc(5000) >> 26)
    barrier.wait()
threads = [threading.Thread(target=allocate) for _ in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(len(places))
"""


def count_arenas(how: str) -> int:
    process = [sys.executable, "-c", COUNT_ARENAS, how]
    return int(subprocess.run(process, cwd=ROOT, check=True, capture_output=True, text=True, timeout=60).stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="of glibc")
def test_threads_share_two_arenas() -> None:
    assert count_arenas("unlimited") > 2, "otherwise this test shows nothing"
    assert count_arenas("limited") <= 2
