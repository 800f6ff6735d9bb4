"""Tries to reach all given targets by TCP, UDP and name; prints which answered and which packets could be sent."""

import concurrent.futures
import json
import os
import socket
import struct
import time

targets = json.loads(os.environ["TARGETS"])
answers = {}
sent = {}
question = struct.pack(">6H", 7, 0x100, 1, 0, 0, 0) + b"\x06stolen\x07example\x03com\0" + struct.pack(">2H", 1, 1)
BIND_TO_DEVICE, UNICAST_IF = (socket.SOL_SOCKET, 25), (socket.IPPROTO_IP, 50)


def attempt(name, step):
    try:
        step()
        answers[name] = "reached"
    except OSError as error:
        answers[name] = error.strerror or str(error)


def tcp(address, port):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as one:
        one.settimeout(0.3)
        one.connect((address, port))
        one.getpeername()  # a kernel may report a late "unreachable" as a connection


def ask(address):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.settimeout(0.3)
        one.sendto(question, (address, 53))
        code = struct.unpack(">6H", one.recv(512)[:12])[1] & 0xF
        if code:
            raise OSError(f"answered with code {code}")


def shout(address, option=None, value=b""):
    """Sends datagrams that need no route and no answer: only the listener knows whether they arrived."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        if option is not None:
            one.setsockopt(*option, value)
        one.sendto(question, (address, 53))


# In parallel: most of them only wait for a timeout.
with concurrent.futures.ThreadPoolExecutor(20) as pool:
    for name, address, port in targets["tcp"]:
        pool.submit(attempt, f"{name} {address}:{port}", lambda address=address, port=port: tcp(address, port))
    for address in targets["dns"]:
        pool.submit(attempt, f"dns {address}", lambda address=address: ask(address))
    for name in ("stolen-by-name.example.com", "host.docker.internal", "gateway.docker.internal"):
        pool.submit(attempt, f"name {name}", lambda name=name: socket.getaddrinfo(name, 80))
links = dict(socket.if_nameindex())
eth = next((number for number, name in links.items() if name == "eth0"), 1)
for address in ("255.255.255.255", "224.0.0.1", *targets["dns"]):
    ways = (
        ("plain", None, b""),
        ("by device", BIND_TO_DEVICE, b"eth0"),
        ("by index", UNICAST_IF, struct.pack(">I", eth)),
    )
    for way, option, value in ways:
        try:
            shout(address, option, value)
            sent[f"{way} {address}"] = "sent"
        except OSError as error:
            sent[f"{way} {address}"] = error.strerror
time.sleep(1)
with open("/proc/net/route") as file:
    routes = [line.split()[1] for line in file.readlines()[1:]]
print(json.dumps({"answers": answers, "sent": sent, "routes": routes, "links": sorted(links.values())}))
