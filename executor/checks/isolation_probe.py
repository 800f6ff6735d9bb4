"""Runs inside a sandbox, tries to escape from it, and prints the results as one JSON list.

Sent as a script by `isolation`, so it uses only Python's standard library and nothing of Cronium.
"""

import ctypes
import errno
import json
import os
import socket
import stat
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

SECONDS = 1.0  # network timeout
# With these errors the call did not reach the kernel's implementation.
REFUSED = {errno.EPERM, errno.EACCES, errno.ENOSYS, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT, errno.ESOCKTNOSUPPORT}
NUMBERS = {  # x86_64, aarch64
    "io_uring_setup": (425, 425),
    "ptrace": (101, 117),
    "keyctl": (250, 219),
    "mount": (165, 40),
    "unshare": (272, 97),
}
NEW_USER, NEW_MOUNT, NEW_NET = 0x10000000, 0x20000, 0x40000000
ENGINE_SOCKETS = (
    "/var/run/docker.sock",
    "/run/docker.sock",
    "/run/podman/podman.sock",
    "/run/containerd/containerd.sock",
)
FOLDERS = ("/", "/etc", "/usr", "/usr/local", "/usr/local/lib", "/var", "/var/tmp", "/opt", "/home", "/root")  # noqa: S108
PROGRAMS = ("/bin", "/sbin", "/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/lib", "/usr/libexec")


def try_connection(address: str, port: int) -> str:
    try:
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as connection:
            connection.settimeout(SECONDS)
            connection.connect((address, port))
            connection.getpeername()  # fails if the kernel reported a late "unreachable" as a connection
        return "connected"
    except ConnectionRefusedError:
        return "refused, so it was reached"
    except OSError:
        return ""


def try_connections(targets: list[tuple[str, int]]) -> str:
    with ThreadPoolExecutor(24) as pool:
        answers = list(pool.map(lambda target: try_connection(*target), targets))
    return ", ".join(f"{a} port {p}: {how}" for (a, p), how in zip(targets, answers, strict=True) if how)


def try_resolve(name: str) -> str:
    try:
        return f"{name} is {socket.getaddrinfo(name, 80)[0][4][0]}"
    except OSError:
        pass
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    question = struct.pack(">6H", 7, 0x100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">2H", 1, 1)
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as connection:
            connection.settimeout(SECONDS)
            connection.sendto(question, ("127.0.0.11", 53))
            _, flags, _, answers, authorities, _ = struct.unpack(">6H", connection.recv(512)[:12])
    except (OSError, struct.error):
        return ""
    # An error of the engine itself has no records; an error from an outside server has authority records.
    return f"127.0.0.11 answered about {name}" if answers or authorities or not flags & 0xF else ""


def try_system_call(number: tuple[int, int], *arguments: Any) -> str:
    """Empty if the system call was refused, else its effect. Runs in a child, because some calls change the caller."""
    column = {"x86_64": 0, "aarch64": 1}.get(os.uname().machine)
    if column is None:
        return ""
    child = os.fork()
    if not child:
        library = ctypes.CDLL(None, use_errno=True)
        c_arguments = [ctypes.c_long(argument) if isinstance(argument, int) else argument for argument in arguments]
        done = library.syscall(ctypes.c_long(number[column]), *c_arguments) >= 0
        os._exit(0 if done else ctypes.get_errno())
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status):
        return ""  # killed by seccomp
    code = os.WEXITSTATUS(status)
    return "" if code in REFUSED else "it worked" if code == 0 else f"not filtered ({errno.errorcode.get(code)})"


def try_vsock() -> str:
    try:
        socket.socket(40, socket.SOCK_STREAM).close()
        return "a socket to the hypervisor was opened"
    except OSError as error:
        return "" if error.errno in REFUSED else str(error)


def try_becoming_root() -> str:
    with open("/proc/self/status") as file:
        status = dict(line.rstrip().split(":\t", 1) for line in file if ":\t" in line)
    wrong = [] if status.get("NoNewPrivs") == "1" else ["privileges may be gained"]
    wrong += [f"{name} is {status.get(name)}" for name in ("CapEff", "CapBnd") if int(status.get(name, "1"), 16)]
    try:
        os.setuid(0)
        wrong.append("setuid(0) worked")
    except OSError:
        pass
    wrong += [f"{path} ran as root" for path in _find_setuid_programs() if _runs_as_root(path)]
    return ", ".join(wrong)


def _find_setuid_programs() -> list[str]:
    programs = []
    for folder in PROGRAMS:
        try:
            entries = list(os.scandir(folder))
        except OSError:
            continue
        for entry in entries:
            try:
                mode = entry.stat(follow_symlinks=False)
            except OSError:
                continue
            if stat.S_ISREG(mode.st_mode) and mode.st_mode & stat.S_ISUID and mode.st_uid == 0:
                programs.append(entry.path)
    return programs[:5]


