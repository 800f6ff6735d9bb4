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
    "build_no_package": "no such package",
    "build_conflict": "versions exclude each other",
    "build_no_compiler": "package not compiled",
    "build_no_route": "mirror not reachable",
    "build_tls": "certificate not trusted",
    "build_denied": "mirror refused the credentials",
    "build_oom": "out of memory",
    "build_no_space": "no space left",
    "build_too_many_processes": "too many processes",
    "build_setuid": "setuid files remain",
    "build_step_failed": "a step failed",
    "build_smoke_test": "smoke test failed",
    "build_image_refused": "image not made",
    "disk_limit": "disk limit reached",
}
_IMPLIED_BY_STATUS = frozenset({"exit_code", "timeout", "cancelled", "lost"})


def describe_reason(reason: str) -> str:
    return "" if reason in _IMPLIED_BY_STATUS else DESCRIPTIONS.get(reason, reason.replace("_", " "))
