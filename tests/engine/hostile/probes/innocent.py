"""Listens, checks its sidecar and its files, and ticks, until the test ends it; then prints its observations."""

import hashlib
import json
import os
import socket
import urllib.request

import cronium

listener = socket.create_server(("0.0.0.0", 9000))
listener.settimeout(0.2)
token = os.environ["CRONIUM_EXECUTION_TOKEN"]
visitors = ticks = 0
digest = hashlib.sha256(b"innocent")
while not os.path.exists("/tmp/gate"):
    try:
        listener.accept()[0].close()
        visitors += 1
    except TimeoutError:
        pass
    healthy = urllib.request.urlopen("http://runtime-api:8081/health", timeout=10).status == 200
    ticks += 1
    digest.update(str(ticks).encode())
    seen = {"tick": ticks, "visitors": visitors, "healthy": healthy, "files": sorted(os.listdir("/workspace"))}
    print(json.dumps(seen | {"token": token[::-1], "digest": digest.hexdigest()}), flush=True)
assert cronium.input() == {"who": "innocent"}
cronium.output({"ticks": ticks, "visitors": visitors, "digest": digest.hexdigest()})
