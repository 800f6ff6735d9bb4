"""The helpers as they are delivered with a run's payload, so that they work in any image and match the sidecar."""

from functools import cache
from pathlib import Path

_IMAGES = Path(__file__).resolve().parents[2] / "images"
# The file beside the script, and where its text comes from.
FILES = {
    "cronium.sh": "bash/cronium.sh",
    "cronium.js": "node/cronium.js",
    "cronium/__init__.py": "python/cronium/__init__.py",
    "cronium/aio.py": "python/cronium/aio.py",
}


@cache
def helpers() -> dict[str, str]:
    """All of them: a bash script may start python."""
    return {name: (_IMAGES / source).read_text() for name, source in FILES.items()}
