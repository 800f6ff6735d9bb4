"""`python -m bench [NAME ...]`: the named measurements, or all, one after the other."""

import shutil
import sys

from bench import first_line, growth, log_depth, log_flow, many, recovery

ALL = {
    "first_line": first_line.measure,
    "log_flow": log_flow.measure,
    "log_depth": log_depth.measure,
    "many": many.measure,
    "recovery": recovery.measure,
    "growth": growth.measure,
}

COMPARED_WITH_DOCKER_RUN = {"first_line", "log_flow"}

names = sys.argv[1:] or list(ALL)
for name in names:
    if name not in ALL:
        sys.exit(f"bench: there is no measurement {name!r}; there are {', '.join(ALL)}")
if COMPARED_WITH_DOCKER_RUN.intersection(names) and not shutil.which("docker"):
    sys.exit("bench: the program `docker` is missing; install it (Debian 13: apt-get install docker-cli) and retry.")
for name in names:
    ALL[name]()
