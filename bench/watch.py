"""A WebSocket client that counts and times the lines of a run's log. Runs as a separate process.

python -m bench.watch ADDRESS TOKEN        prints one JSON object after the run has ended
"""

import json
import sys
import time
from typing import Any

import orjson
from websockets.sync.client import connect


def watch_log(address: str, token: str) -> dict[str, Any]:
    """`seconds` is the time from the first to the last message. A line that is a time in nanoseconds gives a delay."""
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
            assert rows[0][0] == expected, f"line {rows[0][0]} received, expected {expected}"
            expected = rows[-1][0] + 1
            lines += len(rows)
            size += len(text)
            if rows[0][3].isdigit():
                delays += [(now - int(row[3])) / 1e6 for row in rows if row[3].isdigit()]
    return {"lines": lines, "bytes": size, "seconds": time.monotonic() - first, "delays_ms": delays}


if __name__ == "__main__":
    print(json.dumps(watch_log(*sys.argv[1:3])))
