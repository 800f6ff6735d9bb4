"""Whether this process acts for its host: the host's lease, and what is taken over with it."""

import fcntl
import logging
import os
import secrets
import socket
from typing import IO, Any

from django.conf import settings

from cronium_admin.workers import lease

log = logging.getLogger("cronium.host")


class Leadership:
    """The right to claim, adopt and reap for one host name. Used by one thread at a time."""

    def __init__(self, host: str) -> None:
        self.host = host
        self._file = self._open_lock_file()
        # Who held this very lock, on this machine: a process of another data folder holds another one, and may live.
        which = os.fstat(self._file.fileno())
        self._place = f"{host}@{socket.gethostname()}:{which.st_dev:x}-{which.st_ino:x}:"
        self.owner = f"{self._place}{os.getpid()}:{secrets.token_hex(4)}"
        self._locked = False
        self._is_standby = False

    def acquire(self) -> bool:
        """Begin to act. At once when the one before is known to be dead, else when its lease is over."""
        taken = lease.acquire_lease(self.host, self.owner, self._place, is_locked=self._try_lock())
        if not taken:
            self._release_lock()  # only who acts holds it: another that stands by may be the one to follow
            if not self._is_standby:
                log.warning("another worker acts for host %s; this one stands by", self.host)
        self._is_standby = not taken
        return taken

    def renew(self, facts: dict[str, Any]) -> bool:
        """Go on acting; False when the lease ran out and another process has it now."""
        if lease.renew_lease(self.host, self.owner, {**facts, "owner_locked": self._try_lock()}):
            return True
        log.error("another worker acts for host %s now: this one lets go of its runs and stands by", self.host)
        self._release_lock()
        return False

    def release(self) -> None:
        """Let the next process begin at once."""
        lease.release_lease(self.host, self.owner)
        self._release_lock()

    def _open_lock_file(self) -> IO[bytes]:
        name = "".join(letter if letter.isalnum() else "_" for letter in self.host)
        settings.DATA_DIR.mkdir(parents=True, exist_ok=True)
        return (settings.DATA_DIR / f"worker-{name}.lock").open("wb")

    def _try_lock(self) -> bool:
        """Whether we hold the lock; if so, all who held it before us are dead, or have let go of the host's lease."""
        if not self._locked:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                return False
            self._locked = True
        return True

    def _release_lock(self) -> None:
        if self._locked:
            fcntl.flock(self._file, fcntl.LOCK_UN)
            self._locked = False
