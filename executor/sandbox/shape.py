"""The digest of a shape: two sandboxes with the same digest differ only in id, epoch and subnet.

It covers the whole bodies of the create calls, so that no setting can be left out.
"""

import hashlib
import json
from dataclasses import fields
from ipaddress import IPv4Network

from executor.docker.models import NO_IMAGE, ImageFacts
from executor.docker.protocol import EngineLike
from executor.sandbox import options
from executor.sandbox.image import find_image
from executor.sandbox.options import Addresses
from executor.spec import Shape

_NO_ADDRESSES = Addresses(IPv4Network("0.0.0.0/29"))


def find_shape_digest(engine: EngineLike, shape: Shape) -> str:
    """The digest of a sandbox created from `shape` now. Raises the errors of the engine; ImageMissing without an
    image."""
    image = find_image(engine, shape)
    sidecar = NO_IMAGE if shape.network == "none" else engine.describe_image(shape.sidecar_image)
    return compute_shape_digest(shape, image, sidecar, engine.version, engine.log_driver)


def compute_shape_digest(
    shape: Shape, image: ImageFacts, sidecar: ImageFacts, engine_version: str, log_driver: str
) -> str:
    """SHA-256 of the create bodies without id, epoch and subnet. The images are those that the engine has found."""
    spec = shape.make_sandbox_spec(run_id="", epoch=0)
    addresses = None if shape.network == "none" else _NO_ADDRESSES
    bodies = {"main": options.build_main_container(spec, addresses, log_driver, image)}
    if addresses:
        bodies["network"] = options.build_network(spec, addresses, engine_version)
        bodies["sidecar"] = options.build_sidecar_container(spec, addresses, sidecar)
    if shape.network == "egress":
        bodies["egress"] = options.build_egress_network(spec, _NO_ADDRESSES)
    return hashlib.sha256(json.dumps(bodies, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def describe_difference(prepared: Shape, wanted: Shape) -> str:
    """The names of the settings that differ, for an error. Empty: an image or the engine has changed."""
    names = (item.name for item in fields(Shape) if getattr(prepared, item.name) != getattr(wanted, item.name))
    return ", ".join(name.replace("_", " ") for name in names)
