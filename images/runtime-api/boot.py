"""Prepares the interpreter for a fast start, then runs `sidecar.main`."""

import os
import signal
import sys

# As process 1 the sidecar would ignore SIGTERM without a handler.
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))

# The sidecar uses no TLS, and Python has a built-in SHA-256. Without these modules, asyncio and hashlib do not load
# OpenSSL, which would take much of the start time and most of the memory.
for module in ("ssl", "_hashlib"):
    sys.modules[module] = None  # type: ignore[assignment]
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from sidecar.main import main  # noqa: E402 - needs the path above

sys.exit(main(sys.argv[1:]))
