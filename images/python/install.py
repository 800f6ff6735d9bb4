"""Installs the helper and compiles the standard library. Runs once, during the image build."""

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


def find_package_folder() -> pathlib.Path:
    """site-packages or Debian's dist-packages below /usr/local."""
    return next(pathlib.Path(p) for p in site.getsitepackages() if p.startswith("/usr/local/"))


def main() -> None:
    target = find_package_folder()
    target.mkdir(parents=True, exist_ok=True)
    for name in MODULES:
        shutil.copy(HERE / name, target / name)
    library = sysconfig.get_path("stdlib")
    skip = re.compile(r"/(test|tests|idlelib|lib2to3|turtledemo|ensurepip|site-packages|dist-packages)/")
    compileall.compile_dir(library, quiet=2, rx=skip)
    if not all(compileall.compile_file(target / name, quiet=1) for name in MODULES):
        sys.exit("the helper does not compile")
    print(target / MODULES[0])  # noqa: T201 - for the build log


main()
