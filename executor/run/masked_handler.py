"""Masks secrets in everything that a script passes to the run's handler beside its log, and keeps the last output."""

from typing import Any

from executor import failpoints
from executor.output.hints import LOOKED_AT_BYTES, LOOKED_AT_LINES
from executor.output.masking import Masker
from executor.spec import Batch, Reply, RunHandler


class MaskedHandler:
    """The callbacks of a run's sandbox and follower. Batches are already masked."""

    def __init__(self, handler: RunHandler, masker: Masker) -> None:
        self._handler = handler
        self._masker = masker
        self.last_output = b""  # masked

    def answer_request(self, operation: str, body: Any) -> Reply:
        # The output value is masked, because it is shown like the log.
        if operation == "output" and isinstance(body, dict) and "output" in body:
            body = {**body, "output": self._masker.mask_json(body["output"])}
        return self._handler.answer_request(operation, body)

    def record_event(self, kind: str, message: str) -> None:
        # The host names of connections come from the script.
        self._handler.record_event(kind, str(self._masker.mask_json(message)))

    def append(self, batch: Batch) -> None:
        self._handler.append(batch)
        for segment in batch.segments[-LOOKED_AT_LINES:]:
            self.last_output = (self.last_output + segment.text[-LOOKED_AT_BYTES:])[-LOOKED_AT_BYTES:]
        failpoints.hit("line-stored")
