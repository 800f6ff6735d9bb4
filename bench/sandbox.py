"""The inspection report of a correct sandbox, made with the fake engine."""

from dataclasses import replace
from ipaddress import IPv4Network
from typing import Any

from cronium_admin.runs.models import Run
from cronium_admin.workers.run_spec import build_spec
from executor import naming
from executor.sandbox import inspection, options
from executor.sandbox.options import Addresses
from tests.fakes.engine import FakeEngine

NETWORKS = list(IPv4Network("10.213.0.0/16").subnets(new_prefix=29))


def create_sandbox_report(run: Run) -> Any:
    spec, engine = replace(build_spec(run, "bench", "local"), joined_network=False), FakeEngine()
    engine.images |= {spec.image, spec.sidecar_image}
    addresses = Addresses(NETWORKS[run.number % len(NETWORKS)])
    network = options.build_network(spec, addresses)
    containers = {
        naming.name_main(spec.run_id): options.build_main_container(spec, addresses, "local"),
        naming.name_sidecar(spec.run_id): options.build_sidecar_container(spec, addresses),
    }
    engine.create_network(network)
    inspected = {network["Name"]: engine.describe_network(network["Name"])}
    for name, body in containers.items():
        engine.create_container(name, body)
        inspected[name] = engine.describe_container(name)
    rows = inspection.build_rows(
        spec, {network["Name"]: network, **containers}, inspected, "runc", inspected[next(iter(containers))]["Image"]
    )
    engine.close()
    return inspection.to_json(rows)
