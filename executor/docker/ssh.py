"""Tunnels to engines on other machines: one `ssh` process for each address.

`ssh` forwards a local socket to the engine's socket. Connections through the tunnel behave like local ones: any number
at once, each direction closed separately. Keys, known hosts and jump hosts come from the user's `ssh`
configuration.
"""

import atexit
import shutil
import subprocess
import tempfile
import threading
import time
from contextlib import suppress
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

from docker.errors import DockerException

ENGINE_SOCKET = "/var/run/docker.sock"
START_SECONDS, AGAIN_SECONDS = 15.0, 2.0  # to open the tunnel; between two attempts
LAST_LINES, LAST_WORDS = 2, 300
OPTIONS = {
    "BatchMode": "yes",  # no prompts
    "ConnectTimeout": "10",
    "ExitOnForwardFailure": "yes",
    "ServerAliveInterval": "5",  # detects a lost machine within 15 s
    "ServerAliveCountMax": "3",
    "StreamLocalBindMask": "0177",
    "ControlMaster": "no",  # another process could end a shared connection
    "ControlPath": "none",
    "ForwardAgent": "no",
    "ForwardX11": "no",
    "PermitLocalCommand": "no",
    "RequestTTY": "no",
}
# Runs `ssh` and ends it with the parent process, even after SIGKILL: the pipe on standard input closes then. Also
# removes the folder, unless a line was written to the pipe before. A shell's background jobs have no standard input,
# hence descriptor 3.
WRAPPER_SCRIPT = """exec 3<&0 </dev/null
ssh "$@" 3<&- &
ssh=$!
(read -r again <&3; [ "$again" ] || rm -rf "$0"; kill "$ssh") 2>/dev/null &
exec 3<&-
wait "$ssh"; code=$?
kill $! 2>/dev/null
exit "$code"
"""


class TunnelDown(DockerException):
    """No tunnel to the engine's machine. The text holds the error of `ssh`."""


def build_ssh_arguments(url: str) -> list[str]:
    """The arguments of `ssh` for `ssh://[user@]host[:port][/path/of/the/socket]`; ValueError for anything else."""
    parts = urlsplit(url)
    if parts.scheme != "ssh" or not parts.hostname or parts.password is not None:
        raise ValueError("must be ssh://user@host, optionally with a port and the path of the engine's socket")
    host = parts.netloc.rpartition("@")[2]  # as written, because it may be an alias in the configuration of `ssh`
    if parts.port is not None:
        host = host.rpartition(":")[0]
    port = ["-p", str(parts.port)] if parts.port is not None else []
    user = ["-l", parts.username] if parts.username else []
    return [*port, *user, "--", host.strip("[]")]


class Tunnel:
    """A tunnel to one address. Thread-safe."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._ssh_arguments = build_ssh_arguments(url)
        self._remote_socket = urlsplit(url).path.rstrip("/") or ENGINE_SOCKET
        self._lock = threading.Lock()
        self._folder: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._failed_at, self._failure = -AGAIN_SECONDS, ""
        self._is_closed = False

    def ensure_open(self, seconds: float = START_SECONDS) -> str:
        """Open the tunnel, also again after it broke, and return the local socket's URL. TunnelDown after `seconds`."""
        with self._lock:
            if self._is_closed:
                raise TunnelDown(f"The SSH connection to {self._url} was closed.")
            if self._process is None or self._process.poll() is not None:
                if time.monotonic() - self._failed_at < AGAIN_SECONDS:
                    raise TunnelDown(self._failure)
                try:
                    self._start_process(seconds)
                except TunnelDown as error:
                    self._failed_at, self._failure = time.monotonic(), str(error)
                    raise
            return f"unix://{self._socket_path}"

    @property
    def _socket_path(self) -> Path:
        assert self._folder is not None
        return self._folder / "docker.sock"

    def _start_process(self, seconds: float) -> None:
        if not shutil.which("ssh"):
            raise TunnelDown(f"{self._url} needs the program `ssh`. Install openssh-client on this machine.")
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="cronium-ssh-"))
        self._stop_process()
        self._socket_path.unlink(missing_ok=True)
        options = [part for name, value in OPTIONS.items() for part in ("-o", f"{name}={value}")]
        arguments = ["-N", *options, "-L", f"{self._socket_path}:{self._remote_socket}", *self._ssh_arguments]
        with (self._folder / "errors").open("wb") as errors:
            self._process = subprocess.Popen(
                ["sh", "-c", WRAPPER_SCRIPT, str(self._folder), *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                start_new_session=True,  # Ctrl-C must not end the tunnel: the runs there are stopped through it
            )
        self._wait_for_socket(time.monotonic() + seconds)

    def _wait_for_socket(self, deadline: float) -> None:
        assert self._process is not None
        assert self._folder is not None
        while not self._socket_path.exists():
            if self._process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.02)
                continue
            self._stop_process()
            lines = (self._folder / "errors").read_text(errors="replace").split("\n")
            message = " ".join([line.strip() for line in lines if line.strip()][-LAST_LINES:])[-LAST_WORDS:]
            raise TunnelDown(f"No SSH connection to {self._url}: {message.rstrip('.') or 'no answer in time'}.")

    def _stop_process(self) -> None:
        if self._process is None:
            return
        with suppress(subprocess.TimeoutExpired, BrokenPipeError):
            self._process.communicate(b"again\n", 5)
        self._process = None

    def close(self) -> None:
        """End the tunnel and remove its folder. Idempotent."""
        with self._lock:
            self._is_closed = True
            self._stop_process()
            if self._folder:
                shutil.rmtree(self._folder, ignore_errors=True)
                self._folder = None


@cache
def get_tunnel(url: str) -> Tunnel:
    tunnel = Tunnel(url)
    atexit.register(tunnel.close)
    return tunnel
