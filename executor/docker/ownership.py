"""Decides whether a container or network belongs to this instance: by its name, which follows from the run's id, and by
labels that Cronium set.

Labels alone prove nothing: they can be copied, and an image committed from a run's container passes them on.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from executor import naming
from executor.docker.errors import ImageMissing
from executor.docker.models import ContainerState, EngineObject, ImageFacts
from executor.spec import SandboxSpec


class ImageSource(Protocol):
    def describe_image(self, reference: str) -> ImageFacts: ...


def filter_own(images: ImageSource, objects: Iterable[EngineObject]) -> list[EngineObject]:
    inherited: dict[str, str] = {}
    own = []
    for item in objects:
        if item.name not in _list_expected_names(item.kind, item.role, item.run_id):
            continue
        if item.image_id not in inherited:
            inherited[item.image_id] = _find_run_of_image(images, item.image_id)
        if inherited[item.image_id] != item.run_id:
            own.append(item)
    return own


def is_container_of(images: ImageSource, spec: SandboxSpec, state: ContainerState) -> bool:
    return _is_labelled(spec, state.labels) and _find_run_of_image(images, state.image_id) != spec.run_id


def is_network_of(spec: SandboxSpec, answer: Mapping[str, Any]) -> bool:
    return _is_labelled(spec, answer.get("Labels") or {})


def _is_labelled(spec: SandboxSpec, labels: Mapping[str, str]) -> bool:
    expected = {naming.LABEL_INSTANCE: spec.instance, naming.LABEL_RUN: spec.run_id}
    return all(labels.get(label) == value for label, value in expected.items())


def _list_expected_names(kind: str, role: str, run_id: str) -> tuple[str, ...]:
    names = {
        ("container", "main"): (naming.name_main(run_id),),
        ("container", "sidecar"): (naming.name_sidecar(run_id),),
        ("network", "network"): (naming.name_network(run_id), naming.name_egress_network(run_id)),
    }
    return names.get((kind, role), ())


def _find_run_of_image(images: ImageSource, image_id: str) -> str:
    # A container inherits the labels of its image.
    if not image_id:
        return ""
    try:
        return images.describe_image(image_id).labels.get(naming.LABEL_RUN, "")
    except ImageMissing:  # removed by force while an exited container still uses it
        return ""
