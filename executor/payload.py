"""What travels on a job's standard input: one shell program that sets the environment and becomes the script.

The container's own command line holds BOOTSTRAP only, which runs nothing unless the payload arrived whole,
so a worker that dies while sending can't half-start a job. It needs `sh` and `cat` of the image, no more.
"""

import secrets
import shlex

from executor.spec import RunSpec

NOT_RECEIVED = 125  # the exit code when the payload did not arrive whole
_END = "#cronium-payload-is-whole"
NOT_RECEIVED_WORDS = "cronium: the script did not arrive, so nothing was run"
BOOTSTRAP = f'p=$(cat); case $p in *"{_END}") eval "$p";; esac; echo "{NOT_RECEIVED_WORDS}" >&2; exit {NOT_RECEIVED}'
FILES = {"bash": "script.sh", "python": "script.py", "node": "script.js"}
HELPERS = "/tmp/.cronium"  # noqa: S108 - in the container's own memory, also where the root is read-only
PROXY = "runtime-api:8082"  # the sidecar's, where a job has the network egress
NO_PROXY = "runtime-api,runtime,localhost,127.0.0.1"
INTERPRETERS = {"bash": "bash", "python": "python3", "node": "node"}


def build(spec: RunSpec) -> bytes:
    """The payload of one run, UTF-8. `spec.script`, `spec.env` and `spec.secrets` must hold no NUL."""
    env = {"PYTHONUNBUFFERED": "1", **_way_out(spec), **spec.env, **spec.secrets}
    if spec.network != "none":  # there nobody would know it
        env["CRONIUM_EXECUTION_TOKEN"] = spec.token
    path = f"/workspace/{FILES[spec.language]}"
    # The script can't hold a delimiter it has never seen, so nothing in it can end the here-document.
    delimiter = f"CRONIUM_{secrets.token_hex(16)}"
    lines = [
        "unset p",
        *(f"export {name}={shlex.quote(value)}" for name, value in env.items()),
        *_helpers(spec),
        f"cat >{path} <<'{delimiter}' || exit {NOT_RECEIVED}",
        spec.script.removesuffix("\n"),
        delimiter,
        f"exec {INTERPRETERS[spec.language]} {path} </dev/null",
        _END,
    ]
    return "\n".join(lines).encode()


def _way_out(spec: RunSpec) -> dict[str, str]:
    """The proxy, as most programs read it. It travels here, for it holds the token."""
    if spec.network != "egress":
        return {}
    url = f"http://cronium:{spec.token}@{PROXY}"
    names = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")
    return {**dict.fromkeys(names, url), "NO_PROXY": NO_PROXY, "no_proxy": NO_PROXY, "NODE_USE_ENV_PROXY": "1"}


def _helpers(spec: RunSpec) -> list[str]:
    """Lay the helpers down and put them first in each language's way; an image that can't take them keeps its own."""
    if not spec.helpers:
        return []
    return [
        f"if mkdir -p {HELPERS} 2>/dev/null; then",
        *(f"printf %s {shlex.quote(text)} >{HELPERS}/{name}" for name, text in spec.helpers.items()),
        f"export BASH_ENV={HELPERS}/cronium.sh",
        f'export PYTHONPATH="{HELPERS}${{PYTHONPATH:+:$PYTHONPATH}}"',
        f'export NODE_PATH="{HELPERS}${{NODE_PATH:+:$NODE_PATH}}"',
        "fi",
    ]
