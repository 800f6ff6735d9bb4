#!/usr/bin/env python3
"""Writes the build context of a runner or sidecar image as a tar archive, the same that `manage.py images build` sends.

    scripts/image_context.py NAME            the archive, on standard output
    scripts/image_context.py NAME --digest   its digest: the label `cronium.sources` of the image

NAME is a folder of `images/`. It needs no package beside Python's own.
"""

import argparse
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from cronium_admin.images.build_context import SOURCES, compute_sources_digest, pack_context


def main() -> None:
    names = sorted(path.parent.name for path in SOURCES.glob("*/Dockerfile"))
    parser = argparse.ArgumentParser(description="Writes the build context of an image as a tar archive.")
    parser.add_argument("name", choices=names)
    parser.add_argument("--digest", action="store_true", help="print the digest of the sources instead")
    options = parser.parse_args()
    if options.digest:
        print(compute_sources_digest(SOURCES, options.name))  # noqa: T201
    else:
        shutil.copyfileobj(pack_context(SOURCES, options.name), sys.stdout.buffer)


if __name__ == "__main__":
    main()
