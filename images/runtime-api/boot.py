"""Starts the sidecar as lean as it can; it only prepares the interpreter, the work is in `sidecar`."""

import os
import signal
import sys

# Ends at once, also as process 1, which ignores a TERM that nobody handles.
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))

# No TLS is spoken here, and SHA-256 has a built-in twin. Without these two, asyncio and hashlib don't load OpenSSL,
# which is a good part of the start and most of the memory.
for module in ("ssl", "_hashlib"):
    sys.modules[module] = None  # type: ignore[assignment]
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from sidecar.main import main  # noqa: E402 - the path has to be there first

sys.exit(main(sys.argv[1:]))
