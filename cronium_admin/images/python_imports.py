"""The packages of the index that a Python script imports. Leaves out what it may do without. Pure."""

import ast
import re
import sys
from collections.abc import Iterator, Sequence

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
    **{"discord": "discord.py", "pkg_resources": "setuptools", "ruamel": "ruamel.yaml", "pymupdf": "PyMuPDF"},
    **{"rest_framework": "djangorestframework", "corsheaders": "django-cors-headers", "Xlib": "python-xlib"},
}
# Further packages that have such a module.
_OTHER_PACKAGES = {
    "cv2": ("opencv-python", "opencv-contrib-python", "opencv-contrib-python-headless"),
    "Crypto": ("pycrypto",),
    "magic": ("file-magic",),
    "PIL": ("pillow-simd",),
    "kafka": ("kafka-python-ng",),
}
# Namespaces of many packages: the longest of these names decides.
_NAMESPACES = {
    **{"google.cloud": "google-cloud-{}", "google.protobuf": "protobuf", "google.auth": "google-auth"},
    **{"azure.identity": "azure-identity", "azure.storage.blob": "azure-storage-blob", "google.oauth2": "google-auth"},
    **{"googleapiclient": "google-api-python-client", "zope.interface": "zope.interface"},
}
_UNKNOWN_NAMESPACES = {"google", "azure", "zope", "backports"}
_OWN = {"cronium", "cronium_aio"}
# Of other versions of Python than this process's: an image may have them, and no package of these names is meant.
_OTHER_PYTHONS = frozenset(
    """
    __main__ ConfigParser Cookie HTMLParser Queue StringIO Tkinter UserDict aifc anydbm asynchat asyncore audioop
    binhex cPickle cStringIO cgi cgitb chunk commands compression cookielib crypt distutils dummy_threading
    formatter httplib imghdr imp lib2to3 macpath mailcap md5 msilib msvcrt nis nntplib nt ossaudiodev parser pipes
    sets sha smtpd sndhdr spwd sunau symbol telnetlib thread tomllib urllib2 urlparse uu winreg winsound xdrlib
    xmlrpclib zoneinfo
    """.split()  # noqa: SIM905
)
# Names that people give to modules of their own, and modules that only the system has.
_NOT_OF_THE_INDEX = frozenset(
    "app apt apt_pkg common config dbus helper helpers lib main rpm script settings src test tests util utils".split()  # noqa: SIM905
)
_OTHER_PATHS = re.compile(r"\bsys\s*\.\s*(?:path|meta_path|path_hooks)\b|\baddsitedir\b|\bPYTHONPATH\b")
_MADE_MODULE = re.compile(r"\bsys\s*\.\s*modules\s*\[\s*[\"']([A-Za-z_]\w*)")
_IMPORT_ERRORS = {"ImportError", "ModuleNotFoundError", "Exception", "BaseException"}
_EXITS = {"exit", "quit", "_exit", "abort"}


def list_python_modules(script: str) -> set[str] | None:
    """The modules that it can't do without; None if it has a syntax error."""
    try:
        tree = ast.parse(script)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    if _OTHER_PATHS.search(script):
        return set()  # they may be anywhere
    modules: set[str] = set()
    for node in _iterate_needed(tree.body):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            modules |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    made = set(_MADE_MODULE.findall(script))
    return {module for module in modules if not _is_own(module.partition(".")[0], made, script)}


def _is_own(name: str, made: set[str], script: str) -> bool:
    return name in made or bool(re.search(rf"\b{re.escape(name)}(?:\.py\b|/__init__\b)", script))


def _iterate_needed(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements, without those that may fail to import or that run elsewhere only."""
    pending: list[ast.stmt] = list(body)
    while pending:
        node = pending.pop()
        yield node
        if isinstance(node, ast.Try | ast.TryStar) and _can_do_without(node):
            pending += node.finalbody
        elif isinstance(node, ast.If):
            pending += _list_branches(node)
        elif isinstance(node, ast.With | ast.AsyncWith) and any(_is_suppressing(item) for item in node.items):
            continue
        else:
            for name in ("body", "orelse", "finalbody"):
                pending += getattr(node, name, ())
            for part in (*getattr(node, "handlers", ()), *getattr(node, "cases", ())):
                pending += part.body


def _can_do_without(node: ast.Try | ast.TryStar) -> bool:
    handlers = [
        handler for handler in node.handlers if handler.type is None or _get_names(handler.type) & _IMPORT_ERRORS
    ]
    return any(not _is_exit(handler.body) for handler in handlers)


def _is_exit(body: Sequence[ast.stmt]) -> bool:
    """Whether it only reports the error and exits. One with imports tries another package."""
    if any(isinstance(node, ast.Import | ast.ImportFrom) for part in body for node in ast.walk(part)):
        return False
    last = body[-1]
    if isinstance(last, ast.Expr) and isinstance(last.value, ast.Call):
        return bool(_get_names(last.value.func) & _EXITS)
    return isinstance(last, ast.Raise)


def _list_branches(node: ast.If) -> Sequence[ast.stmt]:
    test, negated = node.test, False
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        test, negated = test.operand, True
    if _get_names(test) & {"TYPE_CHECKING"} or (isinstance(test, ast.Constant) and not test.value):
        return node.body if negated else node.orelse
    if {"version_info", "platform", "implementation"} & _get_all_names(test) or {"os", "name"} <= _get_all_names(test):
        return ()
    return [*node.body, *node.orelse]


def _is_suppressing(item: ast.withitem) -> bool:
    call = item.context_expr
    if not isinstance(call, ast.Call) or "suppress" not in _get_names(call.func):
        return False
    return any(_get_names(argument) & _IMPORT_ERRORS for argument in call.args)


def _get_names(node: ast.expr) -> set[str]:
    """The last name of an expression such as `typing.TYPE_CHECKING`, or those of a tuple."""
    if isinstance(node, ast.Tuple):
        return set().union(*(_get_names(item) for item in node.elts))
    name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
    return {name} - {""}


def _get_all_names(node: ast.expr) -> set[str]:
    return {name for part in ast.walk(node) if isinstance(part, ast.expr) for name in _get_names(part)}


def find_python_package(module: str) -> tuple[str, tuple[str, ...]] | None:
    """The package of a module, and all names of packages that have such a module; None without a package."""
    first = module.partition(".")[0]
    is_known = first in sys.stdlib_module_names or first in _OTHER_PYTHONS or first in _OWN
    if is_known or first in _NOT_OF_THE_INDEX or first.startswith("_") or not first.isascii():
        return None
    parts = module.split(".")
    for length in (3, 2, 1):
        package = _NAMESPACES.get(".".join(parts[:length]))
        if package and "{}" not in package:
            return package, (package,)
        if package and len(parts) > length:
            package = package.format(parts[length].replace("_", "-"))
            return package, (package,)
    if first in _UNKNOWN_NAMESPACES:
        return None
    package = PACKAGES.get(first, first)
    similar = (first, f"python-{first}", f"py{first}", f"{first}-python", f"{first}-py")
    return package, (package, *similar, *_OTHER_PACKAGES.get(first, ()))