def _runs_as_root(path: str) -> bool:
    try:
        process = subprocess.Popen([path], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    except OSError:
        return False
    time.sleep(0.05)
    try:
        with open(f"/proc/{process.pid}/status") as file:
            users = next(line for line in file if line.startswith("Uid:")).split()
        return users[2] == "0"
    except (OSError, StopIteration):
        return False
    finally:
        process.kill()
        process.wait()


def try_writing() -> str:
    written = []
    for folder in FOLDERS:
        path = os.path.join(folder, ".cronium-canary")
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
            written.append(folder)
            os.unlink(path)
        except OSError:
            pass
    if not os.statvfs("/").f_flag & os.ST_RDONLY:
        written.append("/ is mounted to be written")
    return ", ".join(written)


IN_MEMORY = {"tmpfs", "ramfs", "proc", "sysfs", "devpts", "mqueue", "devtmpfs", "cgroup", "cgroup2"}


def find_disk_mounts() -> str:
    wrong = []
    with open("/proc/self/mountinfo") as file:
        lines = [line.split(" ") for line in file]
    for line in lines:
        path = line[4].replace("\\040", " ")
        kind = line[line.index("-") + 1]
        if not os.access(path, os.W_OK) or os.statvfs(path).f_flag & os.ST_RDONLY:
            continue
        if kind not in IN_MEMORY:
            wrong.append(f"{path} is a {kind}")
        elif kind == "mqueue" and os.path.isdir(path):
            wrong.append(f"{path} takes message queues")
        elif kind == "tmpfs" and os.path.isdir(path) and not os.statvfs(path).f_blocks:
            wrong.append(f"{path} has no size limit")
    return ", ".join(wrong)


def try_engine_socket() -> str:
    for path in ENGINE_SOCKETS:
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.connect(path)
            return f"{path} answers"
        except OSError:
            continue
    return ""


def list_gateways(path: str = "/proc/net/route") -> list[str]:
    """The address that the bridge of each connected network would have: the first one."""
    gateways = []
    with open(path) as file:
        for line in file.readlines()[1:]:
            network = int(line.split()[1], 16)  # in the machine's byte order
            first = int.from_bytes(network.to_bytes(4, sys.byteorder), "big") + 1
            gateways.append(socket.inet_ntoa(first.to_bytes(4, "big")))
    if not gateways:
        raise OSError("there is no route to the run's own network")
    return gateways


def build_probes(targets: dict[str, Any]) -> dict[str, Callable[[], str]]:
    host = [(address, targets["port"]) for address in [*list_gateways(), *targets["host"]]]
    return {
        "host": lambda: try_connections(host),
        "neighbour": lambda: try_connections([(address, port) for address, port in targets["neighbour"]]),
        "DNS": lambda: try_resolve(targets["name"]),
        "vsock": try_vsock,
        "io_uring": lambda: try_system_call(NUMBERS["io_uring_setup"], 1, 0),
        "ptrace": lambda: try_system_call(NUMBERS["ptrace"], 0, 0, 0, 0),
        "keyctl": lambda: try_system_call(NUMBERS["keyctl"], 0, -3, 0, 0, 0),
        "mount": lambda: try_system_call(NUMBERS["mount"], b"none", b"/no/such/folder", b"tmpfs", 0, 0),
        "unshare": lambda: "; ".join(
            filter(None, (try_system_call(NUMBERS["unshare"], flag) for flag in (NEW_USER, NEW_MOUNT, NEW_NET)))
        ),
        "setuid": try_becoming_root,
        "root file system": try_writing,
        "disk": find_disk_mounts,
        "engine socket": try_engine_socket,
    }


def run_probe(probe: Callable[[], str]) -> dict[str, Any]:
    try:
        got = probe()
    except Exception as error:  # noqa: BLE001 - a probe that cannot run gives no result, and reports its error
        return {"held": None, "found": str(error) or type(error).__name__}
    return {"held": not got, "found": got}


def main() -> None:
    probes = build_probes(json.loads(os.environ["CANARY_TARGETS"]))
    # Network probes wait for a timeout, so they run in parallel. The others fork, so they run first, one by one, before
    # any thread.
    waiting = ("host", "neighbour", "DNS")
    answers = {name: run_probe(probes[name]) for name in probes if name not in waiting}
    with ThreadPoolExecutor(len(waiting)) as pool:
        answers |= dict(zip(waiting, pool.map(lambda name: run_probe(probes[name]), waiting), strict=True))
    sys.stdout.write(json.dumps([{"name": name, **answers[name]} for name in probes]) + "\n")


if __name__ == "__main__":
    main()
