"""The names of a job's settings: the fields that users change."""

# The fields that decide what runs and how.
RUN_FIELDS = frozenset(
    {
        *(
            "language",
            "script",
            "image",
            "pull_policy",
            "profile",
            "cpu",
            "memory_mb",
            "pids",
            "env",
            "launch_env",
            "secrets",
        ),
        *("log_limit_mb", "on_log_limit", "streams", "timeout_seconds", "network", "egress"),
        *("queue", "read_only_root", "input", "input_schema", "retry"),
    }
)
EXPECTED_FIELDS = ("start_by", "finish_by", "succeed_every", "succeed_grace")
_RETENTION_FIELDS = {"log_keep_days", "log_keep_runs", "run_keep_days", "run_keep_runs"}
# Fields that are younger than stored revisions: a revision omits them while they have this value, so that the digest of
# a job that does not use them stays the same.
DEFAULTS = {
    "pull_policy": "",
    "description": "",
    "retry": None,
    "priority": 3,
    "concurrency": None,
    "input_schema": None,
    **dict.fromkeys(EXPECTED_FIELDS),
}
# Compared exactly: a script can distinguish 1 from 1.0, and keys have an order, which is that of the form's fields.
EXACT_FIELDS = frozenset({"input", "input_schema"})
# How its runs wait for each other.
_ORDER_FIELDS = {"priority", "concurrency"}
JOB_FIELDS = (
    RUN_FIELDS
    | {"name", "slug", "enabled", "tags", "description", *EXPECTED_FIELDS}
    | _RETENTION_FIELDS
    | _ORDER_FIELDS
)
