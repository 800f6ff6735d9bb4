"""A process that only fires schedules; `python -m tests.engine.ticker`. It ends at SIGTERM."""

import signal
import threading

import django

if __name__ == "__main__":
    over = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: over.set())
    django.setup()
    from cronium_admin.schedules.ticker import ScheduleTicker

    ticker = ScheduleTicker()
    ticker.start()
    over.wait()
    ticker.stop()
