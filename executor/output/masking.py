"""Pure: removes secrets from a script's output before it is stored or shown. Bytes in, bytes out.

Finds each value also in the encodings that common tools produce. This protects against accidents, not against the
script's author, who can always use another encoding.
"""

import itertools
import json
import re
from collections.abc import Iterable
from typing import Any

from executor.output.encodings import MIN_CHARACTERS, list_encoded_forms, split_value

HIDDEN = b"***"
SHORTEST_GATE = 8
SHARED_GATES = 32
GATES = (b"%", b"\\", b"'", b"+", b"&", b"=", b'"')
_CORE = re.compile(r"[A-Za-z0-9]+")
_ENCODED = re.compile(rb"[A-Za-z0-9+/_-]+")  # the characters of base64 and hexadecimal
_LONG_ENCODED = re.compile(rb"[A-Za-z0-9+/_-]{64,}")
_LETTERS_AND_DIGITS, _DIGITS, _HEX_DIGITS = (
    re.compile(kind) for kind in (rb"[A-Za-z0-9]+", rb"[0-9]+", rb"[0-9a-fA-F]+")
)
_PLAIN_IN_JSON = re.compile(rb'[^"\\\x00-\x1f]+')
Span = tuple[int, int]


def _find_core(value: str) -> bytes:
    return max(_CORE.findall(value), key=len, default="").encode()


def _find_gate(pattern: bytes, cores: list[bytes]) -> bytes:
    # A text without the gate, a rare part of the pattern, does not contain the pattern: the search ends early.
    core = next((core for core in cores if len(core) >= MIN_CHARACTERS and core in pattern), b"")
    return core or (b"" if _ENCODED.fullmatch(pattern) else next((mark for mark in GATES if mark in pattern), b""))


def _find_own_gate(pattern: bytes, gates: Iterable[bytes]) -> bytes:
    # Patterns of one value share a gate if possible. Only SHARED_GATES gates are tried: a large value has a thousand,
    # and a job may have fifty such values.
    for gate in itertools.islice(gates, SHARED_GATES):
        if len(gate) >= SHORTEST_GATE and gate in pattern:
            return gate
    runs = (_DIGITS if _HEX_DIGITS.fullmatch(pattern) else _LETTERS_AND_DIGITS).findall(pattern)
    run = max(runs, key=len, default=b"")
    return run if len(run) >= SHORTEST_GATE else b""  # a longer text is also found faster


def _find_sign(gate: bytes, pattern: bytes) -> bytes:
    whole = gate if len(gate) >= MIN_CHARACTERS else pattern
    return max(_PLAIN_IN_JSON.findall(whole), key=len, default=b"")


