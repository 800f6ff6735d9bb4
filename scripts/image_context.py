#!/usr/bin/env python3
"""The inputs of a runner or sidecar image, the same that `manage.py images build` uses, for other builders.

    scripts/image_context.py NAME                 the build context as a tar archive, on standard output
    scripts/image_context.py linter --platform P  the same for platform P, with ruff from the package index
    scripts/image_context.py NAME --digest        the digest of the context: the label `cronium.sources` of the image
    scripts/image_context.py NAME --base          the name of its base, of the Alpine family
    scripts/image_context.py NAME --layers P      the label `cronium.base`, for platform P (linux/amd64); standard input
                                                  is `docker buildx imagetools inspect --format '{{json .Image}}' BASE`

NAME is a folder of `images/`. It needs no package beside Python's own.
"""

import argparse
import json
import shutil
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from cronium_admin.images.build_context import SOURCES, compute_sources_digest, pack_context
from cronium_admin.images.linter_tools import PackageIndex, fetch_tools
from cronium_admin.images.recipes import LINTER, RECIPES, compute_base_digest


def main() -> None:
    recipes = {recipe.name: recipe for recipe in (*RECIPES, LINTER)}
    parser = argparse.ArgumentParser(description="Writes the inputs of a runner or sidecar image.")
    parser.add_argument("name", choices=sorted(recipes))
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--digest", action="store_true", help="print the digest of the sources")
    output.add_argument("--base", action="store_true", help="print the name of the base")
    output.add_argument("--layers", metavar="PLATFORM", help="print the digest of the base's layers")
    output.add_argument("--platform", metavar="PLATFORM", help="of the context with ruff, such as linux/amd64")
    options = parser.parse_args()
    if options.digest:
        answer = compute_sources_digest(SOURCES, options.name)
    elif options.base:
        answer = recipes[options.name].get_base("alpine")
    elif options.layers:
        answer = compute_base_digest({"RootFS": {"Layers": find_layers(json.load(sys.stdin), options.layers)}})
    else:
        architecture = options.platform.split("/")[1] if options.platform else ""
        programs = fetch_tools(SOURCES, architecture, PackageIndex()) if options.name == LINTER.name else {}
        shutil.copyfileobj(pack_context(SOURCES, options.name, programs), sys.stdout.buffer)
        return
    print(answer)  # noqa: T201


def find_layers(images: dict[str, Any], platform: str) -> list[str]:
    """The layers of an image, or of the image for this platform: its variant (linux/arm64/v8) may follow."""
    if "rootfs" not in images:
        images = next((image for key, image in images.items() if f"{key}/".startswith(f"{platform}/")), {})
    layers: list[str] = images.get("rootfs", {}).get("diff_ids", [])
    if not layers:
        raise SystemExit(f"The base has no image for {platform}.")
    return layers


if __name__ == "__main__":
    main()
