"""Where an engine keeps its images, by what it says about itself; as measured on engines of both image stores."""

from typing import Any

import pytest

from executor.docker.models import find_image_folder

ROOT = "/mnt/docker"
STORE = {"DriverStatus": [["driver-type", "io.containerd.snapshotter.v1"]], "DockerRootDir": ROOT}


@pytest.mark.parametrize(
    ("info", "folder"),
    [
        ({"DriverStatus": [["Backing Filesystem", "extfs"]], "DockerRootDir": ROOT}, ROOT),
        (STORE | {"Containerd": {"Address": "/var/run/docker/containerd/containerd.sock"}}, ROOT),
        (STORE | {"Containerd": {"Address": "/run/containerd/containerd.sock"}}, "/var/lib/containerd"),
        (STORE | {"Containerd": None}, ROOT),
        ({"Containerd": {"Address": "/run/containerd/containerd.sock"}, "DockerRootDir": ROOT}, ROOT),
        ({"DriverStatus": None}, ""),
    ],
)
def test_where_the_images_are(info: dict[str, Any], folder: str) -> None:
    assert find_image_folder(info) == folder
