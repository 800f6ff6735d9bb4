"""A container's log as engine 20.10 stores and sends it, with both log drivers."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime

SIZE = 16 * 1024  # of the engine's own reading


def frame(stream: int, data: bytes) -> bytes:
    """`data` as a frame of the engine's multiplexed streams."""
    return bytes([stream, 0, 0, 0]) + len(data).to_bytes(4, "big") + data


def stamped(stream: int, text: bytes, unix_ns: int) -> bytes:
    """One message of a log with timestamps, in its frame."""
    moment = datetime.fromtimestamp(unix_ns // 10**9, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return frame(stream, f"{moment}.{unix_ns % 10**9:09d}Z ".encode() + text)


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked HTTP body; empty `data` is the end."""
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


class FakeLog:
    """`write` adds output of the container, `end` is its exit; `messages` is the log that the engine sends."""

    def __init__(self, driver: str = "local") -> None:
        self.driver = driver
        self._frames: list[bytes] = []
        self._buffers = {1: b"", 2: b""}
        self._long: dict[int, int | None] = {1: None, 2: None}  # when the long line under way began
        self._came = threading.Condition()
        self._ended = False

    def write(self, stream: int, data: bytes, unix_ns: int) -> None:
        with self._came:
            for part in _lines(data):
                self._buffers[stream] += part
                while len(self._buffers[stream]) >= SIZE and b"\n" not in self._buffers[stream][:SIZE]:
                    self._part(stream, self._buffers[stream][:SIZE], unix_ns)
                    self._buffers[stream] = self._buffers[stream][SIZE:]
                if self._buffers[stream].endswith(b"\n"):
                    self._line(stream, unix_ns)
            self._came.notify_all()

    def end(self, unix_ns: int = 0) -> None:
        with self._came:
            for stream, begun in self._buffers.items():
                if begun:
                    self._part(stream, begun, unix_ns)
            self._buffers = {1: b"", 2: b""}
            self._ended = True
            self._came.notify_all()

    def _line(self, stream: int, unix_ns: int) -> None:
        line, began = self._buffers[stream], self._long[stream]
        if began is not None and self.driver == "local":
            line = line[:-1]  # engine 20.10 drops the newline
        self._add(stream, line, unix_ns if began is None else began)
        self._buffers[stream], self._long[stream] = b"", None

    def _part(self, stream: int, text: bytes, unix_ns: int) -> None:
        began = self._long[stream]
        self._long[stream] = began = unix_ns if began is None else began
        self._add(stream, text, began)

    def _add(self, stream: int, text: bytes, unix_ns: int) -> None:
        if self.driver != "local":
            text = "".join(_as_json(text)).encode()
        self._frames.append(stamped(stream, text, unix_ns))

    def messages(self, follow: bool, new_only: bool = False) -> Iterator[bytes]:
        """The frames from the first one, or from this call on; with `follow` until the end, without the last
        unterminated message."""
        return self._messages(len(self._frames) if new_only else 0, follow)

    def _messages(self, at: int, follow: bool) -> Iterator[bytes]:
        while True:
            with self._came:
                frames, ended = self._frames[at:], self._ended
                if not frames and follow and not ended:
                    self._came.wait()
                    continue
            if follow and ended and frames and not frames[-1].endswith(b"\n"):
                frames.pop()
                at += 1
            yield from frames
            at += len(frames)
            if ended or not follow:
                return


def _lines(data: bytes) -> list[bytes]:
    parts = data.split(b"\n")
    return [part + b"\n" for part in parts[:-1]] + ([parts[-1]] if parts[-1] else [])


def _as_json(text: bytes) -> Iterator[str]:
    """Replaces every byte that belongs to no UTF-8 character by U+FFFD."""
    while text:
        try:
            yield text.decode()
            return
        except UnicodeDecodeError as error:
            yield text[: error.start].decode() + "\ufffd"
            text = text[error.start + 1 :]
