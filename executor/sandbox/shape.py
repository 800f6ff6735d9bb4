"""The digest of a shape: two sandboxes with the same digest differ only in id, epoch and subnet.

It covers the whole bodies of the create calls, so that no setting can be left out.
"""

import hashlib
import json
from dataclasses import dataclass, fields
from ipaddress import IPv4Network
from typing import Any

from executor.docker.models import NO_IMAGE, ImageFacts
from executor.docker.protocol import EngineLike
from executor.sandbox import options
from executor.sandbox.image import find_image
from executor.sandbox.options import Addresses
from executor.sandbox.topology import choose_topology
from executor.spec import SandboxSpec, Shape

_OF_MAIN = {"language", "image", "image_digest", "image_resolved", "limits", "log_limit_bytes", "read_only_root"}
_OF_MAIN |= {"is_build", "runs_dockerfile"}
_NO_ADDRESSES = Addresses(IPv4Network("0.0.0.0/29"))


def find_shape_digest(engine: EngineLike, shape: Shape) -> str:
    """The digest of a sandbox created from `shape` now. Raises the errors of the engine; ImageMissing without an
    image."""
    image = find_image(engine, shape)
    sidecar = NO_IMAGE if shape.network == "none" else engine.describe_image(shape.sidecar_image)
    return compute_shape_digest(shape, image, sidecar, EngineTraits.read(engine))


def find_stem_digest(engine: EngineLike, shape: Shape) -> str:
    """The same for a stem, which has no main: equal for all shapes that one stem fits. Empty without such a stem."""
    traits = EngineTraits.read(engine)
    if choose_topology(shape, traits.default_runtime) == "apart":
        return ""
    return compute_stem_digest(shape, engine.describe_image(shape.sidecar_image), traits)


@dataclass(frozen=True)
class EngineTraits:
    """What the create bodies depend on beside the shape and its images."""

    version: str
    log_driver: str
    default_runtime: str

    @classmethod
    def read(cls, engine: EngineLike) -> "EngineTraits":
        return cls(engine.version, engine.log_driver, engine.default_runtime)


def compute_shape_digest(shape: Shape, image: ImageFacts, sidecar: ImageFacts, traits: EngineTraits) -> str:
    """SHA-256 of the create bodies without id, epoch and subnet. The images are those that the engine has found."""
    spec = _make_blank_spec(shape)
    is_joined = choose_topology(shape, traits.default_runtime) == "joined"
    addresses = None if shape.network == "none" else _NO_ADDRESSES
    main = options.build_main_container(spec, addresses, traits.log_driver, image, "" if is_joined else None)
    return _compute_digest({"main": main, **_build_common_bodies(spec, sidecar, traits, is_joined=is_joined)})


def compute_stem_digest(shape: Shape, sidecar: ImageFacts, traits: EngineTraits) -> str:
    return _compute_digest(_build_common_bodies(_make_blank_spec(shape), sidecar, traits, is_joined=True))


def _make_blank_spec(shape: Shape) -> SandboxSpec:
    return shape.make_sandbox_spec(run_id="", epoch=0)


def _build_common_bodies(
    spec: SandboxSpec, sidecar: ImageFacts, traits: EngineTraits, *, is_joined: bool
) -> dict[str, Any]:
    if spec.network == "none":
        return {}
    bodies = {
        "network": options.build_network(spec, _NO_ADDRESSES, traits.version),
        "sidecar": options.build_sidecar_container(spec, None if is_joined else _NO_ADDRESSES, sidecar),
    }
    if spec.network == "egress":
        bodies["egress"] = options.build_egress_network(spec, _NO_ADDRESSES)
    return bodies


def _compute_digest(bodies: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(bodies, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def describe_difference(prepared: Shape, wanted: Shape, *, is_stem: bool = False) -> str:
    """The names of the settings that differ, for an error. Empty: an image or the engine has changed."""
    names = [item.name for item in fields(Shape) if getattr(prepared, item.name) != getattr(wanted, item.name)]
    return ", ".join(name.replace("_", " ") for name in names if not (is_stem and name in _OF_MAIN))
