"""Puts the helper where this image's Python finds it and compiles the library; runs once, in the image's build."""

from __future__ import annotations

import compileall
import pathlib
import re
import shutil
import site
import sys
import sysconfig

HERE = pathlib.Path(__file__).parent
MODULES = ("cronium.py", "cronium_aio.py")


def local_packages() -> pathlib.Path:
    """The folder for packages of this machine's own: site-packages, or Debian's dist-packages in /usr/local."""
    return next(pathlib.Path(p) for p in site.getsitepackages() if p.startswith("/usr/local/"))


def main() -> None:
    """Install, compile, and fail the build when either does not work."""
    target = local_packages()
    target.mkdir(parents=True, exist_ok=True)
    for name in MODULES:
        shutil.copy(HERE / name, target / name)
    library = sysconfig.get_path("stdlib")
    skip = re.compile(r"/(test|tests|idlelib|lib2to3|turtledemo|ensurepip|site-packages|dist-packages)/")
    compileall.compile_dir(library, quiet=2, rx=skip)
    if not all(compileall.compile_file(target / name, quiet=1) for name in MODULES):
        sys.exit("the helper does not compile")
    print(target / MODULES[0])  # noqa: T201 - the build's log says where it is


main()
