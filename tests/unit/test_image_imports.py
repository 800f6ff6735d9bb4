"""The packages that a script imports and its image lacks."""

import pytest

from cronium_admin.image_builds.imports import suggest_packages


@pytest.mark.parametrize(
    ("script", "packages"),
    [
        ("import requests, yaml\nfrom PIL import Image", ["pillow", "PyYAML", "requests"]),
        ("import os, json.decoder\nfrom collections import abc\nimport cronium, cronium_aio", []),
        ("from . import sibling\nfrom .other import x\nfrom __future__ import annotations", []),
        ("import cv2\nimport bs4, dateutil.parser", ["beautifulsoup4", "opencv-python-headless", "python-dateutil"]),
        ("def f():\n    import numpy as np\ntry:\n    import ujson\nexcept ImportError: pass", ["numpy", "ujson"]),
        ("from google.cloud import storage\nimport google.protobuf.message", ["google-cloud-storage", "protobuf"]),
        ("from google.cloud.pubsub_v1 import x", ["google-cloud-pubsub-v1"]),
        ("import google", []),
        ("# import requests\ns = 'import numpy'", []),
        (
            "import requests\nprint 'python 2'\nfrom yaml import load\nimport a.b, c as d",
            ["a", "c", "PyYAML", "requests"],
        ),
        ("", []),
        ("\0", []),
        ("(" * 10_000, []),
    ],
)
def test_python(script: str, packages: list[str]) -> None:
    assert suggest_packages("python", script, ()) == packages


def test_what_the_image_has_is_left_out() -> None:
    script = "import requests, PIL, ruamel.yaml, my_pkg"
    assert suggest_packages("python", script, ["Requests", "Pillow", "ruamel_yaml", "my.pkg"]) == []


@pytest.mark.parametrize(
    ("script", "packages"),
    [
        (
            'const a = require("lodash"); const b = require("./own"); require("node:fs"); require("fs/promises")',
            ["lodash"],
        ),
        ("import x from 'is-odd';\nimport {y} from '@scope/pkg/deep/file.js';\nimport 'side-effect'", None),
        (
            "// require('commented')\n/* import a from 'b' */\nconst s = \"http://example.com\"; require('after')",
            ["after"],
        ),
        ("await import('dynamic'); require(variable); require('cronium')", ["dynamic"]),
        ('export {a} from "re-export"', ["re-export"]),
        ("require('UPPER'); require('../x'); require('#own'); require('https://x/y.js')", []),
        ("this is not { javascript", []),
    ],
)
def test_node(script: str, packages: list[str] | None) -> None:
    expected = ["@scope/pkg", "is-odd", "side-effect"] if packages is None else packages
    assert suggest_packages("node", script, ()) == expected


def test_bash_has_none() -> None:
    assert suggest_packages("bash", "import requests", ()) == []
