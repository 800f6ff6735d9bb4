"""An image whose volumes and variables would weaken the sandbox: on the disk, or under reserved names."""

import io
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.engine.server import Server

TAG = "cronium/test-volumes:1"
VOLUMES = ["/data", "/data/nested", "/workspace", "/workspace/in", "/tmp", "/dev/shm", "/dev/mqueue", "/a b,c:d"]
VOLUMES += [f"/more/{number}" for number in range(20)]
FILE = """
FROM {image}
ENV CRONIUM_NETWORK=none CRONIUM_RUNTIME_API=http://192.0.2.1 CRONIUM_OTHER=1 OF_THE_IMAGE=kept
VOLUME {volumes}
"""
PROBE = """
import json, os
mounts = {}
with open("/proc/self/mountinfo") as file:
    for line in file:
        words = line.split(" ")
        mounts[words[4].replace("\\\\040", " ")] = words[words.index("-") + 1]
wrote = {}
for path in VOLUMES:
    try:
        with open(os.path.join(path, "probe"), "w") as file:
            file.write("x")
        wrote[path] = [mounts.get(path), os.statvfs(path).f_blocks * os.statvfs(path).f_frsize]
    except OSError as error:
        wrote[path] = error.strerror
ours = {name: value for name, value in os.environ.items() if name.startswith("CRONIUM_") or name == "OF_THE_IMAGE"}
print(json.dumps({"wrote": wrote, "ours": ours}))
""".replace("VOLUMES", json.dumps(VOLUMES))


@pytest.fixture(scope="module")
def image(server: Server, runner_images: dict[str, str]) -> Iterator[str]:
    file = FILE.format(image=runner_images["python"], volumes=json.dumps(VOLUMES)).encode()
    for line in server.docker.build(fileobj=io.BytesIO(file), tag=TAG, rm=True, decode=True, network_mode="none"):
        assert "error" not in line, line
    yield TAG
    server.docker.remove_image(TAG, force=True)


def volumes_of(server: Server) -> set[str]:
    return {row["Name"] for row in server.docker.volumes()["Volumes"] or ()}


def test_an_images_volumes_are_bounded_memory_and_leave_nothing(
    server: Server, innocent: str, said: Callable[[str], dict[str, Any]], image: str
) -> None:
    before = volumes_of(server)
    run_id = server.run(PROBE, "python", image=image)
    wrote = said(run_id)["wrote"]
    assert wrote.pop("/dev/mqueue") == "Read-only file system"
    assert set(wrote) == {*VOLUMES} - {"/dev/mqueue"}
    for path, found in wrote.items():
        assert found[0] == "tmpfs", (path, found)
        assert 0 < found[1] <= 256 * 1024 * 1024, (path, found)
    server.cleaned(run_id)
    assert volumes_of(server) <= before
    rows = server.call("GET", f"/runs/{run_id}/sandbox")["rows"]
    assert [row for row in rows if row["what"] == "volumes on the disk" and row["promise"] and not row["drift"]]


def test_an_images_variables_have_no_name_of_ours(
    server: Server, innocent: str, said: Callable[[str], dict[str, Any]], image: str
) -> None:
    ours = said(server.run(PROBE, "python", image=image))["ours"]
    assert ours["CRONIUM_RUNTIME_API"] == "http://runtime-api:8081"
    assert ours["OF_THE_IMAGE"] == "kept"
    assert not {"CRONIUM_NETWORK", "CRONIUM_OTHER"} & set(ours)
