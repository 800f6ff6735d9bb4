"""This machine: room on its disks, and what its kernel lets through."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings

from cronium_admin.core.command_line import list_own_paths
from cronium_admin.core.data_folder import find_unrestricted
from cronium_admin.workers.health.probe import HealthProbe
from cronium_admin.workers.health.results import CheckResult, State
from executor.docker.reverse_path import REVERSE_PATH

GB = 1024**3


def check_disk(patient: HealthProbe) -> Iterator[CheckResult]:
    places = {"data folder": Path(settings.DATA_DIR)}
    root = Path(patient.info.get("DockerRootDir", ""))
    if root.is_absolute() and root.is_dir():  # an engine on this machine
        places["engine's folder"] = root
    for what, place in places.items():
        usage = shutil.disk_usage(place)
        found = f"{what} {place}: {usage.free / GB:.1f} GB of {usage.total / GB:.1f} GB free"
        mend = "Free some space; `docker image prune` removes images that nothing uses."
        state: State = "failed" if usage.free < GB / 4 else "warning" if usage.free < 2 * GB else "ok"
        yield CheckResult("disk", state, found, "" if state == "ok" else mend)


def check_data_folder(_: HealthProbe) -> Iterator[CheckResult]:
    """Keys, sessions and everything else lie there: no other user of this machine may read it."""
    folder = Path(settings.DATA_DIR)
    if is_open := list(find_unrestricted(*list_own_paths())):
        names = ", ".join(map(str, is_open[:3])) + (f" and {len(is_open) - 3} more" if len(is_open) > 3 else "")
        mend = f"Start Cronium once more, which mends it, or run `chmod -R go= {folder}` as its owner."
        yield CheckResult("data folder", "failed", f"Other users of this machine have access to {names}", mend)
    elif not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        mend = f"Make it a folder of user {os.geteuid()}, or set CRONIUM_DATA_DIR to another."
        yield CheckResult("data folder", "failed", f"{folder} can't be written", mend)
    else:
        yield CheckResult("data folder", "ok", f"{folder} is for its owner alone")


def check_reverse_path(_: HealthProbe) -> Iterator[CheckResult]:
    """Datagrams that want no answer, such as broadcasts, must not reach this machine from a run's bridge."""
    setting = REVERSE_PATH / "all" / "rp_filter"
    if not setting.exists():
        mend = "On the machine of the engine, run `sysctl -w net.ipv4.conf.all.rp_filter=1`."
        yield CheckResult("reverse path", "warning", "Not checked: the engine's kernel is not this machine's.", mend)
    elif setting.read_text().strip() != "0":
        yield CheckResult("reverse path", "ok", "The kernel drops what comes from a run's network to this machine")
    elif os.access(setting, os.W_OK):
        yield CheckResult("reverse path", "ok", "The worker has the kernel drop what comes from a run's network")
    else:
        found = "A run can send datagrams without an answer to what listens on every address of this machine"
        mend = "Run `sysctl -w net.ipv4.conf.all.rp_filter=1` as root, and keep it in /etc/sysctl.d."
        yield CheckResult("reverse path", "warning", found, mend)
