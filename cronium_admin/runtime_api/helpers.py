"""The helper libraries, delivered with a run's payload, so that they work in any image and match the sidecar."""

from functools import cache
from pathlib import Path

_IMAGES = Path(__file__).resolve().parents[2] / "images"
# The file name beside the script, and its source below images/.
HELPER_FILES = {
    "cronium.sh": "bash/cronium.sh",
    "cronium.js": "node/cronium.js",
    "cronium.py": "python/cronium.py",
    "cronium_aio.py": "python/cronium_aio.py",
}


@cache
def load_helpers() -> dict[str, str]:
    # All helpers for every run, because a bash script may start python
    return {name: (_IMAGES / source).read_text() for name, source in HELPER_FILES.items()}
