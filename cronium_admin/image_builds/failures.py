"""Why a build failed: from its result and the end of its output to a code, and a sentence with the remedy. Pure."""

import re
from collections.abc import Callable
from dataclasses import replace

from executor.spec import RunResult

_LOOKED_AT_LINES = 60
_NAME = r"[\w.+@/~=<>!,\[\]*-]{1,100}"
_HOST = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9])?"
_QUOTE = "[\"'\N{LEFT SINGLE QUOTATION MARK}\N{RIGHT SINGLE QUOTATION MARK}]?"
_MIRRORS = "CRONIUM_BUILD_APT_MIRROR, _APK_MIRROR, _PIP_INDEX_URL or _NPM_REGISTRY"
Explain = Callable[[re.Match[str]], str]


def _always_say(text: str) -> Explain:
    return lambda match: text


def _explain_missing(match: re.Match[str]) -> str:
    name = match.groupdict().get("name")
    return f"There is no such package{f' or version: {name}' if name else ' or version'}. Check its name in the recipe."


def _explain_route(match: re.Match[str]) -> str:
    host = match.groupdict().get("host")
    where = f"{host} is not reachable from a build" if host else "A mirror is not reachable from a build"
    return (
        f"{where}. A build reaches its mirrors only: an administrator sets {_MIRRORS}, and further hosts in "
        "CRONIUM_BUILD_EGRESS."
    )


