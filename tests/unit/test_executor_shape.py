"""The digest of a shape: equal for two runs of one shape, different as soon as one setting of a sandbox differs."""

from dataclasses import fields, replace
from typing import Any

import pytest

from executor.docker.models import ImageFacts
from executor.sandbox import options, seccomp
from executor.sandbox.shape import EngineTraits, compute_shape_digest, describe_difference, find_shape_digest
from executor.spec import MB, Limits, SandboxSpec, Shape
from tests.fakes.engine import FakeEngine
from tests.fakes.specs import make_spec

MAIN, SIDECAR = ImageFacts("sha256:aa"), ImageFacts("sha256:bb")
LIMITS = make_spec().limits
# Another value of each setting, and the network with which it matters.
OTHER: dict[str, tuple[Any, str]] = {
    "instance": ("another", "isolated"),
    "host": ("another", "isolated"),
    "language": ("python", "isolated"),
    "limits": (replace(LIMITS, pids=101), "none"),
    "log_limit_bytes": (60 * MB, "none"),
    "read_only_root": (False, "none"),
    "network": ("open", "isolated"),
    "egress_dns": (("9.9.9.9",), "egress"),
    "runtime": ("runsc", "none"),
    "joined_network": (False, "isolated"),
    "is_build": (True, "none"),
    "runs_dockerfile": (True, "none"),
}
BY_ID = {"image", "image_digest", "image_resolved", "sidecar_image"}  # of these, the digest has the ids of the images


def digest(
    shape: Shape,
    image: ImageFacts = MAIN,
    sidecar: ImageFacts = SIDECAR,
    version: str = "20.10.24",
    driver: str = "local",
) -> str:
    return compute_shape_digest(shape, image, sidecar, EngineTraits(version, driver, "runc"))


def test_each_setting_of_a_shape_is_tried() -> None:
    assert OTHER.keys() | BY_ID == {item.name for item in fields(Shape)}


@pytest.mark.parametrize("name", OTHER)
def test_another_setting_is_another_shape(name: str) -> None:
    value, network = OTHER[name]
    shape = make_spec(network=network, is_build=name == "runs_dockerfile").shape
    other = replace(shape, **{name: value})
    assert digest(other) != digest(shape)
    assert describe_difference(shape, other) == name.replace("_", " ")


@pytest.mark.parametrize(
    "limits",
    [replace(LIMITS, nano_cpus=1), replace(LIMITS, memory_bytes=256 * MB), Limits(2 * 10**9, 2048 * MB, 1000)],
)
def test_each_limit_counts(limits: Limits) -> None:
    shape = make_spec().shape
    assert digest(replace(shape, limits=limits)) != digest(shape)


@pytest.mark.parametrize(
    "changes",
    [
        {"image": ImageFacts("sha256:cc")},
        {"image": ImageFacts("sha256:aa", volumes=("/data",))},
        {"image": ImageFacts("sha256:aa", variables=("CRONIUM_OWN",))},
        {"sidecar": ImageFacts("sha256:cc")},
        {"version": "28.0.0"},
        {"driver": "json-file"},
    ],
)
def test_so_do_the_images_and_the_engine(changes: dict[str, Any]) -> None:
    shape = make_spec().shape
    assert digest(shape, **changes) != digest(shape)


@pytest.mark.parametrize("network", ["isolated", "none", "egress", "open"])
def test_so_do_the_system_calls(network: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shape = make_spec(network=network).shape
    before = digest(shape)
    monkeypatch.setattr(seccomp, "build_security_option", lambda: "seccomp={}")
    assert digest(shape) != before


@pytest.mark.parametrize(
    "builder", ["build_network", "build_egress_network", "build_main_container", "build_sidecar_container"]
)
def test_so_does_every_flag_of_each_body(builder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shape, build = make_spec(network="egress").shape, getattr(options, builder)
    before = digest(shape)
    monkeypatch.setattr(options, builder, lambda *given: build(*given) | {"FlagOfTomorrow": True})
    assert digest(shape) != before


@pytest.mark.parametrize("network", ["isolated", "none", "egress", "open"])
def test_two_runs_of_one_shape_have_the_same(network: str) -> None:
    first = make_spec(network=network, env={"A": "1"}, secrets={"B": "2"}, input=[1], egress=("a.example:443",))
    second = make_spec(network=network, script="exit 3", epoch=9, timeout_seconds=1.0, merge_streams=True)
    assert first.run_id != second.run_id
    assert first.shape == second.shape
    assert digest(first) == digest(second) == digest(first.shape)


def test_a_name_of_an_image_does_not_count_and_its_id_does() -> None:
    engine = FakeEngine(("runner:bash", "runner:other", "sidecar:latest"))
    shape = make_spec().shape
    exact = replace(shape, image_digest=engine.describe_image("runner:bash").id)
    before = find_shape_digest(engine, shape)
    assert find_shape_digest(engine, exact) == before
    assert find_shape_digest(engine, replace(shape, image="runner:other")) != before
    engine.tags["runner:bash"] = "runner:other"
    assert find_shape_digest(engine, shape) != before
    assert find_shape_digest(engine, exact) == before
    del engine.tags["runner:bash"]
    engine.tags["sidecar:latest"] = "runner:other"
    assert find_shape_digest(engine, shape) != before
    engine.close()


def test_a_shape_and_a_sandbox_hold_nothing_of_their_run() -> None:
    spec = make_spec()
    assert {item.name for item in fields(Shape)} & {"script", "env", "secrets", "masked", "token", "input"} == set()
    assert type(spec.sandbox) is SandboxSpec
    assert vars(spec.sandbox).keys() == {item.name for item in fields(Shape)} | {"run_id", "epoch"}
    assert vars(spec.shape).keys() == {item.name for item in fields(Shape)}
    assert spec.sandbox == spec.shape.make_sandbox_spec(spec.run_id, spec.epoch)
