"""Checks of this machine: free disk space, permissions of the data folder, and the kernel's reverse path filter."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings

from cronium_admin.core.command_line import list_own_paths
from cronium_admin.core.data_folder import find_unrestricted
from cronium_admin.workers.health.probe import HealthProbe
from cronium_admin.workers.health.results import CheckResult, State
from executor.docker.models import find_image_folder
from executor.docker.reverse_path import REVERSE_PATH

GB = 1024**3


def check_disk(probe: HealthProbe) -> Iterator[CheckResult]:
    places = {"data folder": Path(settings.DATA_DIR)}
    # The same folder if the engine keeps its images itself.
    folders = {find_image_folder(probe.info): "engine's images", probe.info.get("DockerRootDir", ""): "engine's folder"}
    for folder, label in folders.items():
        if folder and Path(folder).is_dir():  # an engine on this machine
            places[label] = Path(folder)
    for label, place in places.items():
        usage = shutil.disk_usage(place)
        description = f"{label} {place}: {usage.free / GB:.1f} GB of {usage.total / GB:.1f} GB free"
        mend = "Free some space; `docker image prune` removes unused images."
        state: State = "failed" if usage.free < GB / 4 else "warning" if usage.free < 2 * GB else "ok"
        yield CheckResult("disk", state, description, "" if state == "ok" else mend)


def check_data_folder(_: HealthProbe) -> Iterator[CheckResult]:
    folder = Path(settings.DATA_DIR)
    if is_open := list(find_unrestricted(*list_own_paths())):
        names = ", ".join(map(str, is_open[:3])) + (f" and {len(is_open) - 3} more" if len(is_open) > 3 else "")
        mend = f"Restart Cronium, which corrects it, or run `chmod -R go= {folder}` as its owner."
        yield CheckResult("data folder", "failed", f"Other users of this machine have access to {names}", mend)
    elif not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        mend = f"Change its owner to user {os.geteuid()}, or set CRONIUM_DATA_DIR to another folder."
        yield CheckResult("data folder", "failed", f"{folder} is not writable", mend)
    else:
        yield CheckResult("data folder", "ok", f"Only its owner has access to {folder}")


def check_reverse_path(_: HealthProbe) -> Iterator[CheckResult]:
    """Datagrams without an answer, such as broadcasts, must not reach this machine from a run's bridge."""
    setting = REVERSE_PATH / "all" / "rp_filter"
    if not setting.exists():
        mend = "On the machine of the engine, run `sysctl -w net.ipv4.conf.all.rp_filter=1`."
        yield CheckResult("reverse path", "warning", "Not checked: the engine runs on another kernel.", mend)
    elif setting.read_text().strip() != "0":
        yield CheckResult("reverse path", "ok", "The kernel drops packets from runs' networks to this machine")
    elif os.access(setting, os.W_OK):
        yield CheckResult(
            "reverse path", "ok", "The worker makes the kernel drop packets from runs' networks to this machine"
        )
    else:
        description = "A run can send one-way datagrams to services that listen on all addresses of this machine"
        mend = "Run `sysctl -w net.ipv4.conf.all.rp_filter=1` as root, and store it in /etc/sysctl.d."
        yield CheckResult("reverse path", "warning", description, mend)
