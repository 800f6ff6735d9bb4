"""Packs and unpacks sandbox reports. Pure.

The part that is equal for all sandboxes of a kind is a table, which is stored once. A run stores its networks and
the rows in which the engine's report deviates from the table.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network
from typing import Any

_ADDRESS = re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}\b")
_PLACE = re.compile(r"\{(\d+)\+(\d+)\}")
_RUN, _SHORT = "{run}", "{short}"  # the run's id, and the part of it that is in the names of bridges
_SHORT_LENGTH = 10
Template = str | list[str]  # a template; a list holds a literal text
Table = list[list[Any]]  # of [of, what, asked, promise]


def pack_report(run_id: str, report: Mapping[str, Any]) -> tuple[Table, dict[str, Any]]:
    """Returns the table, equal for all sandboxes of a kind, and the run's part: `nets`, and `drift` by row number."""
    rows: Sequence[Mapping[str, Any]] = report["rows"]
    nets = [row["asked"] for row in rows if row["what"] == "subnet" and _is_network(row["asked"])]
    own: dict[str, Any] = {"nets": nets, "drift": {}}
    table: Table = []
    for number, row in enumerate(rows):
        table.append([row["of"], row["what"], _to_template(row["asked"], run_id, nets), row["promise"]])
        if row["drift"]:
            own["drift"][str(number)] = row["reported"]
    return table, own


def unpack_report(run_id: str, table: Table, own: Mapping[str, Any]) -> dict[str, Any]:
    rows = []
    for number, (of, what, template, promise) in enumerate(table):
        requested = _from_template(template, run_id, own["nets"])
        reported = own["drift"].get(str(number))
        row = {"of": of, "what": what, "asked": requested, "reported": requested if reported is None else reported}
        rows.append({**row, "drift": reported is not None, "promise": promise})
    return {"rows": rows, "count": len(rows), "drifted": len(own["drift"])}


def digest_table(table: Table) -> str:
    return hashlib.sha256(json.dumps(table, ensure_ascii=False, separators=(",", ":")).encode()).hexdigest()


def _is_network(text: str) -> bool:
    try:
        IPv4Network(text)
    except ValueError:
        return False
    return True


def _shorten_id(run_id: str) -> str:
    return run_id.replace("-", "")[:_SHORT_LENGTH]


def _to_template(text: str, run_id: str, nets: Sequence[str]) -> Template:
    # Replaces the run's id and the addresses of its networks, unless the replacement is not reversible
    networks = [IPv4Network(net) for net in nets]

    def place(match: re.Match[str]) -> str:
        try:
            address = IPv4Address(match[0])
        except ValueError:
            return match[0]
        for number, network in enumerate(networks):
            if address in network:
                return f"{{{number}+{int(address) - int(network.network_address)}}}"
        return match[0]

    template = _ADDRESS.sub(place, text.replace(run_id, _RUN).replace(_shorten_id(run_id), _SHORT))
    return template if _from_template(template, run_id, nets) == text else [text]


def _from_template(template: Template, run_id: str, nets: Sequence[str]) -> str:
    if isinstance(template, list):
        return template[0]

    def address(match: re.Match[str]) -> str:
        number = int(match[1])
        return str(IPv4Network(nets[number]).network_address + int(match[2])) if number < len(nets) else match[0]

    return _PLACE.sub(address, template.replace(_RUN, run_id).replace(_SHORT, _shorten_id(run_id)))
