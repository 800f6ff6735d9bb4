"""Reads the engine's progress streams: of pulls, pushes, builds and loads. Pure.

Once a stream has begun, the engine's answer is 200 and an error is an entry of the stream. Since API 1.48 the fields
`error` and `progress` are deprecated: `errorDetail.message` and `progressDetail` are the ones to read.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

# Layers in one of these states are done; the engine sends no numbers with them.
_DONE = {"Pull complete", "Already exists", "Download complete", "Pushed", "Layer already exists"}
# "Digest: sha256:..." of a pull; "1.0: digest: sha256:... size: 528" of a push, which has no `aux` with containerd's
# image store.
_DIGEST = re.compile(r"\b[Dd]igest: (sha256:[0-9a-f]{64})")
_UNPACKED = {"Pull complete", "Already exists", "Pushed", "Layer already exists"}


def parse_events(blocks: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """The entries of a stream, each a JSON object on a line; blocks may be cut anywhere. Skips what is no object."""
    rest = b""
    for block in blocks:
        *lines, rest = (rest + block).split(b"\n")
        yield from _parse_lines(lines)
    yield from _parse_lines([rest])


def _parse_lines(lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    for line in lines:
        if not line.strip():
            continue
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict):
            yield event


def find_error(event: Mapping[str, Any]) -> str:
    """The error of an entry; empty if it is none."""
    detail = event.get("errorDetail")
    if isinstance(detail, Mapping) and detail.get("message"):
        return str(detail["message"])
    return str(event.get("error") or "")


def find_aux(event: Mapping[str, Any], name: str) -> str:
    """A value of the entry's `aux`: `ID` of a built image, `Digest` of a pushed manifest; empty without it."""
    aux = event.get("aux")
    return str(aux.get(name) or "") if isinstance(aux, Mapping) else ""


@dataclass(frozen=True)
class TransferProgress:
    """How much of a pull or push is done: bytes as far as their number is known, and layers."""

    done_bytes: int = 0
    total_bytes: int = 0
    done_layers: int = 0
    total_layers: int = 0


@dataclass
class _Layer:
    done: int = 0
    total: int = 0
    is_complete: bool = False


@dataclass
class TransferMeter:
    """Sums the entries of a pull or push. `digest` is the manifest's, once the engine has reported it."""

    digest: str = ""
    _layers: dict[str, _Layer] = field(default_factory=dict)

    def add(self, event: Mapping[str, Any]) -> None:
        status = str(event.get("status") or "")
        if found := _DIGEST.search(status):
            self.digest = found[1]
        self.digest = find_aux(event, "Digest") or self.digest
        name = str(event.get("id") or "")
        if not name or status.startswith("Pulling from"):
            return
        layer = self._layers.setdefault(name, _Layer())
        detail = event.get("progressDetail")
        # "Extracting" counts from zero again: the bytes of the transfer are the ones to show.
        if isinstance(detail, Mapping) and detail.get("total") and status != "Extracting":
            layer.done, layer.total = int(detail.get("current") or 0), int(detail["total"])
        if status in _DONE:
            layer.done = layer.total
        layer.is_complete = layer.is_complete or status in _UNPACKED

    def read(self) -> TransferProgress:
        layers = self._layers.values()
        return TransferProgress(
            sum(layer.done for layer in layers),
            sum(layer.total for layer in layers),
            sum(layer.is_complete for layer in layers),
            len(layers),
        )
