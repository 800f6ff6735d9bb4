"""Recipes of custom images: what is accepted, what each error says, and the script that is made of one."""

import subprocess
from typing import Any

import pytest
from django.core.exceptions import ValidationError

from cronium_admin.core.build_mirrors import check_mirror, parse_mirror
from cronium_admin.image_builds.recipe import load_recipe, parse_recipe
from cronium_admin.image_builds.script import build_script

GOOD: list[dict[str, Any]] = [
    {"base": "python", "python": ["requests==2.*", "uvicorn[standard]>=0.30,<1", " PyYAML ", "a; python_version>'3'"]},
    {"base": "python", "system": ["libpq5", "g++", "libpq5=17.6-0+deb13u1", "python3.13-dev", "py3-x~1"]},
    {"base": "node", "node": ["lodash", "lodash@^4.17", "@types/node@22", "left-pad@>=1 <2", "x@latest", "~a@*"]},
    {"base": "bash", "steps": ["curl -fsS https://example.com | sh", "a\nb"]},
]
BAD: list[tuple[dict[str, Any] | Any, str, str]] = [
    ("python", "recipe", "object"),
    ({}, "recipe.base", "one of"),
    ({"base": "ruby"}, "recipe.base", "bash, python, node"),
    ({"base": "python"}, "recipe", "empty"),
    ({"base": "python", "pip": ["a"]}, "recipe", "pip"),
    ({"base": "python", "python": "requests"}, "recipe.python", "list"),
    ({"base": "python", "python": [1]}, "recipe.python", "list"),
    ({"base": "python", "python": ["--index-url=https://evil"]}, "recipe.python", "PEP 508"),
    ({"base": "python", "python": ["-e ."]}, "recipe.python", "PEP 508"),
    ({"base": "python", "python": ["./local"]}, "recipe.python", "PEP 508"),
    ({"base": "python", "python": ["a @ https://example.com/a.whl"]}, "recipe.python", "URL"),
    ({"base": "python", "python": ["a @ file:///etc/passwd"]}, "recipe.python", "URL"),
    ({"base": "python", "python": ["a\n--pre"]}, "recipe.python", "character"),
    ({"base": "python", "python": ["a" * 201]}, "recipe.python", "201 characters"),
    ({"base": "python", "python": ["a"] * 101}, "recipe.python", "at most 100"),
    ({"base": "python", "python": ["six", "six"]}, "recipe.python", "twice"),
    ({"base": "python", "python": ["six", ""]}, "recipe.python", "Entry 2"),
    ({"base": "python", "system": ["Libpq5"]}, "recipe.system", "lower case"),
    ({"base": "python", "system": ["-y"]}, "recipe.system", "lower case"),
    ({"base": "python", "system": ["a;reboot"]}, "recipe.system", "no package name"),
    ({"base": "python", "system": ["./a.deb"]}, "recipe.system", "no package name"),
    ({"base": "python", "system": ["a b"]}, "recipe.system", "no package name"),
    ({"base": "python", "node": ["lodash"]}, "recipe.node", "base of this one is python"),
    ({"base": "node", "python": ["six"]}, "recipe.python", "base of this one is node"),
    ({"base": "node", "node": ["git+ssh://x/y"]}, "recipe.node", "npm registry"),
    ({"base": "node", "node": ["../x"]}, "recipe.node", "npm registry"),
    ({"base": "node", "node": ["a@npm:b@1"]}, "recipe.node", "npm registry"),
    ({"base": "node", "node": ["a@file:b"]}, "recipe.node", "npm registry"),
    ({"base": "node", "node": ["user/repo"]}, "recipe.node", "npm registry"),
    ({"base": "node", "node": ["--global"]}, "recipe.node", "npm registry"),
    ({"base": "bash", "steps": ["a\0b"]}, "recipe.steps", "NUL"),
    ({"base": "bash", "steps": ["x" * 9000]}, "recipe.steps", "bytes"),
    ({"base": "bash", "steps": ["x"] * 21}, "recipe.steps", "at most 20"),
]


@pytest.mark.parametrize("values", GOOD)
def test_good_recipes(values: dict[str, Any]) -> None:
    recipe = parse_recipe(values)
    assert load_recipe(recipe.values) == recipe
    assert parse_recipe(recipe.values).digest == recipe.digest


@pytest.mark.parametrize(("values", "field", "text"), BAD)
def test_each_mistake_is_named(values: Any, field: str, text: str) -> None:
    with pytest.raises(ValidationError) as caught:
        parse_recipe(values)
    assert text in " ".join(caught.value.message_dict[field])


def test_what_a_smoke_test_imports() -> None:
    assert parse_recipe(GOOD[0]).imports == ["requests", "uvicorn", "PyYAML", "a"]
    assert parse_recipe({"base": "node", "node": ["@types/node@22", "x"]}).imports == ["@types/node", "x"]
    assert parse_recipe(GOOD[3]).imports == []


@pytest.mark.parametrize("values", GOOD)
def test_the_script_is_shell_and_numbers_its_steps(values: dict[str, Any]) -> None:
    text = build_script("mine", 3, parse_recipe(values))
    assert subprocess.run(["bash", "-n"], input=text, text=True, check=False).returncode == 0
    steps = [line for line in text.splitlines() if line.startswith("step ")]
    assert f"STEPS={len(steps)}" in text
    assert [line.split()[1] for line in steps] == [str(number) for number in range(1, len(steps) + 1)]


def test_a_step_can_contain_the_mark_that_ends_it() -> None:
    step = "cat <<END_OF_STEP_1\nhello\nEND_OF_STEP_1\n"
    text = build_script("mine", 1, parse_recipe({"base": "bash", "steps": [step]}))
    assert subprocess.run(["bash", "-n"], input=text, text=True, check=False).returncode == 0
    assert "<<'END_OF_STEP_2'" in text


@pytest.mark.parametrize(
    "url",
    [
        *("ftp://x/", "https://", "x", "https://h/a?b", "https://h/a#b", "https://h/a b", "https://h/$(reboot)"),
        *("https://u:p'@h/", "https://u:a%0Ab@h/", "https://u:a%20b@h/", "http://h:99999/"),
    ],
)
def test_a_bad_mirror_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"must be like|no package manager"):
        check_mirror(url)


def test_credentials_are_taken_out_of_a_mirrors_address() -> None:
    mirror = parse_mirror(check_mirror("https://me:p%40ss@mirror.example:8443/simple/"))
    assert (mirror.url, mirror.user, mirror.password) == ("https://mirror.example:8443/simple", "me", "p@ss")
    assert mirror.pattern == "mirror.example:8443"
    assert parse_mirror("http://h/x").pattern == "h:80"
