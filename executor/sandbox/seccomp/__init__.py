"""Pure: the seccomp profile of every container, an allow-list built from `table` with rules for arguments.

Some engines ignore parts of the format, so the profile uses only the allow action, EQ and MASKED_EQ (several NE rules
of one call are OR-ed and block nothing), and `errnoRet` on a single rule.
"""

import json
from functools import lru_cache
from typing import Any

from executor.sandbox.seccomp.table import ALLOWED

UNIX, INET, INET6, NETLINK = 1, 2, 10, 16
NETLINK_AUDIT = 9
STREAM, DGRAM = 1, 2
TYPE_MASK = 0xF  # the other bits of a socket's type are flags such as SOCK_CLOEXEC
PROTOCOLS = {INET: {STREAM: (0, 6), DGRAM: (0, 1, 17)}, INET6: {STREAM: (0, 6), DGRAM: (0, 17, 58)}}
# CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET.
NAMESPACE_FLAGS = 0x7E020000
# PER_LINUX, PER_LINUX32 and both with UNAME26; the last value queries the current personality.
PERSONALITIES = (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)
ENOSYS, EPROTONOSUPPORT = 38, 93
ARCHITECTURES = ("SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64")

Rule = dict[str, Any]


def _match_equal(index: int, value: int) -> Rule:
    return {"index": index, "value": value, "valueTwo": 0, "op": "SCMP_CMP_EQ"}


def _match_masked(index: int, mask: int, value: int) -> Rule:
    return {"index": index, "value": mask, "valueTwo": value, "op": "SCMP_CMP_MASKED_EQ"}


def _allow_calls(names: list[str], args: list[Rule] | None = None, comment: str = "") -> Rule:
    return {"names": names, "action": "SCMP_ACT_ALLOW", "args": args or [], "comment": comment}


def _build_socket_rules() -> list[Rule]:
    rules = [
        _allow_calls(["socket", "socketpair"], [_match_equal(0, UNIX)], "AF_UNIX"),
        _allow_calls(["socket"], [_match_equal(0, NETLINK), _match_equal(2, 0)], "AF_NETLINK, NETLINK_ROUTE"),
    ]
    for family, kinds in PROTOCOLS.items():
        for kind, protocols in kinds.items():
            for protocol in protocols:
                arguments = [_match_equal(0, family), _match_masked(1, TYPE_MASK, kind), _match_equal(2, protocol)]
                rules.append(_allow_calls(["socket"], arguments, f"family {family}, type {kind}, protocol {protocol}"))
    return rules


def build_profile() -> dict[str, Any]:
    rules = [_allow_calls(list(group.calls), comment=group.purpose) for group in ALLOWED]
    rules += _build_socket_rules()
    rules.append(
        _allow_calls(["clone"], [_match_masked(0, NAMESPACE_FLAGS, 0)], "threads and processes, no namespaces")
    )
    # libaudit, and with it groupadd and useradd, gives up on any other error. The socket is refused all the same.
    audit = [_match_equal(0, NETLINK), _match_equal(2, NETLINK_AUDIT)]
    rules.append(
        {"names": ["socket"], "action": "SCMP_ACT_ERRNO", "errnoRet": EPROTONOSUPPORT, "args": audit, "comment": ""}
    )
    # The flags of clone3 are behind a pointer, which a filter cannot read. ENOSYS makes a libc use clone.
    rules.append({"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": ENOSYS, "args": [], "comment": ""})
    rules += [_allow_calls(["personality"], [_match_equal(0, value)]) for value in PERSONALITIES]
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        # No sub-architectures: 32-bit calls on a 64-bit kernel have other numbers and would bypass the rules.
        "archMap": [{"architecture": name, "subArchitectures": []} for name in ARCHITECTURES],
        "syscalls": rules,
    }


@lru_cache
def build_security_option() -> str:
    # The whole profile, because the engine may be on another machine.
    return "seccomp=" + json.dumps(build_profile(), separators=(",", ":"))
