"""The packages of npm that a Node.js script requires or imports. Leaves out what it may do without. Pure."""

import re

_OWN = {"cronium"}
_NODE_MODULES = frozenset(
    """
    assert async_hooks buffer child_process cluster console constants crypto dgram diagnostics_channel dns domain events
    fs http http2 https inspector module net os path perf_hooks process punycode querystring readline repl sea sqlite
    stream string_decoder sys test timers tls trace_events tty url util v8 vm wasi worker_threads zlib
    """.split()  # noqa: SIM905
)
_TOKEN = re.compile(
    r"""//[^\n]*|/\*.*?(?:\*/|\Z)|(?P<string>"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`)|(?P<brace>[{}])""",
    re.DOTALL,
)
_BEFORE_NAME = re.compile(r"(?:(?<![\w$.])(?:require|import)\s*\(|(?<![\w$.])from|(?<![\w$.])import)\s*\Z")
_ENDS = ("(", "from", "import")
_IMPORTED_TYPES = re.compile(r"\b(?:import|export)\s+type\b(?!\s+from\b)[^;\"'`]*\Z")
_CAUGHT = re.compile(r"\s*\)\s*\.\s*catch\b")
_OTHER_PATHS = re.compile(r"\bmodule\s*\.\s*paths\b|\bNODE_PATH\b|\bcreateRequire\s*\(\s*(?!import\.meta|__filename)")
_TRY = re.compile(r"(?<![\w$.])try\s*\Z")
_NPM_NAME = re.compile(r"(?:@[a-z0-9][a-z0-9._~-]*/)?[a-z0-9][a-z0-9._~-]*")
_LOOK_BACK = 300  # characters of code before a name


def list_node_names(script: str) -> set[str]:
    """The names that it requires or imports, outside of `try` blocks."""
    if _OTHER_PATHS.search(script):
        return set()  # they may be anywhere
    names: set[str] = set()
    blocks: list[bool] = []  # of each open brace: does it begin a `try` block?
    code, at = "", 0
    for token in _TOKEN.finditer(script):
        code = (code + script[at : token.start()])[-_LOOK_BACK:]
        at, end = token.end(), code.rstrip()[-6:]  # cheaper than the expressions, for scripts of many tokens
        if token["brace"] == "{":
            blocks.append(end.endswith("try") and bool(_TRY.search(code)))
        elif token["brace"] and blocks:
            blocks.pop()
        elif (text := token["string"]) and "\\" not in text and end.endswith(_ENDS) and _BEFORE_NAME.search(code):
            is_optional = any(blocks) or _IMPORTED_TYPES.search(code) or _CAUGHT.match(script, at)
            names |= set() if is_optional else {text[1:-1]}
        code += token["brace"] or ('""' if token["string"] else " ")
    return names


def find_npm_package(name: str) -> str | None:
    if name.startswith((".", "/", "node:", "#", "http:", "https:", "data:", "file:")):
        return None
    parts = name.split("/")
    package = "/".join(parts[:2]) if name.startswith("@") else parts[0]
    if package in _NODE_MODULES or package in _OWN or len(package) > 214 or not _NPM_NAME.fullmatch(package):
        return None
    return package
