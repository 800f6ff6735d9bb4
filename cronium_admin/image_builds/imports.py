"""The packages that a script imports and its image lacks: a proposal for a recipe. Pure."""

import ast
import re
import sys
from collections.abc import Collection

from cronium_admin.images.models import Language

# Modules whose package has another name.
PACKAGES = {
    **{"yaml": "PyYAML", "cv2": "opencv-python-headless", "PIL": "pillow", "bs4": "beautifulsoup4"},
    **{"dateutil": "python-dateutil", "sklearn": "scikit-learn", "skimage": "scikit-image", "attr": "attrs"},
    **{"Crypto": "pycryptodome", "OpenSSL": "pyOpenSSL", "jwt": "PyJWT", "dotenv": "python-dotenv"},
    **{"serial": "pyserial", "usb": "pyusb", "docx": "python-docx", "pptx": "python-pptx", "fitz": "PyMuPDF"},
    **{"git": "GitPython", "magic": "python-magic", "MySQLdb": "mysqlclient", "psycopg2": "psycopg2-binary"},
    **{"ldap": "python-ldap", "nacl": "PyNaCl", "slugify": "python-slugify", "telegram": "python-telegram-bot"},
    **{"websocket": "websocket-client", "zmq": "pyzmq", "jose": "python-jose", "multipart": "python-multipart"},
    **{"Levenshtein": "python-Levenshtein", "markdown": "Markdown", "jinja2": "Jinja2", "flask": "Flask"},
    **{"django": "Django", "sqlalchemy": "SQLAlchemy", "lxml": "lxml", "socks": "PySocks", "snappy": "python-snappy"},
    **{"kafka": "kafka-python", "consul": "python-consul", "memcache": "python-memcached", "gi": "PyGObject"},
    **{"discord": "discord.py", "pkg_resources": "setuptools", "win32api": "pywin32", "ruamel": "ruamel.yaml"},
    **{"pymupdf": "PyMuPDF", "rest_framework": "djangorestframework", "corsheaders": "django-cors-headers"},
}
# Namespaces of many packages: the first two names decide.
_NAMESPACES = {
    **{"google.cloud": "google-cloud-{}", "google.protobuf": "protobuf", "google.auth": "google-auth"},
    **{"azure.identity": "azure-identity", "azure.storage": "azure-storage-blob", "google.oauth2": "google-auth"},
    **{"googleapiclient": "google-api-python-client", "zope.interface": "zope.interface"},
}
_OWN = {"cronium", "cronium_aio"}
_NODE_OWN = {"cronium"}
_NODE_MODULES = frozenset(
    """
    assert async_hooks buffer child_process cluster console constants crypto dgram diagnostics_channel dns domain events
    fs http http2 https inspector module net os path perf_hooks process punycode querystring readline repl sea sqlite
    stream string_decoder sys test timers tls trace_events tty url util v8 vm wasi worker_threads zlib
    """.split()  # noqa: SIM905
)
_PYTHON_LINE = re.compile(r"^\s*(?:from\s+([A-Za-z_][\w.]*)\s+import\b|import\s+([A-Za-z_][\w., \t]*))", re.MULTILINE)
_NODE_IMPORT = re.compile(
    r"""(?:\brequire\s*\(\s*|\bimport\s*\(\s*|\bfrom\s+|^\s*import\s+)(?P<quote>["'])(?P<name>[^"'\n\\]{1,214})(?P=quote)""",
    re.MULTILINE,
)
_NODE_COMMENT = re.compile(
    r"""("(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`)|//[^\n]*|/\*.*?\*/""", re.DOTALL
)
_NPM_NAME = re.compile(r"(?:@[a-z0-9~][a-z0-9._~-]*/)?[a-z0-9~][a-z0-9._~-]*")
MAX_BYTES = 1024 * 1024


def suggest_packages(language: str, script: str, installed: Collection[str]) -> list[str]:
    """The packages that `script` needs beside the `installed` ones, by name.

    `installed`: names of packages of the index, such as those of an image's list. Understands a script with syntax
    errors as far as its lines look like imports.
    """
    script = script[:MAX_BYTES]
    if language == Language.PYTHON:
        needed = {_find_python_package(module) for module in _list_python_modules(script)} - {""}
    elif language == Language.NODE:
        needed = {_find_npm_package(name) for name in _list_node_names(script)} - {""}
    else:
        return []
    known = {_normalize(name) for name in installed}
    return sorted((name for name in needed if _normalize(name) not in known), key=str.lower)


def _normalize(name: str) -> str:
    return name.lower() if name.startswith("@") else re.sub(r"[-_.]+", "-", name).lower()


def _list_python_modules(script: str) -> set[str]:
    try:
        tree = ast.parse(script)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return _search_python_lines(script)
    modules: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            modules |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return modules


def _search_python_lines(script: str) -> set[str]:
    modules: set[str] = set()
    for match in _PYTHON_LINE.finditer(script):
        if match[1]:
            modules.add(match[1])
        else:
            modules |= {part.split()[0] for part in match[2].split(",") if part.split()}
    return modules


def _find_python_package(module: str) -> str:
    first, _, rest = module.partition(".")
    if first in sys.stdlib_module_names or first in _OWN or not first.isascii():
        return ""
    for length in (2, 1):
        name = ".".join(module.split(".")[:length])
        if package := _NAMESPACES.get(name):
            part = rest.split(".")[1] if package.endswith("{}") and rest.count(".") else ""
            return package.format(part.replace("_", "-")) if part or not package.endswith("{}") else ""
    if first in ("google", "azure", "zope"):
        return ""  # a namespace whose package is unknown
    return PACKAGES.get(first, first)


def _list_node_names(script: str) -> set[str]:
    code = _NODE_COMMENT.sub(lambda match: match[1] or " ", script)
    return {match["name"] for match in _NODE_IMPORT.finditer(code)}


def _find_npm_package(name: str) -> str:
    if name.startswith((".", "/", "node:", "#", "http:", "https:", "data:", "file:")):
        return ""
    parts = name.split("/")
    package = "/".join(parts[:2]) if name.startswith("@") else parts[0]
    if package in _NODE_MODULES or package in _NODE_OWN or not _NPM_NAME.fullmatch(package):
        return ""
    return package
