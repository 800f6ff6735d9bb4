"""A Cronium whose runs start in waiting sandboxes, each of which was ready before its launch."""

import json
import sqlite3
from contextlib import closing
from ipaddress import IPv4Network
from typing import Any

from tests.engine.server import Server

PLACES = 8


class WarmServer(Server):
    """With `is_warm`, a launch waits until a whole Python sandbox of the job's network is ready."""

    def __init__(self, *arguments: Any, **env: str) -> None:
        super().__init__(*arguments, **{"CRONIUM_WARM": str(PLACES), "CRONIUM_MAX_CONCURRENT": "10"} | env)
        self.is_warm = False
        self.launched: list[str] = []
        self._networks: dict[str, str] = {}  # by the job's slug

    def job(self, script: str, language: str = "bash", **more: Any) -> str:
        slug = super().job(script, language, **more)
        self._networks[slug] = more.get("network", "isolated")
        return slug

    def launch(self, slug: str, body: dict[str, Any] | None = None, key: str = "") -> str:
        if self.is_warm:
            self.wait_for(self._networks[slug])
        self.launched.append(super().launch(slug, body, key))
        return self.launched[-1]

    def ended(self, run_id: str, seconds: float = 90) -> dict[str, Any]:
        run = super().ended(run_id, seconds)
        if self.is_warm:
            self.check_warm(run_id)
        return run

    def check_warm(self, run_id: str) -> None:
        """The run started in a whole sandbox that waited."""
        run = self.get(run_id)
        assert (run["warm"], run["cold_reason"]) == (True, ""), run
        assert self._query("SELECT start_kind FROM runs_run WHERE id = ?", run_id.replace("-", "")) == [("warm",)]

    def wait_for(self, network: str, seconds: float = 90) -> list[str]:
        """The ids of the whole Python sandboxes that wait for a run of this network, the newest first."""
        self.until(lambda: self.list_waiting(network), seconds)
        return self.list_waiting(network)

    def list_waiting(self, network: str) -> list[str]:
        rows = self._query(
            "SELECT id FROM warm_warmsandbox WHERE state = 'ready' AND kind = 'whole' AND language = 'python' "
            "AND network = ? ORDER BY ready_at DESC",
            network,
        )
        return [f"{row[:8]}-{row[8:12]}-{row[12:16]}-{row[16:20]}-{row[20:]}" for (row,) in rows]

    def _query(self, statement: str, *values: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.folder / "cronium.sqlite3", timeout=30)) as database:
            return database.execute(statement, values).fetchall()

    def find_addresses(self, run_id: str) -> list[str]:
        """All addresses of a sandbox's networks: of the gateway, the sidecar and main."""
        networks = self.docker.networks(filters={"label": [f"cronium.run_id={run_id}"]})
        subnets = [IPv4Network(network["IPAM"]["Config"][0]["Subnet"]) for network in networks]
        return [str(subnet.network_address + number) for subnet in subnets for number in (1, 2, 3)]

    def find_own_address(self, run_id: str) -> str:
        """Of the network namespace of main, which may be its sidecar's."""
        for role in ("main", "sidecar"):
            networks = self.container(run_id, role)["NetworkSettings"]["Networks"]
            if f"cronium-job-{run_id}" in networks:
                return str(networks[f"cronium-job-{run_id}"]["IPAddress"])
        raise AssertionError(f"{run_id} has no network")

    def execute(self, run_id: str, script: str) -> Any:
        """Runs Python in a main container; the JSON that it prints."""
        command = ["python3", "-c", script]
        made = self.docker.exec_create(f"cronium-main-{run_id}", command, user="1000:1000")["Id"]
        text = self.docker.exec_start(made)
        assert self.docker.exec_inspect(made)["ExitCode"] == 0, text
        return json.loads(text)
