"""The JSON log of web and workers: each line is JSON, names its run, and contains no secret."""

import json
import re
import signal
from typing import Any

from tests.engine.scaled import KEYS, Scaled

SECRET = "correct-horse-battery-staple-9-&-<ü>"
TOKEN = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]+")  # of a run: a JWT
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
LEAK = (
    'echo up; echo $KEY; echo $KEY >&2; cronium_output "\\"$KEY\\""; trap \'exit 1\' TERM; while :; do sleep 0.1; done'
)


def lines(cluster: Scaled) -> list[dict[str, Any]]:
    """All log lines of the processes; fails at the first line that is not a JSON object."""
    made = [json.loads(line) for line in cluster.log.read_text().splitlines()]
    made += [line for key in cluster.workers for line in cluster.lines_of(key)]
    assert all({"time", "level", "logger", "message", "host"} <= line.keys() for line in made)
    return made


def test_all_lines_are_json_and_name_their_run_and_hold_no_secret(cluster: Scaled) -> None:
    """A run with a secret is claimed, adopted after its worker was killed, and cancelled."""
    cluster.call("PUT", "/secrets/KEY", {"value": SECRET})
    run_id = cluster.run(LEAK, queue="gpu", secrets=["KEY"], timeout_seconds=300)
    with cluster.watch(run_id) as watch:
        watch.until_line("up")
        cluster.stop_worker("two", signal.SIGKILL)
        cluster.start_worker("two", "--queues", "default,gpu")
        cluster.until(lambda: "adopted" in cluster.kinds(run_id), 30)
        cluster.cancel(run_id)
        assert watch.until_end()["status"] == "cancelled"
    cluster.cleaned(run_id)

    told = lines(cluster)
    happened = [
        line["message"].rpartition(" ")[2] for line in told if line.get("run_id") == run_id and "ms" not in line
    ]
    assert {"queued", "claimed", "started", "adopted", "cancel_requested", "cancelled"} <= set(happened)
    for line in told:
        assert set(UUID.findall(line["message"])) <= {line.get("run_id")}, line
    assert any(line.get("run_id") == run_id and line.get("route", "").endswith("/cancel") for line in told)
    text = json.dumps(told, ensure_ascii=False)
    for secret in (SECRET, SECRET[:12], cluster.token, *KEYS.values()):
        assert secret not in text
    assert not TOKEN.search(text)
