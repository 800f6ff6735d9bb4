"""Leadership of a host: the process with the host's lease claims, adopts and removes; others stand by."""

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
    """This process's leadership of one host. Used by one thread at a time."""

    def __init__(self, host: str) -> None:
        self.host = host
        self._file = self._open_lock_file()
        # Identifies the lock file: a process with another data folder holds another lock, and may be alive.
        status = os.fstat(self._file.fileno())
        self._place = f"{host}@{socket.gethostname()}:{status.st_dev:x}-{status.st_ino:x}:"
        self.owner = f"{self._place}{os.getpid()}:{secrets.token_hex(4)}"
        self._locked = False
        self._is_standby = False
        self.is_leader = False  # set by the heartbeat, once the host's status is stored

    def acquire(self) -> bool:
        """Become leader: at once if the previous leader is known to be dead, else after its lease has expired."""
        is_leader = lease.acquire_lease(self.host, self.owner, self._place, is_locked=self._try_lock())
        if not is_leader:
            self._release_lock()  # only a leader holds the lock: another standby may be next
            if not self._is_standby:
                log.warning("another worker leads host %s; this worker is a standby", self.host)
        self._is_standby = not is_leader
        return is_leader

    def renew(self, facts: dict[str, Any]) -> bool:
        """False if the lease was lost: it expired and another process has it."""
        if lease.renew_lease(self.host, self.owner, {**facts, "owner_locked": self._try_lock()}):
            return True
        log.error("lost lease of host %s to another worker: releases its runs and becomes a standby", self.host)
        self._release_lock()
        return False

    def release(self) -> None:
        lease.release_lease(self.host, self.owner)
        self._release_lock()

    def _open_lock_file(self) -> IO[bytes]:
        name = "".join(letter if letter.isalnum() else "_" for letter in self.host)
        settings.DATA_DIR.mkdir(parents=True, exist_ok=True)
        return (settings.DATA_DIR / f"worker-{name}.lock").open("wb")

    def _try_lock(self) -> bool:
        # While this process holds the lock, every earlier holder is dead or has released the host's lease.
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
