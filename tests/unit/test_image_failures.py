"""Why a build failed: real lines of pip, apt, apk, npm and shells."""

import pytest

from cronium_admin.image_builds.failures import explain_failure
from cronium_admin.runs.presentation.reasons import DESCRIPTIONS
from executor.spec import RunResult

FAILED = RunResult("failed", "exit_code", "The script exited with code 1.", 1)
STEP = "FAILED STEP 3 of 7  Python packages (exit code 1)"
LINES = [
    ("ERROR: No matching distribution found for requestz==2.*", "build_no_package", "requestz==2.*"),
    ("E: Unable to locate package libpq55", "build_no_package", "libpq55"),
    ("E: Version '1.0' for 'libpq5' was not found", "build_no_package", "libpq5"),
    ("E: Package 'awk' has no installation candidate", "build_no_package", "awk"),
    ("  nosuch (no such package):", "build_no_package", "nosuch"),
    ("npm error 404  'left-padd@*' is not in this registry.", "build_no_package", "left-padd"),
    ("npm error code ETARGET", "build_no_package", "package"),
    ("ERROR: ResolutionImpossible: for help visit https://pip.pypa.io", "build_conflict", "exclude"),
    ("a 1.0 has requirement b<2, but you have b 3.0.", "build_conflict", "exclude"),
    ("npm error code ERESOLVE", "build_conflict", "exclude"),
    ("error: command 'gcc' failed: No such file or directory", "build_no_compiler", "gcc"),
    (
        "ssl.SSLCertVerificationError: [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed",
        "build_tls",
        "CA_FILE",
    ),
    ("npm error code SELF_SIGNED_CERT_IN_CHAIN", "build_tls", "CA_FILE"),
    ("curl: (60) SSL certificate problem: self-signed certificate in certificate chain", "build_tls", "CA_FILE"),
    ("OSError: Tunnel connection failed: 403 Forbidden", "build_no_route", "CRONIUM_BUILD_EGRESS"),
    ("elsewhere.example:80 refused: not in the job's list of destinations", "build_no_route", "elsewhere.example"),
    ("HTTPSConnectionPool(host='pypi.org', port=443): Max retries exceeded", "build_no_route", "pypi.org"),
    ("npm error code ENOTFOUND", "build_no_route", "A mirror"),
    ("E: Failed to fetch http://deb.debian.org/x  403  Forbidden", "build_no_route", "A mirror"),
    ("ERROR: 401 Error, Credentials not correct for https://mirror/simple", "build_denied", "credentials"),
    ("npm error code E401", "build_denied", "credentials"),
    ("OSError: [Errno 28] No space left on device", "build_no_space", "TMPDIR"),
    ("bash: fork: Resource temporarily unavailable", "build_too_many_processes", "BUILD_PIDS"),
    ("RuntimeError: can't start new thread", "build_too_many_processes", "BUILD_PIDS"),
    ("cronium-build: setuid files remain: /opt/x", "build_setuid", "setuid"),
    ("something else", "build_step_failed", "last lines"),
]


@pytest.mark.parametrize(("line", "reason", "text"), LINES)
def test_each_cause_is_named(line: str, reason: str, text: str) -> None:
    explained = explain_failure(FAILED, f"Collecting x\n{line}\n{STEP}\n".encode())
    assert (explained.status, explained.reason, explained.exit_code) == ("failed", reason, 1)
    assert explained.message.startswith("Step 3 of 7 failed: Python packages.")
    assert text in explained.message
    assert reason in DESCRIPTIONS


def test_a_refused_certificate_explains_the_lines_after_it() -> None:
    output = (
        b"CERTIFICATE_VERIFY_FAILED\nE: Failed to fetch http://x  403  Forbidden\nE: Unable to locate package pip\n"
    )
    assert explain_failure(FAILED, output).reason == "build_tls"


@pytest.mark.parametrize(
    ("status", "reason", "told", "text"),
    [
        ("failed", "oom", "build_oom", "CRONIUM_BUILD_MEMORY_MB"),
        ("timed_out", "timeout", "timeout", "CRONIUM_BUILD_TIMEOUT_SECONDS"),
        ("failed", "disk_limit", "disk_limit", "own words"),
        ("cancelled", "cancelled", "cancelled", "own words"),
        ("errored", "engine_error", "engine_error", "own words"),
    ],
)
def test_limits_and_other_ends(status: str, reason: str, told: str, text: str) -> None:
    explained = explain_failure(RunResult(status, reason, "own words", 137), b"E: Unable to locate package x")
    assert (explained.status, explained.reason, text in explained.message) == (status, told, True)


def test_output_of_any_kind_is_read() -> None:
    assert explain_failure(FAILED, b"").reason == "build_step_failed"
    assert explain_failure(FAILED, b"\xff\xfe\0" * 3000).reason == "build_step_failed"


def test_a_step_that_the_build_invents_is_shown_as_text() -> None:
    forged = b"FAILED STEP 1 of 2  a\0b\x1b[31m (exit code 1)\n"
    assert explain_failure(FAILED, forged).message.startswith("Step 1 of 2 failed: a?b?[31m.")
    assert explain_failure(FAILED, forged.replace(b"1 of", b"1" * 5000 + b" of")).message.startswith("The build failed")
