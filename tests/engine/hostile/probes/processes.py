"""Kills process 1, leaves three hundred orphans and as many zombies; prints the state of all of them."""

import json
import os
import signal
import time

answers = {}
try:
    os.kill(1, signal.SIGKILL)
    answers["kill 1"] = "sent"
except OSError as error:
    answers["kill 1"] = error.strerror
orphans = 0
while orphans < 300:
    try:
        child = os.fork()
    except BlockingIOError:
        time.sleep(0.05)
        continue
    if not child:
        try:
            if not os.fork():
                os._exit(0)  # an orphan, which becomes a zombie of process 1
        except BlockingIOError:
            os._exit(1)
        os._exit(0)
    orphans += os.waitpid(child, 0)[1] == 0
kept = 0
try:
    while kept < 300:
        if not os.fork():
            os._exit(0)
        kept += 1
except BlockingIOError:
    pass
answers["zombies of mine"], answers["orphans"] = kept, orphans


def zombies_of_init():
    count = 0
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat") as file:
                fields = file.read().rsplit(")", 1)[1].split()
        except OSError:
            continue
        count += fields[0] == "Z" and fields[1] == "1"
    return count


end = time.monotonic() + 10
while zombies_of_init() and time.monotonic() < end:
    time.sleep(0.05)
answers["zombies of process 1"] = zombies_of_init()
print(json.dumps(answers), flush=True)
os.kill(-1, signal.SIGKILL)
print("still here")