class Masker:
    """Replaces each secret by three asterisks. Works on whole lines, or on part of a line with the text around it."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        groups: dict[bytes, set[bytes]] = {}
        for value in values:
            cores = sorted({_find_core(piece) for piece in split_value(value)}, key=len, reverse=True)
            own_gates: dict[bytes, None] = {}  # the gates of this value
            for pattern in sorted(list_encoded_forms(value), key=lambda pattern: (len(pattern), pattern)):
                gate = _find_gate(pattern, cores) or _find_own_gate(pattern, own_gates)
                own_gates[gate] = None
                groups.setdefault(gate, set()).add(pattern)
        self._groups = [(gate, sorted(patterns)) for gate, patterns in groups.items()]
        # A large value has a thousand lines of base64: they are only searched for if the text contains such a line.
        self._other_groups = [group for group in self._groups if not all(map(_LONG_ENCODED.fullmatch, group[1]))]
        self._signs = {_find_sign(gate, pattern) for gate, patterns in self._groups for pattern in patterns}
        lengths = [len(pattern) for _, patterns in self._groups for pattern in patterns]
        # How many bytes on each side of a boundary decide whether a secret lies across it.
        self.context_bytes = max(lengths, default=1) - 1

    def __bool__(self) -> bool:
        return bool(self._groups)

    def mask(self, text: bytes, before: bytes = b"", after: bytes = b"") -> bytes:
        """`text` without secrets. `before` and `after` are up to `context_bytes` bytes around it in the same line."""
        if not self._groups:
            return text
        whole = before + text + after if before or after else text
        return _hide_spans(whole, self._find_spans(whole), len(before), len(before) + len(text))

    def mask_tail(self, tail: bytes, before: bytes, size: int) -> bytes:
        """The last `size` bytes of a partial line, without an end that could become a secret."""
        if not self._groups:
            return tail[-size:]
        window = (before + tail)[-(size + self.context_bytes) :]
        end = len(window) - self._count_held_bytes(window)
        return _hide_spans(window, self._find_spans(window), max(0, len(window) - min(size, len(tail))), end)

    def mask_cut_line(self, tail: bytes, before: bytes) -> bytes:
        """The end of a line that was cut off: a partial secret of at least MIN_CHARACTERS bytes is masked too."""
        if not self._groups:
            return tail
        whole = before + tail
        held = self._count_held_bytes(whole)
        spans = self._find_spans(whole)
        if held >= MIN_CHARACTERS:
            spans = _merge_spans([*spans, (len(whole) - held, len(whole))])
        return _hide_spans(whole, spans, len(before), len(whole))

    def mask_json(self, value: Any) -> Any:
        """Mask strings, keys and numbers of a JSON value. Changes lists and objects in place."""
        if not self._groups:
            return value
        if not self._may_contain_secret(value):
            return value
        box = [value]
        waiting: list[Any] = [box]
        while waiting:
            node = waiting.pop()
            if isinstance(node, dict):
                pairs = [(self._mask_scalar(key), self._mask_scalar(child)) for key, child in node.items()]
                node.clear()
                node.update(pairs)
                waiting += [child for _, child in pairs if isinstance(child, dict | list)]
            else:
                node[:] = [self._mask_scalar(child) for child in node]
                waiting += [child for child in node if isinstance(child, dict | list)]
        return box[0]

    def _may_contain_secret(self, value: Any) -> bool:
        # A fast check of the whole value: masking millions of scalars takes seconds.
        try:
            text = json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")
        except RecursionError:
            return True
        return any(sign in text for sign in self._signs)

    def _mask_scalar(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.mask(value.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass")
        if (
            isinstance(value, int | float)
            and not isinstance(value, bool)
            and self._find_spans(json.dumps(value).encode())
        ):
            return HIDDEN.decode()
        return value

    def _find_spans(self, text: bytes) -> list[Span]:
        spans: list[Span] = []
        for gate, patterns in self._groups if _LONG_ENCODED.search(text) else self._other_groups:
            if gate not in text:
                continue
            for pattern in patterns:
                at = text.find(pattern)
                while at >= 0:
                    spans.append((at, at + len(pattern)))
                    at = text.find(pattern, at + 1)
        return _merge_spans(spans)

    def _count_held_bytes(self, text: bytes) -> int:
        """The length of the longest suffix of `text` that is a prefix of a secret."""
        longest = 0
        for _, patterns in self._groups:
            for pattern in patterns:
                longest = max(longest, _measure_overlap(text, pattern, longest))
        return longest


def _measure_overlap(text: bytes, pattern: bytes, at_least: int) -> int:
    """The length of the longest suffix of `text` that is a proper prefix of `pattern`, if more than `at_least`."""
    head = pattern[:MIN_CHARACTERS]
    at = text.find(head, max(0, len(text) - len(pattern) + 1))
    while 0 <= at < len(text) - at_least:
        if pattern.startswith(text[at:]):
            return len(text) - at
        at = text.find(head, at + 1)
    return next((length for length in range(MIN_CHARACTERS - 1, at_least, -1) if text.endswith(head[:length])), 0)


def _merge_spans(spans: list[Span]) -> list[Span]:
    merged: list[Span] = []
    for start, end in sorted(spans):
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _hide_spans(text: bytes, spans: list[Span], begin: int, end: int) -> bytes:
    if not spans:
        return text if (begin, end) == (0, len(text)) else text[begin:end]
    parts, at = [], begin
    for start, stop in spans:
        if stop <= begin or start >= end:
            continue
        parts += [text[at:start], HIDDEN]
        at = stop
    return b"".join([*parts, text[at:end]])
