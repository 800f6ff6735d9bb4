"""How a run got its sandbox, in words for pages. The API returns the codes."""

from dataclasses import dataclass

from cronium_admin.runs.models import Run, StartKind

STARTS: dict[str, str] = {
    StartKind.WARM: "Started in a waiting sandbox",
    StartKind.STEM: "Started on a waiting network and sidecar",
    StartKind.COLD: "Built for this run",
}
OFF = "off"


@dataclass(frozen=True)
class ColdReason:
    """`label` stands beside a number, `sentence` on the page of a run. `mend` says how to change it, if a user can."""

    label: str
    sentence: str
    mend: str = ""


COLD_REASONS = {
    "none_waiting": ColdReason(
        "none was ready",
        "none with its image, limits and network was ready.",
        "Hosts prepare them for frequent runs; CRONIUM_WARM sets how many.",
    ),
    "other_host": ColdReason(
        "on another host",
        "its waiting sandbox was on another host, which did not start the run in time.",
    ),
    "gone": ColdReason(
        "removed before use", "its waiting sandbox was removed before the run started, for example by a restart."
    ),
    "defect": ColdReason("no longer usable", "a container of its waiting sandbox had ended."),
    "requeued": ColdReason("started again", "the run was queued again, and a waiting sandbox is used only once."),
    "sandbox_mismatch": ColdReason(
        "settings changed", "the image, a limit or a setting had changed since its waiting sandbox was built."
    ),
    "sandbox_drift": ColdReason("not as required", "its waiting sandbox did not have the required settings."),
    "sidecar_unhealthy": ColdReason(
        "no runtime API", "the runtime API of its waiting sandbox did not start.", "See the host's results of doctor."
    ),
    "engine_error": ColdReason(
        "error of the engine",
        "the Docker Engine reported an error about its waiting sandbox.",
        "See the host's results of doctor.",
    ),
    "engine_unreachable": ColdReason(
        "engine did not answer",
        "the Docker Engine did not answer about its waiting sandbox.",
        "See the host's results of doctor.",
    ),
    "internal_error": ColdReason(
        "internal error", "its waiting sandbox failed by an internal error.", "The worker's log has the details."
    ),
    OFF: ColdReason("off", "waiting sandboxes are off.", "CRONIUM_WARM sets how many each host keeps."),
}


def describe_start(run: Run) -> str:
    """Empty until the run starts, and for runs of versions that did not record it."""
    return STARTS.get(run.start_kind or "", "")


def describe_cold_reason(run: Run) -> str:
    """Why the run did not start in a waiting sandbox, and how to change it; empty if it did."""
    if run.start_kind != StartKind.COLD or not run.cold_reason:
        return ""
    reason = COLD_REASONS.get(run.cold_reason)
    if reason is None:  # of a newer version
        return f"{name_cold_reason(run.cold_reason)}."
    return f"{reason.sentence} {reason.mend}".strip()


def name_cold_reason(code: str) -> str:
    reason = COLD_REASONS.get(code)
    return reason.label if reason else code.replace("_", " ")