_RULES: tuple[tuple[str, str, Explain], ...] = (
    (
        r"exec: (?:line \d+: )?bash: not found|exec: bash: not found",
        "build_no_bash",
        _always_say(
            "The base image has no bash, which a build needs. Name another in FROM, such as the Debian variant of the "
            "same image."
        ),
    ),
    (
        rf"setuid files remain: (?P<name>{_NAME})",
        "build_setuid",
        _always_say("Files with a setuid or setgid bit can't be removed from the image. Leave out what installs them."),
    ),
    (
        r"CERTIFICATE_VERIFY_FAILED|certificate verify failed|SELF_SIGNED_CERT|self[- ]signed certificate"
        r"|unable to get local issuer|UNABLE_TO_VERIFY_LEAF|SSLCertVerificationError|certificate is NOT trusted"
        r"|SSL certificate problem",
        "build_tls",
        _always_say(
            "A mirror's certificate is of an authority that the build does not trust. An administrator names the file "
            "of that authority in CRONIUM_BUILD_CA_FILE."
        ),
    ),
    (
        r"No space left on device|ENOSPC|Disk quota exceeded",
        "build_no_space",
        _always_say(
            "There was no space left. /tmp and /workspace of a build are in memory and small: use $TMPDIR in steps. "
            "Else the disk of the host is full."
        ),
    ),
    (
        r"Resource temporarily unavailable|can't start new thread|Cannot fork|cannot fork|\bEAGAIN\b|retry: fork",
        "build_too_many_processes",
        _always_say(
            "The build reached its limit of processes and threads. Run less side by side, such as make -j2; an "
            "administrator can raise CRONIUM_BUILD_PIDS."
        ),
    ),
    (
        r"\b401\b.*Unauthorized|\bE401\b|401 Error|Unauthorized|\bE403\b",
        "build_denied",
        _always_say(f"A mirror refused the credentials. An administrator corrects them in {_MIRRORS}."),
    ),
    (
        rf"(?P<host>{_HOST}):\d{{1,5}} (?:\([^)]*\) )?refused: ",
        "build_no_route",
        _explain_route,
    ),
    (rf"host='(?P<host>{_HOST})', port=\d{{1,5}}", "build_no_route", _explain_route),
    (rf"Could not (?:resolve|connect to) (?:host:? )?{_QUOTE}(?P<host>{_HOST})", "build_no_route", _explain_route),
    (
        r"CONNECT tunnel failed, response 403|Tunnel connection failed: 403|HTTP code 403 from proxy"
        r"|403  Forbidden|Proxy response \(403\)|ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT|Connection refused"
        r"|Temporary failure (?:in name resolution|resolving)|Network is unreachable|Connection timed out"
        r"|Tunnel connection failed: 50|CONNECT tunnel failed, response 50|Failed to fetch|Could not connect",
        "build_no_route",
        _explain_route,
    ),
    (rf"Unable to locate package (?P<name>{_NAME})", "build_no_package", _explain_missing),
    (
        rf"Version {_QUOTE}[^'\"]+{_QUOTE} for {_QUOTE}(?P<name>{_NAME}?){_QUOTE} was not found",
        "build_no_package",
        _explain_missing,
    ),
    (
        rf"Package {_QUOTE}(?P<name>{_NAME}?){_QUOTE} has no installation candidate",
        "build_no_package",
        _explain_missing,
    ),
    (rf"No matching distribution found for (?P<name>{_NAME})", "build_no_package", _explain_missing),
    (
        rf"Could not find a version that satisfies the requirement (?P<name>{_NAME})",
        "build_no_package",
        _explain_missing,
    ),
    (rf"{_QUOTE}(?P<name>{_NAME}?)@[^'\"\s]*{_QUOTE} is not in this registry", "build_no_package", _explain_missing),
    (r"\bE404\b|\bETARGET\b|No matching version found", "build_no_package", _explain_missing),
    (rf"(?P<name>{_NAME}) \(no such package\)", "build_no_package", _explain_missing),
    (
        r"ResolutionImpossible|conflicting dependencies|\bERESOLVE\b|unmet dependencies|which is incompatible"
        r"|has requirement .* but you have",
        "build_conflict",
        _always_say(
            "Packages of the recipe need versions of another package that exclude each other. Change their versions."
        ),
    ),
    (
        r"error: command '?(?:gcc|cc|x86_64-linux-gnu-gcc|g\+\+|make)|gcc: No such file|gyp ERR!"
        r"|Failed (?:to build|building wheel)",
        "build_no_compiler",
        _always_say(
            "A package has no binary for this image and was not compiled. Add the system packages that it needs, such "
            "as gcc, python3-dev or make, or choose a version with a binary."
        ),
    ),
)
_COMPILED = tuple((re.compile(pattern), reason, explain) for pattern, reason, explain in _RULES)
_STEP = re.compile(r"^FAILED STEP (?P<number>\d{1,3}) of (?P<total>\d{1,3})  (?P<title>.*) \(exit code \d+\)$")
_LIMITS = {
    "oom": "build_oom",
    "timeout": "timeout",
    "disk_limit": "disk_limit",
}
_REMEDIES = {
    "oom": "The build was killed for memory. Install fewer packages at once or ones with binaries; an administrator "
    "can raise CRONIUM_BUILD_MEMORY_MB.",
    "timeout": "The build reached its time limit. An administrator can raise CRONIUM_BUILD_TIMEOUT_SECONDS.",
}


def explain_failure(result: RunResult, output: bytes) -> RunResult:
    """`result` with the code and the message of a build. Other results than failures stay as they are."""
    if result.reason in _REMEDIES:
        return replace(result, reason=_LIMITS[result.reason], message=_REMEDIES[result.reason])
    if result.status != "failed" or result.reason != "exit_code":
        return result
    lines = output.decode("utf-8", "replace").splitlines()[-_LOOKED_AT_LINES:]
    step = next((match for line in reversed(lines) if (match := _STEP.match(line))), None)
    where = (
        f"Step {step['number']} of {step['total']} failed: {_clean(step['title'])}." if step else "The build failed."
    )
    for pattern, reason, explain in _COMPILED:  # in the order of how certainly the cause explains the other lines
        for line in reversed(lines):
            if match := pattern.search(line[:1000]):
                return replace(result, reason=reason, message=f"{where} {explain(match)}")
    hint = "Its last lines say why." if lines else "It wrote nothing."
    return replace(result, reason="build_step_failed", message=f"{where} {hint}")


def _clean(title: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in title[:80])
