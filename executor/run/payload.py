"""The payload on a job's standard input: one shell program that sets the environment and executes the script.

The container's command is only BOOTSTRAP. It runs nothing unless the whole payload arrived, so a worker that dies while
sending cannot start part of a job. The image needs only `sh` and `cat`.
"""

import re
import secrets
import shlex

from executor.run.script import INTERPRETERS, is_module, make_file_text, parse_shebang
from executor.sandbox.bootstrap import END_MARK, NOT_RECEIVED
from executor.spec import RunSpec

FILES = {"bash": "script.sh", "python": "script.py", "node": "script.js"}
HELPERS = "/tmp/.cronium"  # noqa: S108 - a tmpfs of the container, writable even with a read-only root
PROXY = "runtime-api:8082"  # the sidecar's proxy for the network `egress`
NO_PROXY = "runtime-api,runtime,localhost,127.0.0.1"
# node versions that read a script.js as CommonJS regardless of its content. All versions read a script.mjs as a module.
BEFORE_DETECTION = "v[0-9].*|v1[0-9].*|v20.[0-9].*|v20.1[0-8].*|v21.*|v22.[0-6].*"
NO_INTERPRETER = 127  # a shell's exit code for "command not found"


def build_payload(spec: RunSpec) -> bytes:
    """The payload of one run, UTF-8. `spec.script`, `spec.env` and `spec.secrets` must not contain NUL."""
    env = {"PYTHONUNBUFFERED": "1", **_build_proxy_variables(spec), **spec.env, **spec.secrets}
    if spec.network != "none":  # without a network there is no API that checks it
        env["CRONIUM_EXECUTION_TOKEN"] = spec.token
    # A random delimiter: the script cannot contain it, so nothing in the script ends the here-document.
    delimiter = f"CRONIUM_{secrets.token_hex(16)}"
    lines = [
        "unset p",
        *(["exec 2>&1"] if spec.merge_streams else []),  # before any output
        *_choose_file_and_interpreter(spec),  # $1 and $2; before the job's variables, which may have any name
        '[ "${LC_ALL-}${LC_CTYPE-}${LANG-}" ] || export LANG=C.UTF-8',  # unless the image or the job sets a locale
        *(f"export {name}={shlex.quote(value)}" for name, value in env.items()),
        *_write_helpers(spec),
        f"cat >$1 <<'{delimiter}' || exit {NOT_RECEIVED}",
        make_file_text(spec.language, spec.script).removesuffix("\n"),
        delimiter,
        "chmod 755 $1 2>/dev/null",  # the script may execute its own file
        _exec_interpreter(spec),
        END_MARK,
    ]
    return "\n".join(lines).encode()


def _choose_file_and_interpreter(spec: RunSpec) -> list[str]:
    """Set $1 to the script's path and $2 to its interpreter; exit if the image lacks the one of the `#!` line."""
    usual, line = INTERPRETERS[spec.language], parse_shebang(spec.script)
    lines = [f"set -- /workspace/{FILES[spec.language]} {usual}"]
    if spec.language == "node" and is_module(spec.script):
        lines.append(f"case $(node --version 2>/dev/null) in {BEFORE_DETECTION}) set -- ${{1%.js}}.mjs node;; esac")
    if line is None:
        return lines
    choices = [line.interpreter, line.name]
    if line.language == spec.language and line.is_plain:
        choices = ["bash"] if line.name == "sh" else [*choices, usual]  # the helpers need bash
    error = f"cronium: the first line of the script requires {line.interpreter}, which this image does not have."
    return [
        *lines,
        f'for p in {shlex.join(dict.fromkeys(choices))}; do command -v "$p" >/dev/null 2>&1 && break; p=; done',
        f'[ "$p" ] || {{ echo {shlex.quote(error)} >&2; exit {NO_INTERPRETER}; }}',
        'set -- "$1" "$p"; unset p',
    ]


def _exec_interpreter(spec: RunSpec) -> str:
    line = parse_shebang(spec.script)
    if line is None:
        return 'exec "$2" "$1" </dev/null'
    options = list(line.options)
    if line.language == "python" and any(re.match(r"-[a-zA-Z]*[IE]", option) for option in options):
        options.insert(0, "-u")  # python -I and -E ignore PYTHONUNBUFFERED
    env = shlex.join(["env", *line.env]) if line.env else ""
    return f'exec {env} "$2" {shlex.join(options)} "$1" </dev/null'


def _build_proxy_variables(spec: RunSpec) -> dict[str, str]:
    # A part of the payload, because the URL contains the token.
    if spec.network != "egress":
        return {}
    url = f"http://cronium:{spec.token}@{PROXY}"
    names = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")
    return {**dict.fromkeys(names, url), "NO_PROXY": NO_PROXY, "no_proxy": NO_PROXY, "NODE_USE_ENV_PROXY": "1"}


def _write_helpers(spec: RunSpec) -> list[str]:
    if not spec.helpers:
        return []
    return [
        f"if mkdir -p {HELPERS} 2>/dev/null; then",
        *(f"printf %s {shlex.quote(text)} >{HELPERS}/{name}" for name, text in spec.helpers.items()),
        f"export BASH_ENV={HELPERS}/cronium.sh",
        f'export PYTHONPATH="{HELPERS}${{PYTHONPATH:+:$PYTHONPATH}}"',
        f'export NODE_PATH="{HELPERS}${{NODE_PATH:+:$NODE_PATH}}"',
        *_write_node_module(spec),
        "fi",
    ]


def _write_node_module(spec: RunSpec) -> list[str]:
    # Node finds ES modules only in node_modules beside the script, not through NODE_PATH.
    if spec.language != "node" or "import" not in spec.script:
        return []
    folder, text = "/workspace/node_modules/cronium", f'module.exports = require("{HELPERS}/cronium.js");'
    return [f"mkdir -p {folder} && echo {shlex.quote(text)} >{folder}/index.js"]
