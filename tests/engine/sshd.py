"""An SSH server for a test on this machine, with separate keys."""

import os
import shutil
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from tests.engine.server import free_port

SSHD = shutil.which("sshd", path=os.environ["PATH"] + ":/usr/sbin:/sbin")
PRIVILEGES = Path("/run/sshd")  # sshd insists on this folder, which a machine's own start makes
SSHD_CONFIG = """
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host
PidFile none
AuthorizedKeysFile {folder}/authorized
AuthenticationMethods publickey
PermitRootLogin prohibit-password
UsePAM no
StrictModes no
"""
SSH_CONFIG = """
Host far-away
  HostName 127.0.0.1
  Port {port}
  User root
  IdentityFile {folder}/own
  IdentitiesOnly yes
  UserKnownHostsFile {folder}/known
  GlobalKnownHostsFile none
"""


class SshServer:
    """An sshd with separate keys and folder on loopback. `path` has an `ssh` that knows it as `far-away`."""

    def __init__(self, folder: Path) -> None:
        assert SSHD
        self.folder, self.port = folder, free_port()
        for name in ("host", "own"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
        shutil.copy(folder / "own.pub", folder / "authorized")
        self.know((folder / "host.pub").read_text())
        for name, text in (("sshd_config", SSHD_CONFIG), ("config", SSH_CONFIG)):
            (folder / name).write_text(text.format(port=self.port, folder=folder))
        self._made = not PRIVILEGES.exists()
        PRIVILEGES.mkdir(exist_ok=True)
        with (folder / "log").open("wb") as log:
            self._process = subprocess.Popen([SSHD, "-D", "-e", "-f", folder / "sshd_config"], stderr=log)
        while b"listening" not in (folder / "log").read_bytes():
            assert self._process.poll() is None, (folder / "log").read_text()
            time.sleep(0.02)

    def know(self, key: str) -> None:
        """Sets the host key that the client expects of this server."""
        (self.folder / "known").write_text(f"[127.0.0.1]:{self.port} {key}")

    @property
    def path(self) -> str:
        bin_folder = self.folder / "bin"
        bin_folder.mkdir(exist_ok=True)
        wrapper = bin_folder / "ssh"
        wrapper.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {self.folder}/config "$@"\n')
        wrapper.chmod(0o755)
        return f"{bin_folder}:{os.environ['PATH']}"

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(10)
        if self._made:
            with suppress(OSError):
                PRIVILEGES.rmdir()
