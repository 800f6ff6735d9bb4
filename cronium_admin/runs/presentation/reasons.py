"""Descriptions of the reasons why runs ended, for pages. The API returns the codes."""

DESCRIPTIONS = {
    "oom": "out of memory",
    "output_limit": "log limit reached",
    "shutdown": "Cronium was stopped",
    "engine_restarted": "the Docker Engine was restarted",
    "engine_error": "error of the Docker Engine",
    "engine_unreachable": "the Docker Engine did not answer",
    "address_pool_exhausted": "no free network addresses",
    "image_missing": "image missing",
    "image_unusable": "image unusable",
    "sidecar_unhealthy": "the runtime API did not start",
    "runtime_missing": "container runtime missing",
    "sandbox_drift": "sandbox not as required",
    "container_gone": "container gone",
    "secret_unavailable": "secret unavailable",
    "log_damaged": "stored log damaged",
    "internal_error": "internal error",
    "not_delivered": "script not delivered",
    "restored": "restored from a backup",
    "copied": "the installation was copied",
    "host_gone": "host gone",
    "tampered": "container changed from outside",
}
_IMPLIED_BY_STATUS = frozenset({"exit_code", "timeout", "cancelled", "lost"})


def describe_reason(reason: str) -> str:
    return "" if reason in _IMPLIED_BY_STATUS else DESCRIPTIONS.get(reason, reason.replace("_", " "))
