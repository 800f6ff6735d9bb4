"""Pure: the engine's multiplexed stream format of a container's output."""

STDOUT, STDERR = 1, 2


class FrameParser:
    """Parses the engine's multiplexed stream: frames with 8 bytes of header (stream, length), then the data."""

    def __init__(self) -> None:
        self._header = b""
        self._stream = 0
        self._missing = 0

    def feed(self, block: bytes) -> list[tuple[int, bytes]]:
        runs: list[tuple[int, list[bytes]]] = []
        at, end = 0, len(block)
        while at < end:
            if not self._missing:
                take = min(8 - len(self._header), end - at)
                self._header += block[at : at + take]
                at += take
                if len(self._header) < 8:
                    break
                self._stream = self._header[0]
                self._missing = int.from_bytes(self._header[4:], "big")
                self._header = b""
                continue
            part = block[at : at + self._missing]
            at += len(part)
            self._missing -= len(part)
            if runs and runs[-1][0] == self._stream:
                runs[-1][1].append(part)
            else:
                runs.append((self._stream, [part]))
        return [(stream, b"".join(parts)) for stream, parts in runs]
