"""Counts primes with a progress bar, and sets the largest prime as the run's output."""

import sys
import time

import cronium

limit = int((cronium.input() or {}).get("limit", 400_000))
if not 10 <= limit <= 5_000_000:
    sys.exit("The input's limit must be between 10 and 5,000,000.")

GREEN, CYAN, OFF = "\x1b[32m", "\x1b[36m", "\x1b[0m"
print(f"Python {sys.version.split()[0]} looks for primes up to {limit:,}")

started = time.monotonic()
sieve = bytearray([1]) * (limit + 1)
sieve[0:2] = b"\0\0"
root = int(limit**0.5)
shown = 0
for number in range(2, root + 1):
    if sieve[number]:
        sieve[number * number :: number] = bytes(len(range(number * number, limit + 1, number)))
    done = 100 * number // root
    if done >= shown + 10:
        shown = done
        print(f"{CYAN}{'█' * (done * 3 // 10):<30}{OFF} {done:3d} %")
        time.sleep(0.2)

count = sum(sieve)
largest = sieve.rfind(1)
print(f"{GREEN}{count:,} primes{OFF}, the largest is {largest:,} ({time.monotonic() - started:.1f} s)")
print("This line goes to standard error.", file=sys.stderr)
cronium.output({"limit": limit, "count": count, "largest": largest})
