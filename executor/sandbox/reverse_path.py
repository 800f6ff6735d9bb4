"""What the kernel of the engine's machine drops of a run's packets, where it is this machine and we may say so."""

from contextlib import suppress
from pathlib import Path

REVERSE_PATH = Path("/proc/sys/net/ipv4/conf")


def enable_reverse_path_filter(bridge: str) -> None:
    """Let the host's kernel drop what comes over this bridge from senders it has no route to, which are all.

    Without it a datagram that wants no answer (a broadcast, say) reaches who listens on every address of the
    host. Where it can't be set, because the engine or its network is elsewhere, `doctor` looks for the same.
    """
    with suppress(OSError):
        (REVERSE_PATH / bridge / "rp_filter").write_text("1")
