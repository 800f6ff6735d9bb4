"""Writes into every folder, runs every set-user-id program, opens the kernel's files and reads process 1."""

import json
import os
import shutil
import stat
import subprocess

found, wrote = [], []
for folder, folders, names in os.walk("/"):
    if folder.split("/")[1] in ("proc", "sys"):
        folders.clear()
        continue
    probe = os.path.join(folder, "probe-of-writing")
    try:
        open(probe, "x").close()
        wrote.append(folder)
        os.unlink(probe)
    except OSError:
        pass
    for name in names:
        path = os.path.join(folder, name)
        try:
            status = os.lstat(path).st_mode
            if stat.S_ISREG(status) and status & 0o6000:
                found.append(path)
        except OSError:
            pass


def outcome(path, mode):
    try:
        open(path, mode).close()
        return "open"
    except OSError as error:
        return error.strerror


KERNEL = [
    "/proc/sys/kernel/core_pattern",
    "/proc/sys/kernel/hostname",
    "/proc/sys/vm/overcommit_memory",
    "/proc/sysrq-trigger",
    "/proc/kcore",
    "/dev/mem",
    "/dev/kmsg",
    "/sys/kernel/uevent_helper",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes",
    "/sys/fs/cgroup/cgroup.procs",
    "/sys/fs/cgroup/pids/pids.max",
    "/var/run/docker.sock",
    "/dev/sda",
    "/dev/vda",
]


def run(*words):
    try:
        done = subprocess.run(words, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=10)
        return done.stdout.strip()
    except (OSError, subprocess.TimeoutExpired) as error:
        return type(error).__name__


shutil.copy("/bin/bash", "/tmp/rooted")
os.chmod("/tmp/rooted", 0o6755)
shells = [path for path in ["/tmp/rooted", "/opt/rooted"] if os.path.exists(path)]
ids = {path: run(path, "-p", "-c", "echo $EUID") for path in shells}
become = {path: run(path, "-c", "id -u") for path in found if os.path.basename(path) == "su"}
os.unlink("/tmp/rooted")


def read(path):
    try:
        with open(path, "rb") as file:
            return file.read(1_000_000)
    except OSError:
        return b""


token = os.environ.get("CRONIUM_EXECUTION_TOKEN", "no token").encode()
pids = sorted(filter(str.isdigit, os.listdir("/proc")), key=int)
holders = [pid for pid in pids if token in read(f"/proc/{pid}/environ") + read(f"/proc/{pid}/cmdline")]
one = {
    "command": read("/proc/1/cmdline").decode(errors="replace").split("\0")[0],
    "environment": sorted(
        word.split(b"=")[0].decode(errors="replace") for word in read("/proc/1/environ").split(b"\0") if word
    ),
}
try:
    one["same root"] = os.stat("/proc/1/root").st_ino == os.stat("/").st_ino
except OSError as error:
    one["same root"] = error.strerror
with open("/proc/self/mountinfo") as file:
    mounts = [line.split()[3:5] for line in file]
print(
    json.dumps(
        {
            "wrote": wrote,
            "kernel": {path: outcome(path, "r+b") for path in KERNEL},
            "ids": ids,
            "become": become,
            "set-id": found,
            "holders": holders,
            "pids": len(pids),
            "me": os.getpid(),
            "one": one,
            "mounts": mounts,
        }
    )
)
