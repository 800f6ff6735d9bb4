"""The seccomp profile: allowed calls, calls that must never be allowed, and the table in the documentation."""

import json
from pathlib import Path
from typing import Any

import pytest

from executor.sandbox import seccomp
from executor.sandbox.seccomp.__main__ import format_table
from executor.sandbox.seccomp.table import ALLOWED, REFUSED

DOCUMENT = Path(__file__).parent.parent.parent / "docs" / "security.md"
RULES: list[dict[str, Any]] = seccomp.build_profile()["syscalls"]


def holds(argument: dict[str, Any], value: int) -> bool:
    if argument["op"] == "SCMP_CMP_EQ":
        return bool(value == argument["value"])
    assert argument["op"] == "SCMP_CMP_MASKED_EQ"
    return bool(value & argument["value"] == argument["valueTwo"])


def answer(name: str, *values: int) -> str:
    """The answer of a kernel with this filter: that of the matching rule, else the default."""
    for rule in RULES:
        if name not in rule["names"]:
            continue
        if all(holds(argument, values[argument["index"]]) for argument in rule["args"]):
            return str(rule["action"]) + str(rule.get("errnoRet", ""))
    return str(seccomp.build_profile()["defaultAction"])


ALLOW, REFUSE = "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO"


@pytest.mark.parametrize("name", [call for group in REFUSED for call in group.calls])
def test_what_is_called_refused_is_refused(name: str) -> None:
    assert all(name not in rule["names"] for rule in RULES)


@pytest.mark.parametrize(
    ("family", "kind", "protocol", "expected"),
    [
        (1, 1, 0, ALLOW),
        (1, 1 | 0o2000000, 0, ALLOW),
        (2, 1, 0, ALLOW),
        (2, 1 | 0o2000000 | 0o4000, 6, ALLOW),  # SOCK_CLOEXEC and SOCK_NONBLOCK
        (2, 2, 17, ALLOW),
        (2, 2, 1, ALLOW),
        (10, 1, 6, ALLOW),
        (10, 2, 0, ALLOW),
        (16, 3, 0, ALLOW),
        (16, 3, 9, f"{REFUSE}93"),  # NETLINK_AUDIT: "not supported", which groupadd tolerates
        (16, 3, 15, REFUSE),  # NETLINK_KOBJECT_UEVENT
        (2, 3, 1, REFUSE),  # raw
        (2, 5, 0, REFUSE),  # SCTP
        (2, 6, 0, REFUSE),  # DCCP
        (2, 1, 262, REFUSE),  # MPTCP
        (40, 1, 0, REFUSE),  # AF_VSOCK
        (17, 3, 0, REFUSE),  # AF_PACKET
        (38, 5, 0, REFUSE),  # AF_ALG
        (29, 3, 1, REFUSE),  # AF_CAN
        (44, 3, 0, REFUSE),  # AF_XDP
    ],
)
def test_sockets_by_family_type_and_protocol(family: int, kind: int, protocol: int, expected: str) -> None:
    assert answer("socket", family, kind, protocol) == expected


def test_socket_pairs_are_local() -> None:
    assert answer("socketpair", 1, 1, 0) == ALLOW
    assert answer("socketpair", 40, 1, 0) == REFUSE


@pytest.mark.parametrize("flag", [0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000])
def test_clone_makes_no_namespace(flag: int) -> None:
    assert answer("clone", flag | 17) == REFUSE
    assert answer("clone", 17) == ALLOW
    assert answer("clone", 0x3D0F00) == ALLOW  # the flags of a new thread


def test_clone3_is_said_to_be_missing() -> None:
    assert answer("clone3") == "SCMP_ACT_ERRNO38"


def test_personality_only_without_effect() -> None:
    assert [answer("personality", value) for value in (0, 0xFFFFFFFF, 0x0040000)] == [ALLOW, ALLOW, REFUSE]


def test_no_second_architecture() -> None:
    assert {one["architecture"]: one["subArchitectures"] for one in seccomp.build_profile()["archMap"]} == {
        "SCMP_ARCH_X86_64": [],
        "SCMP_ARCH_AARCH64": [],
    }


def test_no_call_stands_twice_and_none_is_both() -> None:
    allowed = [call for group in ALLOWED for call in group.calls]
    assert len(allowed) == len(set(allowed))
    assert not set(allowed) & {call for group in REFUSED for call in group.calls}
    assert not set(allowed) & {"socket", "socketpair", "clone", "clone3", "personality"}


def test_only_rules_that_old_engines_obey() -> None:
    operators = {argument["op"] for rule in RULES for argument in rule["args"]}
    assert operators == {"SCMP_CMP_EQ", "SCMP_CMP_MASKED_EQ"}
    assert "defaultErrnoRet" not in seccomp.build_profile()
    assert json.loads(seccomp.build_security_option().removeprefix("seccomp=")) == seccomp.build_profile()


def test_the_documentation_is_the_table() -> None:
    text = DOCUMENT.read_text()
    assert format_table(ALLOWED) in text, (
        "copy the output of `python -m executor.sandbox.seccomp` into docs/security.md"
    )
    assert format_table(REFUSED) in text
