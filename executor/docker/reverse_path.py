"""Sets the kernel's reverse path filter for a run's bridge, if the engine is on this machine and we have permission."""

from contextlib import suppress
from pathlib import Path

REVERSE_PATH = Path("/proc/sys/net/ipv4/conf")


def enable_reverse_path_filter(bridge: str) -> None:
    """Make the host's kernel drop packets from this bridge whose sender it has no route to: that is every packet.

    Without the filter a datagram that needs no answer, such as a broadcast, reaches sockets that listen on all
    addresses of the host. If the filter cannot be set here, because the engine is elsewhere, `doctor` checks it.
    """
    with suppress(OSError):
        (REVERSE_PATH / bridge / "rp_filter").write_text("1")
