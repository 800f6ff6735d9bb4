"""Replaced versions of own images: they keep a name while something may still need them. Decides which may go."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import docker
import docker.errors

from cronium_admin.images.recipes import LABEL_FAMILY, LABEL_IMAGE, LABEL_LANGUAGE, LABEL_RAW
from cronium_admin.images.reference import KEPT, make_kept_reference

LEFTOVER_SECONDS = 3600.0  # a build that is in progress is younger


@dataclass(frozen=True)
class ReplacedImage:
    """An image that has only a kept name. `why` is empty if it may go."""

    reference: str
    image_id: str
    size: int
    title: str  # such as "runner python debian"
    why: str


def keep_image(client: docker.APIClient, image_id: str) -> None:
    """Gives the image a name of its own. Without one, an engine counts it as unused."""
    repository, _, tag = make_kept_reference(image_id).partition(":")
    client.tag(image_id, repository, tag, force=True)


def list_replaced(client: docker.APIClient, users: Mapping[str, str]) -> list[ReplacedImage]:
    """The replaced own images, with the reason why each stays. `users`: the runs that name an image id, in words."""
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in client.images(filters={"label": LABEL_IMAGE}):
        image: dict[str, Any] = client.inspect_image(row["Id"])  # type: ignore[no-untyped-call]
        labels = image["Config"].get("Labels") or {}
        title = " ".join(filter(None, (labels.get(key, "") for key in (LABEL_IMAGE, LABEL_LANGUAGE, LABEL_FAMILY))))
        if any(name.startswith(f"{KEPT}:") for name in image.get("RepoTags") or ()):
            groups[title].append(image)
    return [image for title in sorted(groups) for image in _explain_group(title, groups[title], users)]


def _explain_group(title: str, images: list[dict[str, Any]], users: Mapping[str, str]) -> Iterator[ReplacedImage]:
    # The engine knows when an image got its name; the image's own time is the same for all versions.
    newest_first = sorted(images, key=lambda image: str(image["Metadata"]["LastTagTime"]), reverse=True)
    is_previous = True
    for image in newest_first:
        names: list[str] = image.get("RepoTags") or []
        kept = next(name for name in names if name.startswith(f"{KEPT}:"))
        others = [name for name in names if not name.startswith(f"{KEPT}:")]
        if others:
            why = f"its name is {', '.join(others)}"
        elif users.get(image["Id"]):
            why = users[image["Id"]]
        else:
            why = "the previous version" if is_previous else ""
        is_previous = is_previous and bool(others)
        yield ReplacedImage(kept, image["Id"], image["Size"], title, why)


def list_leftovers(client: docker.APIClient) -> list[ReplacedImage]:
    """What the builder made and an interrupted build did not finish."""
    return [
        ReplacedImage(
            row["Id"],
            row["Id"],
            row["Size"],
            "unfinished build",
            "a build may need it" if time.time() - row["Created"] < LEFTOVER_SECONDS else "",
        )
        for row in client.images(filters={"label": LABEL_RAW})
    ]


def remove_image(client: docker.APIClient, reference: str) -> bool:
    """Removes one name, and the image if it was its last. False if the engine keeps it, because a container uses it."""
    with suppress(docker.errors.APIError):
        client.remove_image(reference)
        return True
    return False
