#!/usr/bin/env python3
"""Starts the browser of CRONIUM_STEADY_BROWSER without netlink sockets, so that it hears of no change of the network.

Chromium fails the open requests of a page with ERR_NETWORK_CHANGED when an interface gets an address. Every run makes
networks, so it would happen all the time. Chromium works without netlink sockets: its address tracker then reports that
the machine is online. A seccomp filter refuses them (prctl(2), seccomp(2)); it survives exec, and children inherit it.
"""

import ctypes
import os
import struct
import sys

SOCKET_CALLS = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198)}  # audit architecture, number of socket(2)
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
LOAD, EQUALS, RETURN = 0x20, 0x15, 0x06  # BPF: load a word of seccomp_data; jump if equal; return
ALLOW, REFUSE = 0x7FFF0000, 0x00050000 | 97  # with EAFNOSUPPORT
AF_NETLINK = 16


def refuse_netlink() -> None:
    architecture, number = SOCKET_CALLS[os.uname().machine]
    steps = [
        (LOAD, 0, 0, 4),
        (EQUALS, 0, 5, architecture),
        (LOAD, 0, 0, 0),
        (EQUALS, 0, 3, number),
        (LOAD, 0, 0, 16),  # the first argument
        (EQUALS, 0, 1, AF_NETLINK),
        (RETURN, 0, 0, REFUSE),
        (RETURN, 0, 0, ALLOW),
    ]
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    header = struct.pack("HxxxxxxP", len(steps), ctypes.addressof(program))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, header):
        raise OSError(ctypes.get_errno(), "no seccomp filter for the browser")


if __name__ == "__main__":
    if os.uname().machine in SOCKET_CALLS:
        refuse_netlink()
    browser = os.environ["CRONIUM_STEADY_BROWSER"]
    os.execv(browser, [browser, *sys.argv[1:]])
