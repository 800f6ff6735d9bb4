"""The packages that a script imports and its image lacks."""

import pytest

from cronium_admin.images.imports import MAX_CHARACTERS, list_installed, suggest_packages


@pytest.mark.parametrize(
    ("script", "packages"),
    [
        ("import requests, yaml\nfrom PIL import Image", ["pillow", "PyYAML", "requests"]),
        ("import os, json.decoder\nfrom collections import abc\nimport cronium, cronium_aio", []),
        ("from . import sibling\nfrom .other import x\nfrom __future__ import annotations", []),
        ("import cv2\nimport bs4, dateutil.parser", ["beautifulsoup4", "opencv-python-headless", "python-dateutil"]),
        ("def f():\n    import numpy as np", ["numpy"]),
        ("from google.cloud import storage\nimport google.protobuf.message", ["google-cloud-storage", "protobuf"]),
        ("from google.cloud.pubsub_v1 import x", ["google-cloud-pubsub-v1"]),
        ("import azure.storage.blob, azure.storage.queue", ["azure-storage-blob"]),
        ("import google", []),
        ("# import requests\ns = 'import numpy'", []),
        ("import requests\nprint 'python 2'", []),  # a syntax error: the script may be half typed
        ("import numpy  # " + "x" * MAX_CHARACTERS, []),
        ("import utils, config, __main__, _private, distutils, urllib2, apt", []),
        ("import é, ok", ["ok"]),
        ("if x:\n    import numpy\nelif y:\n    import attr", ["attrs", "numpy"]),
        ("match x:\n    case 1:\n        import yaml", ["PyYAML"]),
        ("", []),
        ("\0", []),
        ("(" * 10_000, []),
    ],
)
def test_python(script: str, packages: list[str]) -> None:
    assert suggest_packages("python", script, ()) == packages


@pytest.mark.parametrize(
    ("script", "packages"),
    [
        ("try:\n    import ujson\nexcept ImportError: pass", []),
        ("try:\n    import ujson as json\nexcept ModuleNotFoundError:\n    import simplejson as json", []),
        ("try:\n    import ujson\nexcept (OSError, ImportError): pass\nfinally:\n    import attr", ["attrs"]),
        ("try:\n    import ujson\nexcept: pass", []),
        ("try:\n    import numpy\nexcept ImportError:\n    print('no numpy')\n    sys.exit(1)", ["numpy"]),
        ("try:\n    import numpy\nexcept ImportError as error:\n    raise SystemExit from error", ["numpy"]),
        ("try:\n    import a_b\nexcept ImportError:\n    import c_d\n    raise", []),
        ("try:\n    import numpy\nexcept KeyError: pass", ["numpy"]),
        ("try:\n    import ujson\nexcept ImportError: pass\nimport ujson", ["ujson"]),
        ("with contextlib.suppress(ImportError):\n    import ujson\nwith open('x'):\n    import attr", ["attrs"]),
        ("if TYPE_CHECKING:\n    import pandas\nelse:\n    import attr", ["attrs"]),
        ("import typing\nif not typing.TYPE_CHECKING:\n    import attr", ["attrs"]),
        ("if sys.version_info < (3, 11):\n    import tomli", []),
        ("if sys.platform == 'win32':\n    import pywintypes\nif os.name == 'nt':\n    import wmi", []),
        ("if 0:\n    import numpy", []),
        ("importlib.import_module('numpy')\n__import__('yaml')\nexec('import attr')", []),
        ("import sys\nsys.path.insert(0, '/mine')\nimport mine, numpy", []),
        ("open('mine.py', 'w').write('x = 1')\nimport mine, numpy", ["numpy"]),
        ("sys.modules['fake'] = x\nimport fake.part", []),
    ],
)
def test_python_scripts_that_can_do_without(script: str, packages: list[str]) -> None:
    assert suggest_packages("python", script, ()) == packages


@pytest.mark.parametrize(
    ("script", "installed"),
    [
        ("import requests, PIL, ruamel.yaml, my_pkg", ["Requests", "Pillow", "ruamel_yaml", "my.pkg"]),
        ("import cv2, Xlib, redis_om.model", ["opencv-python", "python-xlib", "Redis.OM"]),
        ("import psycopg2, serial", ["psycopg2", "pyserial"]),
        ("from google.cloud import storage", ["google_cloud_storage"]),
    ],
)
def test_what_the_image_has_is_left_out(script: str, installed: list[str]) -> None:
    assert suggest_packages("python", script, ()) != []
    assert suggest_packages("python", script, installed) == []


def test_names_of_an_images_list() -> None:
    packages = [
        ["pypi", "requests", "2"],
        ["deb", "python3-yaml", "6"],
        ["npm", "@a/b", "1"],
        ["apk", "py3-attrs", "1"],
    ]
    assert list_installed("python", packages) == {"requests", "yaml", "attrs"}
    assert list_installed("node", packages) == {"@a/b"}
    assert list_installed("bash", packages) == list_installed("ruby", packages) == set()


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
        ("try { require('optional') } catch (e) { x() }\nif (x) { require('needed') }", ["needed"]),
        ("try { if (x) { require('optional') } } catch {}", []),
        ("import type { A } from 'types'\nimport { B } from 'values'", ["values"]),
        ("""const s = 'require(\\'x\\')', t = "use require('y')", u = `import z from 'z'`""", []),
        ("x.require('a'); Array.from('b'); require.resolve('c'); import.meta.resolve('d')", []),
        ("await import('optional').catch(() => null); await import('needed')", ["needed"]),
        ("module.paths.push('/mine'); require('mine')", []),
        ("createRequire('/mine/')('x'); require('mine')", []),
        ("const require = createRequire(import.meta.url); require('needed')", ["needed"]),
        ("import x from '@/alias'; import y from '~/home'; import z from 'npm:z'; import * as w from\"w\"", ["w"]),
    ],
)
def test_node(script: str, packages: list[str] | None) -> None:
    expected = ["@scope/pkg", "is-odd", "side-effect"] if packages is None else packages
    assert suggest_packages("node", script, ()) == expected


def test_npm_names_are_compared_as_they_are() -> None:
    script = "require('lodash.get'); require('@a/b/deep'); require('c/package.json')"
    assert suggest_packages("node", script, ["lodash-get", "@a/b"]) == ["c", "lodash.get"]


def test_deep_scripts() -> None:
    assert suggest_packages("python", "x = " + "1+" * 20_000 + "1\nimport numpy", ()) in ([], ["numpy"])
    nested = "\n".join(" " * level + "if x:" for level in range(90)) + "\n" + " " * 90 + "import numpy"
    assert suggest_packages("python", nested, ()) == ["numpy"]
    assert suggest_packages("node", "{" * 100_000 + "require('a')" + "'" * 100_000, ()) == ["a"]


def test_bash_has_none() -> None:
    assert suggest_packages("bash", "import requests", ()) == []


def test_a_comment_without_an_end_reaches_to_the_end() -> None:
    assert suggest_packages("node", "require('six')\n" + "/* require('seven')\n" * 10_000, ()) == ["six"]
