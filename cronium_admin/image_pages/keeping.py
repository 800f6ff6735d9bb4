"""Why an image stays on its hosts or may go there, and which hosts have another build of it. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cronium_admin.images.inventory import HostPresence
from cronium_admin.images.models import HostDisk, PulledImage

SHORT_ID = 12  # characters
_NAMED = 2  # hosts

Verdicts = Mapping[tuple[str, str], Mapping[str, Any]]  # those of `HostDisk`, by host and reference


@dataclass(frozen=True)
class Keeping:
    """`words` are a sentence's beginning, such as "stays: the job x uses it"; empty while no host has decided."""

    words: str = ""
    may_go: bool = False
    title: str = ""  # every host in words, if they differ


def collect_verdicts(disks: Iterable[HostDisk]) -> Verdicts:
    return {(disk.host, item["reference"]): item for disk in disks for item in disk.verdicts if "reference" in item}


def summarize_keeping(reference: str, present: Sequence[HostPresence], verdicts: Verdicts) -> Keeping:
    found = {host.host: verdicts[host.host, reference] for host in present if (host.host, reference) in verdicts}
    if not found:
        return Keeping()
    lines = {host: f"{'may go' if item['removable'] else 'stays'}: {item['why']}" for host, item in found.items()}
    title = "\n".join(f"{host}: {line}" for host, line in lines.items()) if len(set(lines.values())) > 1 else ""
    going = [host for host, item in found.items() if item["removable"]]
    if not going:
        return Keeping(next(iter(lines.values())), False, title)
    where = "" if len(going) == len(present) else f"on {_name_hosts(going)} it "
    return Keeping(f"{where}may go: {found[going[0]]['why']}", True, title)


@dataclass
class _Build:
    hosts: list[HostPresence] = field(default_factory=list)
    ids: set[str] = field(default_factory=set)  # of the engines, and digests of registries


def describe_differences(present: Sequence[HostPresence], pulls: Iterable[PulledImage]) -> str:
    """Which hosts have another build than most, such as "1 of 3 hosts has another build: east 12ab34cd56ef"."""
    digests = {pull.host: pull.digest for pull in pulls if pull.digest}
    builds: list[_Build] = []
    for host in present:
        # Two image stores name one image differently; the registry's digest is the same in both.
        names = {host.image_id, digests.get(host.host, "")} - {""}
        build = next((each for each in builds if each.ids & names), None)
        if build is None:
            build = _Build()
            builds.append(build)
        build.hosts.append(host)
        build.ids |= names
    if len(builds) < 2:
        return ""
    most = max(builds, key=lambda each: len(each.hosts))
    others = [host for each in builds if each is not most for host in each.hosts]
    named = [f"{host.host} {shorten_id(host.image_id)}" for host in others[:_NAMED]]
    more = f" and {len(others) - _NAMED} more" if len(others) > _NAMED else ""
    verb = "has" if len(others) == 1 else "have"
    return f"{len(others)} of {len(present)} hosts {verb} another build: {', '.join(named)}{more}"


def shorten_id(image_id: str) -> str:
    return image_id.removeprefix("sha256:")[:SHORT_ID]


def _name_hosts(hosts: Sequence[str]) -> str:
    return ", ".join(hosts) if len(hosts) <= _NAMED else f"{len(hosts)} hosts"
