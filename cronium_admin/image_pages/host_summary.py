"""Where an image is, in a few words: hosts are named only where they differ. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from cronium_admin.images.inventory import Presence
from cronium_admin.images.models import PulledImage, PullState

_NAMED = 2  # hosts


@dataclass(frozen=True)
class HostSummary:
    """`state` chooses colour and icon: everywhere, pulling, missing, broken or unknown."""

    state: str
    words: str
    title: str  # every host in words
    is_missing: bool = False  # on some host at least


def summarize_hosts(presence: Presence, pulls: Iterable[PulledImage], *, is_pulled: bool) -> HostSummary:
    """`is_pulled`: hosts pull the image when a run needs it, so that a missing one breaks no run by itself."""
    by_host = {pull.host: pull for pull in pulls}
    title = "\n".join(_describe_host(host.host, host.is_present, by_host.get(host.host)) for host in presence.hosts)
    if not presence.hosts:
        return HostSummary("unknown", "not known", "No host has reported its images in the last minute.")
    at_work = [pull for host in presence.hosts if (pull := by_host.get(host.host)) and is_at_work(pull)]
    missing = presence.missing
    count = f"{len(presence.present)} of {presence.number}"
    if at_work:
        where = describe_progress(at_work[0]) if len(at_work) == 1 else f"{len(at_work)} hosts pull it"
        words = where if presence.number == 1 else f"{count}, {where}"
        return HostSummary("pulling", words, title, bool(missing))
    if not missing:
        is_known = presence.is_everywhere
        words = "on this host" if presence.number == 1 else f"all {presence.number} hosts"
        return HostSummary("everywhere" if is_known else "unknown", words if is_known else "not known for all", title)
    has_failed = any(pull.state == PullState.FAILED for name in missing if (pull := by_host.get(name)))
    state = "missing" if is_pulled and not has_failed else "broken"
    if presence.is_nowhere:
        words = "not on this host" if presence.number == 1 else f"none of {presence.number} hosts"
        return HostSummary(state, words, title, True)
    names = ", ".join(missing) if len(missing) <= _NAMED else f"{len(missing)} hosts"
    return HostSummary(state, f"{count}, not on {names}", title, True)


def is_at_work(pull: PulledImage) -> bool:
    return pull.state in (PullState.REQUESTED, PullState.PULLING)


def describe_progress(pull: PulledImage) -> str:
    if pull.state == PullState.REQUESTED:
        return f"{pull.host} begins to pull it"
    return f"{pull.host} pulls it" if pull.percent is None else f"{pull.host} at {pull.percent} %"


def _describe_host(host: str, is_present: bool | None, pull: PulledImage | None) -> str:
    if pull is not None and is_at_work(pull):
        return describe_progress(pull)
    words = {True: "has it", False: "does not have it", None: "not known, because it has more images than it reports"}
    failure = f" (the last pull failed: {pull.message})" if pull and pull.state == PullState.FAILED else ""
    return f"{host}: {words[is_present]}{failure}"
