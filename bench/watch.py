"""A WebSocket client of a run's log that counts and times what comes, in a process of its own.

python -m bench.watch ADDRESS TOKEN        prints one JSON object when the run has ended
"""

import json
import sys
import time
from typing import Any

import orjson
from websockets.sync.client import connect


def watch(address: str, token: str) -> dict[str, Any]:
    """`lines`, `bytes`, seconds from the first to the last message, and of lines that are a time in nanoseconds how
    long each was under way."""
    lines = size = 0
    first, delays, expected = 0.0, [], 1
    with connect(address, additional_headers={"Authorization": f"Bearer {token}"}, max_size=None) as socket:
        for text in socket:
            message = orjson.loads(text)
            if message["type"] != "lines":
                continue
            now = time.time_ns()
            first = first or time.monotonic()
            rows = message["lines"]
            assert rows[0][0] == expected, f"line {rows[0][0]} came where {expected} was due"
            expected = rows[-1][0] + 1
            lines += len(rows)
            size += len(text)
            if rows[0][3].isdigit():
                delays += [(now - int(row[3])) / 1e6 for row in rows if row[3].isdigit()]
    return {"lines": lines, "bytes": size, "seconds": time.monotonic() - first, "delays_ms": delays}


if __name__ == "__main__":
    print(json.dumps(watch(*sys.argv[1:3])))
