"""Binds a prepared sandbox to one run: the configuration of its sidecar, and the handler of the script's requests."""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from executor.sandbox.networks import Networks
from executor.spec import Reply, RunSpec


def _ignore_phase(phase: str) -> None:
    pass


@dataclass(frozen=True)
class Binding:
    """One run, for a sandbox. The callbacks are called from the sandbox's threads."""

    spec: RunSpec
    answer_request: Callable[[str, Any], Reply]  # a request of the script: operation and body
    record_event: Callable[[str, str], None]  # kind and message
    note_phase: Callable[[str], None] = _ignore_phase  # that the sandbox reached a phase of the run's trace


def build_configuration(spec: RunSpec, networks: Networks) -> dict[str, Any]:
    """The first line that a sidecar reads (docs/runtime-api.md)."""
    configuration: dict[str, Any] = {
        "run_id": spec.run_id,
        "token_sha256": hashlib.sha256(spec.token.encode()).hexdigest(),
        "token_expires_at": spec.token_expires_at,
        "token_seconds": max(0.0, spec.token_expires_at - time.time()),
        "context": dict(spec.context),
        "input": spec.input,
    }
    if networks.inside and networks.outside:
        configuration["egress"] = {
            "address": str(networks.inside.sidecar),
            "allow": spec.egress,
            "networks": [str(subnet) for subnet in networks.subnets],
            # The list of a build has the mirrors of the settings only, which may be inside.
            **({"private": True} if spec.is_build else {}),
        }
    return configuration
