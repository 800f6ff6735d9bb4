"""`python -m bench [rounds]`: all measurements, one after the other."""

import sys

from bench import first_line

first_line.measure(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
