"""`python -m bench [NAME ...]`: the named measurements, or all, one after the other."""

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

for name in sys.argv[1:] or ALL:
    if name not in ALL:
        sys.exit(f"bench: there is no measurement {name!r}; there are {', '.join(ALL)}")
    ALL[name]()
