"""Copies the images of runs from the machine's engine to the engine of the environment."""

import os
from contextlib import closing

import docker

from tests.engine.second import MACHINES_ENGINE, load_images

with closing(docker.APIClient(MACHINES_ENGINE)) as machine:
    ours = sorted(
        tag
        for row in machine.images()
        for tag in row["RepoTags"] or []
        if tag.startswith(("cronium/ru", "cronium/base"))
    )
load_images(ours, os.environ["CRONIUM_DOCKER_HOST"])
