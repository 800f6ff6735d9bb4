"""Starts the sidecar as lean as it can; it only prepares the interpreter, the work is in `sidecar`."""

import os
import signal
import sys

# Ends at once, also as process 1, which ignores a TERM that nobody handles.
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))

# No TLS is spoken here. Without it asyncio doesn't load OpenSSL, which is a third of the start and of the memory.
sys.modules["ssl"] = None  # type: ignore[assignment]
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from sidecar.main import main  # noqa: E402 - the path has to be there first

sys.exit(main(sys.argv[1:]))
