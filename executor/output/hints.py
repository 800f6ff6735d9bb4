"""Pure: finds the likely cause of a failure in the last lines of a script's output, and how to fix it.

A hint is added to the exit code and never replaces it. The output is untrusted: a hint takes only short names of plain
characters from it.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from executor.naming import format_image

LOOKED_AT_BYTES = 8192
LOOKED_AT_LINES = 40
_NAME = r"[\w.+@/-]{1,80}"
_HOST = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9])?"
_QUOTE = "['\"\N{LEFT SINGLE QUOTATION MARK}\N{RIGHT SINGLE QUOTATION MARK}]?"


@dataclass(frozen=True)
class ScriptEnvironment:
    """The settings of the job that a hint may need."""

    image: str
    network: str
    read_only_root: bool = True


def _explain_command(match: re.Match[str], environment: ScriptEnvironment) -> str:
    name = match["name"]
    image = format_image(environment.image)
    return f"The command {name} is not in the image {image}. Choose an image that has it for the job."


def find_missing_module(message: str) -> str:
    """The module that a message with such a hint names; empty without one."""
    match = re.search(rf"The module ({_NAME}) is not in the image ", message)
    return match[1] if match else ""


def _explain_module(match: re.Match[str], environment: ScriptEnvironment) -> str:
    image = format_image(environment.image)
    return f"The module {match['name']} is not in the image {image}. Choose an image that has it for the job."


def _guess_port(match: re.Match[str]) -> str:
    if "could not translate host name" in match[0]:
        return "5432"  # psql and other clients with libpq
    return "22" if "hostname" in match[0] else "80" if "http://" in match.string else "443"


def _explain_refusal(match: re.Match[str], environment: ScriptEnvironment) -> str:
    hint = (
        "The job's proxy refused the connection. Add its host:port to the job's allowed hosts, if the job may use it."
    )
    return hint if environment.network == "egress" else ""


_NODE_PROXY = (
    "node before version 24 does not read HTTPS_PROXY: choose a newer image, or set a proxy agent in the script."
)


def _explain_host(match: re.Match[str], environment: ScriptEnvironment) -> str:
    groups = match.groupdict()
    host = groups.get("host") or ""
    port = groups.get("port") or _guess_port(match)
    if environment.network == "egress":
        listed = f" Check that the job lists {host}:{port}." if host else ""
        program = _NODE_PROXY if match[0].startswith("getaddrinfo") else "Check that the program uses HTTPS_PROXY."
        return f"The job reaches its listed hosts through a proxy only.{listed} {program}"
    if environment.network in ("isolated", "none"):
        remedy = (
            f"allow {host}:{port} as a listed host (network egress)" if host else "list the hosts it needs (egress)"
        )
        return f"The job's network is {environment.network}, so no name resolves. In the job's network, {remedy}."
    return ""


def _explain_read_only(match: re.Match[str], environment: ScriptEnvironment) -> str:
    return "The root file system is read-only. Write below /workspace or /tmp." if environment.read_only_root else ""


def _always_say(hint: str) -> Callable[[re.Match[str], ScriptEnvironment], str]:
    return lambda match, environment: hint


_NO_SPACE = "/workspace and /tmp are in memory and are full. Write less, or give the job more memory."
_NO_RIGHT = "The script runs as user 1000 without root privileges. Write below /workspace or /tmp."
_NO_MODULE = "The image's node did not take the script for an ES module. Use an image with node 20.19 or newer."
_RULES: tuple[tuple[str, Callable[[re.Match[str], ScriptEnvironment], str]], ...] = (
    (rf"(?:^|\s)(?P<name>{_NAME}): command not found", _explain_command),
    (rf"(?:^|: )(?:line )?\d+: (?P<name>{_NAME}): not found$", _explain_command),
    (rf"^\S*sh: (?P<name>{_NAME}): not found$", _explain_command),
    (rf"^(?:\S*/)?env: {_QUOTE}(?P<name>{_NAME}?){_QUOTE}: No such file or directory", _explain_command),
    (rf"\bspawn(?:Sync)? (?P<name>{_NAME}) ENOENT", _explain_command),
    (rf"\bexecutable file not found in \$PATH: {_QUOTE}(?P<name>{_NAME})", _explain_command),
    (rf"\bexec: \"(?P<name>{_NAME})\": executable file not found", _explain_command),
    (rf"(?:ModuleNotFoundError|ImportError): No module named {_QUOTE}(?P<name>[\w.]{{1,80}})", _explain_module),
    (rf"Cannot find (?:module|package) '(?P<name>(?![./]){_NAME})'", _explain_module),
    (r"Cannot use import statement outside a module|await is only valid in async functions", _always_say(_NO_MODULE)),
    (rf"Could not resolve (?:host|proxy): (?P<host>{_HOST})", _explain_host),
    (rf"Could not resolve hostname (?P<host>{_HOST})", _explain_host),
    (rf"unable to resolve host address {_QUOTE}(?P<host>{_HOST})", _explain_host),
    (rf"bad address {_QUOTE}(?P<host>{_HOST})", _explain_host),
    (rf"Temporary failure resolving {_QUOTE}(?P<host>{_HOST})", _explain_host),
    (rf"host='(?P<host>{_HOST})', port=(?P<port>\d{{1,5}}).*(?:resolve|resolution|not known)", _explain_host),
    (rf"Failed to resolve '(?P<host>{_HOST})'", _explain_host),
    (rf"getaddrinfo (?:ENOTFOUND|EAI_AGAIN) (?P<host>{_HOST})(?::(?P<port>\d{{1,5}}))?", _explain_host),
    (rf"could not translate host name \"(?P<host>{_HOST})\"", _explain_host),
    (rf"\blookup (?P<host>{_HOST})(?: on [\d.:]+)?: ", _explain_host),
    (r"Temporary failure in name resolution|Name or service not known|Name does not resolve", _explain_host),
    (r"HTTP code 403 from proxy|CONNECT tunnel failed, response 403|Tunnel connection failed: 403", _explain_refusal),
    (r"Proxy tunneling failed: Forbidden|Proxy response \(403\)", _explain_refusal),  # GNU wget, node
    (r"Read-only file system|\bEROFS\b", _explain_read_only),
    (r"No space left on device|\bENOSPC\b", _always_say(_NO_SPACE)),
    (r"Permission denied|\bEACCES\b|are you root\?|must be root", _always_say(_NO_RIGHT)),
)
_COMPILED = tuple((re.compile(pattern), explain) for pattern, explain in _RULES)


def find_hint(output: bytes, environment: ScriptEnvironment) -> str:
    """A hint for the last line of `output` that matches a known cause; empty if none does."""
    lines = output[-LOOKED_AT_BYTES:].decode("utf-8", "replace").splitlines()
    for line in reversed(lines[-LOOKED_AT_LINES:]):
        for pattern, explain in _COMPILED:
            if (match := pattern.search(line[:1000])) and (hint := explain(match, environment)):
                return hint
    return ""
