"""Whether this process acts for its host: the host's lease, and what is taken over with it."""

import fcntl
import logging
import os
import secrets
import socket
from typing import IO, Any

from django.conf import settings

from cronium_admin.hosts import lease

log = logging.getLogger("cronium.host")


class Acting:
    """The right to claim, adopt and reap for one host name. Used by one thread at a time."""

    def __init__(self, host: str) -> None:
        self.host = host
        self._machine = f"{host}@{socket.gethostname()}:"
        self.owner = f"{self._machine}{os.getpid()}:{secrets.token_hex(4)}"
        self._file: IO[bytes] | None = None
        self._waits = False

    def acquire(self) -> bool:
        """Begin to act. At once when the one before is known to be dead, else when its lease is over."""
        taken = lease.acquire(self.host, self.owner, self._machine if self._lock() else "")
        if not taken and not self._waits:
            log.warning("another worker acts for host %s; this one stands by", self.host)
        self._waits = not taken
        return taken

    def renew(self, facts: dict[str, Any]) -> bool:
        """Go on acting; False when the lease ran out and another process has it now."""
        self._lock()
        if lease.renew(self.host, self.owner, facts):
            return True
        log.error("another worker acts for host %s now: this one lets go of its runs and stands by", self.host)
        self._unlock()
        return False

    def give_up(self) -> None:
        """Let the next process begin at once."""
        lease.give_up(self.host, self.owner)
        self._unlock()

    def _lock(self) -> bool:
        """Whether all earlier processes of this name, on this machine and data folder, are dead: a lock dies with
        its process, and a frozen one keeps it."""
        if self._file is None:
            name = "".join(letter if letter.isalnum() else "_" for letter in self.host)
            file = (settings.DATA_DIR / f"worker-{name}.lock").open("wb")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                file.close()
                return False
            self._file = file
        return True

    def _unlock(self) -> None:
        if self._file:
            self._file.close()
            self._file = None
