"""What travels on a job's standard input: one shell program that sets the environment and becomes the script.

The container's own command line holds BOOTSTRAP only, which runs nothing unless the payload arrived whole,
so a worker that dies while sending can't half-start a job. It needs `sh` and `cat` of the image, no more.
"""

import re
import secrets
import shlex

from executor.run.script import INTERPRETERS, is_module, make_file_text, parse_shebang
from executor.spec import RunSpec

NOT_RECEIVED = 125  # the exit code when the payload did not arrive whole
_END = "#cronium-payload-is-whole"
NOT_RECEIVED_MESSAGE = "cronium: the script did not arrive, so nothing was run"
BOOTSTRAP = f'p=$(cat); case $p in *"{_END}") eval "$p";; esac; echo "{NOT_RECEIVED_MESSAGE}" >&2; exit {NOT_RECEIVED}'
FILES = {"bash": "script.sh", "python": "script.py", "node": "script.js"}
HELPERS = "/tmp/.cronium"  # noqa: S108 - in the container's own memory, also where the root is read-only
PROXY = "runtime-api:8082"  # the sidecar's, where a job has the network egress
NO_PROXY = "runtime-api,runtime,localhost,127.0.0.1"
# Of node, the versions that take a script.js for CommonJS whatever it holds; a script.mjs is a module to all.
BEFORE_DETECTION = "v[0-9].*|v1[0-9].*|v20.[0-9].*|v20.1[0-8].*|v21.*|v22.[0-6].*"
NO_INTERPRETER = 127  # as a shell says it


def build_payload(spec: RunSpec) -> bytes:
    """The payload of one run, UTF-8. `spec.script`, `spec.env` and `spec.secrets` must hold no NUL."""
    env = {"PYTHONUNBUFFERED": "1", **_build_proxy_variables(spec), **spec.env, **spec.secrets}
    if spec.network != "none":  # there nobody would know it
        env["CRONIUM_EXECUTION_TOKEN"] = spec.token
    # The script can't hold a delimiter it has never seen, so nothing in it can end the here-document.
    delimiter = f"CRONIUM_{secrets.token_hex(16)}"
    lines = [
        "unset p",
        *(["exec 2>&1"] if spec.merge_streams else []),  # before anything can write to either
        *_choose_file_and_interpreter(
            spec
        ),  # the first two parameters; before the job's variables, which may have any name
        '[ "${LC_ALL-}${LC_CTYPE-}${LANG-}" ] || export LANG=C.UTF-8',  # what the image or the job sets counts
        *(f"export {name}={shlex.quote(value)}" for name, value in env.items()),
        *_write_helpers(spec),
        f"cat >$1 <<'{delimiter}' || exit {NOT_RECEIVED}",
        make_file_text(spec.language, spec.script).removesuffix("\n"),
        delimiter,
        "chmod 755 $1 2>/dev/null",  # so that it can call itself by its name
        _exec_interpreter(spec),
        _END,
    ]
    return "\n".join(lines).encode()


def _choose_file_and_interpreter(spec: RunSpec) -> list[str]:
    """Set $1 to the script's path and $2 to its interpreter; end where the image has none that its `#!` line names."""
    usual, line = INTERPRETERS[spec.language], parse_shebang(spec.script)
    lines = [f"set -- /workspace/{FILES[spec.language]} {usual}"]
    if spec.language == "node" and is_module(spec.script):
        lines.append(f"case $(node --version 2>/dev/null) in {BEFORE_DETECTION}) set -- ${{1%.js}}.mjs node;; esac")
    if line is None:
        return lines
    choices = [line.interpreter, line.name]
    if line.language == spec.language and line.is_plain:
        choices = ["bash"] if line.name == "sh" else [*choices, usual]  # `sh` would not know the helpers
    words = f"cronium: the first line of the script asks for {line.interpreter}, which this image does not have."
    return [
        *lines,
        f'for p in {shlex.join(dict.fromkeys(choices))}; do command -v "$p" >/dev/null 2>&1 && break; p=; done',
        f'[ "$p" ] || {{ echo {shlex.quote(words)} >&2; exit {NO_INTERPRETER}; }}',
        'set -- "$1" "$p"; unset p',
    ]


def _exec_interpreter(spec: RunSpec) -> str:
    """Become the interpreter, with the options of the `#!` line."""
    line = parse_shebang(spec.script)
    if line is None:
        return 'exec "$2" "$1" </dev/null'
    options = list(line.options)
    if line.language == "python" and any(re.match(r"-[a-zA-Z]*[IE]", option) for option in options):
        options.insert(0, "-u")  # it reads no PYTHONUNBUFFERED then
    env = shlex.join(["env", *line.env]) if line.env else ""
    return f'exec {env} "$2" {shlex.join(options)} "$1" </dev/null'


def _build_proxy_variables(spec: RunSpec) -> dict[str, str]:
    """The proxy, as most programs read it. It travels here, for it holds the token."""
    if spec.network != "egress":
        return {}
    url = f"http://cronium:{spec.token}@{PROXY}"
    names = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")
    return {**dict.fromkeys(names, url), "NO_PROXY": NO_PROXY, "no_proxy": NO_PROXY, "NODE_USE_ENV_PROXY": "1"}


def _write_helpers(spec: RunSpec) -> list[str]:
    """Lay the helpers down and put them first in each language's way; an image that can't take them keeps its own."""
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
    """An ES module is looked up beside the script, and nowhere else."""
    if spec.language != "node" or "import" not in spec.script:
        return []
    folder, text = "/workspace/node_modules/cronium", f'module.exports = require("{HELPERS}/cronium.js");'
    return [f"mkdir -p {folder} && echo {shlex.quote(text)} >{folder}/index.js"]
