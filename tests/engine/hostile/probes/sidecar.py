"""Sends forbidden and malformed requests to the sidecar; prints the answers."""

import base64
import contextlib
import hashlib
import hmac
import json
import os
import socket
import time

import cronium

own, token = os.environ["CRONIUM_EXECUTION_ID"], os.environ["CRONIUM_EXECUTION_TOKEN"]
path = f"/executions/{own}/input"
GB = 10**9


def raw(data, more=None, wait=20):
    """The status of the answer to these bytes, or "closed" without an answer."""
    with socket.create_connection(("runtime-api", 8081), 5) as one:
        one.settimeout(wait)
        try:
            one.sendall(data)
            for part in more or ():
                one.sendall(part)
        except OSError:
            pass  # it answered and closed before it had all
        try:
            got = one.recv(4096)
        except OSError:
            return "closed"
    return int(got.split()[1]) if got.startswith(b"HTTP/1.") else "closed"


def get(target, bearer=token, host="runtime-api:8081"):
    head = f"Authorization: Bearer {bearer}\r\n" if bearer is not None else ""
    return raw(f"GET {target} HTTP/1.1\r\nHost: {host}\r\n{head}Connection: close\r\n\r\n".encode())


def part(value):
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def forged(header, claims, key=b""):
    text = part(header) + "." + part(claims)
    mac = hmac.new(key, text.encode(), hashlib.sha256).digest()
    return text + "." + (base64.urlsafe_b64encode(mac).rstrip(b"=").decode() if header["alg"] != "none" else "")


# Tokens made with the signing key, and tokens of other runs: the test provides them when it knows this run's id.
while not (given := cronium.get_variable("given")):
    time.sleep(0.05)
head, body, signature = token.split(".")
claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
longer = claims | {"exp": int(time.time()) + 10**6}
tokens = {
    "none at all": None,
    "empty": "",
    "alg none": forged({"alg": "none", "typ": "JWT"}, claims),
    "alg none with its signature": part({"alg": "none"}) + f".{body}.{signature}",
    "HS256 by the token": forged({"alg": "HS256"}, claims, token.encode()),
    "HS256 by the public key": forged({"alg": "HS256"}, claims, base64.b64decode(given["public_key"])),
    "RS256 in name": part({"alg": "RS256"}) + f".{body}.{signature}",
    "HS256 by nothing": forged({"alg": "HS256"}, claims),
    "kid of a file": forged({"alg": "HS256", "kid": "../../dev/null"}, claims),
    "kid of a key": forged({"alg": "HS256", "kid": "1' UNION SELECT 'x"}, claims, b"x"),
    "longer life": f"{head}.{part(longer)}.{signature}",
    "other audience": f"{head}.{part(claims | {'aud': 'cronium'})}.{signature}",
    "expired": f"{head}.{part(claims | {'exp': 1})}.{signature}",
    "cut": token[:-1],
    "twice": token + token,
    "lower case": token.lower(),
    "with a NUL": token + "\0",
    "very long": "x" * 10_000,
} | given["signed"]
answers = {"tokens": {name: get(path, one) for name, one in tokens.items()}, "others": {}, "targets": {}, "bodies": {}}
for name, one in given["others"].items():
    answers["others"] |= {
        f"token of {name}": get(path, one["token"]),
        f"way of {name}": get(f"/executions/{one['run']}/input"),
        f"both of {name}": get(f"/executions/{one['run']}/input", one["token"]),
    }
tricks = [
    "//" + path[1:],
    "/executions//" + own + "/input",
    path + "/",
    path + "/..",
    "/executions/../executions/x/input",
    path + "%00",
    "/%65xecutions/" + own + "/input",
    "/executions/" + own + "%2finput",
    "/executions/" + own + "/%2e%2e/" + own + "/input",
    "/executions/" + own + "/variables/..%2f..%2finput",
    "/executions/" + own + "/variables/%2e%2e",
    f"http://runtime-api:8081{path}",
    "http://127.0.0.1:22/",
    "http://169.254.169.254/latest",
    path + "\\",
    path.upper(),
    "*",
    "/",
    "/executions/" + "a" * 5000 + "/input",
    "/executions/" + own + "/../" + own + "/secrets",
]
answers["targets"] = {one[:80]: get(one) for one in tricks}
# The same requests, correct and with the run's own token: a sidecar that refuses everything proves nothing.
fine = {"input before": get(path), "health before": get("/health", None)}
post = f"POST /executions/{own}/output HTTP/1.1\r\nHost: r\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n"
chunk = b"f4240\r\n" + b"x" * 1_000_000 + b"\r\n"
bodies = answers["bodies"]
bodies["1 GB by length"] = raw(f"{post}Content-Length: {GB}\r\n\r\n".encode(), (b"x" * 1_000_000 for _ in range(1000)))
bodies["1 GB in chunks"] = raw(f"{post}Transfer-Encoding: chunked\r\n\r\n".encode(), (chunk for _ in range(1000)))
deep = {"lists": b"[" * 100_000 + b"]" * 100_000, "objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000}
for name, text in deep.items():
    bodies["deep " + name] = raw(f"{post}Content-Length: {len(text)}\r\n\r\n".encode() + text)
bodies["two lengths"] = raw(f"{post}Content-Length: 2\r\nContent-Length: 3\r\n\r\n12".encode())
bodies["length and chunks"] = raw(f"{post}Content-Length: 2\r\nTransfer-Encoding: gzip\r\n\r\n12".encode())
bodies["negative length"] = raw(f"{post}Content-Length: -1\r\n\r\n".encode())
bodies["endless head"] = raw(b"GET / HTTP/1.1\r\nX: " + b"x" * 1_000_000)
bodies["many heads"] = raw(b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 100_000 + b"\r\n")
bodies["no HTTP"] = raw(b"\x16\x03\x01\0\xff" + os.urandom(500) + b"\r\n\r\n")
slow = [socket.create_connection(("runtime-api", 8081), 5) for _ in range(80)]
begun = time.monotonic()
for one in slow:
    with contextlib.suppress(OSError):
        one.sendall(b"GET /health HTTP/1.1\r\nX: ")
fine["health beside the slow"] = get("/health", None)
closed = refused = 0
while slow and time.monotonic() < begun + 60:
    for one in list(slow):
        one.settimeout(0.01)
        try:
            one.sendall(b"y")
            if got := one.recv(4096):
                refused += got.startswith(b"HTTP/1.1 4")
                continue
        except TimeoutError:
            continue
        except OSError:
            pass
        closed += 1
        slow.remove(one)
answers["slow"] = {"closed": closed, "refused": refused}
fine |= {"health": get("/health", None), "input": get(path)}
print(json.dumps({"answers": answers, "fine": fine}), flush=True)
while not os.path.exists("/tmp/gate"):
    time.sleep(0.05)
