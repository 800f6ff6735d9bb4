"""Forged, foreign and expired tokens, malformed requests and floods at the sidecar; secrets printed by a script."""

import base64
import json
import re
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from executor.run import tokens
from executor.spec import MB
from tests.engine.hostile import probes
from tests.engine.server import ROOT, Server
from tests.engine.test_secrets import SCRIPTS, SECRETS, clean, everything

# Backwards: as it is, the log masks it.
SHOW_TOKEN = 'import os; print(os.environ["CRONIUM_EXECUTION_TOKEN"][::-1], flush=True)\n'


@pytest.fixture(scope="module")
def key(server: Server) -> Ed25519PrivateKey:
    """The installation's signing key, which no sandbox holds, for correctly signed forgeries."""
    code = "from django.conf import settings; print(settings.SECRET_KEY)"
    command = [sys.executable, "manage.py", "shell", "-v", "0", "-c", code]
    shown = subprocess.run(command, cwd=ROOT, env=server.env, capture_output=True, text=True, check=True, timeout=60)
    return tokens.derive_signing_key(shown.stdout.strip().splitlines()[-1])


def signed(key: Ed25519PrivateKey, run_id: str, other: str) -> dict[str, str]:
    """Tokens with a valid signature that are not this run's, and a token with another key."""
    now = int(time.time())
    claims = {
        "sub": run_id,
        "aud": tokens.AUDIENCE,
        "iss": tokens.ISSUER,
        "iat": now,
        "nbf": now - 30,
        "exp": now + 3600,
    }

    def make(by: Ed25519PrivateKey = key, header: dict[str, str] | None = None, **changes: Any) -> str:
        return jwt.encode(claims | changes, by, algorithm="EdDSA", headers={"typ": tokens.TYPE, **(header or {})})

    return {
        "wrong audience, truly signed": make(aud="cronium"),
        "expired, truly signed": make(exp=now - 1),
        "other run, truly signed": make(sub=other),
        "other issuer, truly signed": make(iss="somebody"),
        "other type, truly signed": make(header={"typ": "JWT"}),
        "kid, truly signed": make(header={"kid": "1"}),
        "a stranger's key": make(by=Ed25519PrivateKey.generate()),
    }


@dataclass
class Attack:
    """The sidecar's answers, and the resources that its container used meanwhile."""

    answers: dict[str, dict[str, Any]]
    fine: dict[str, Any]
    before: int  # bytes
    after: int
    peak: int | None  # None if the engine does not report it
    sidecar: dict[str, Any]


def _memory(server: Server, run_id: str) -> tuple[int, int | None]:
    """The sidecar's memory without reclaimable pages, and its maximum (cgroup v1 only)."""
    memory = server.docker.stats(f"cronium-sidecar-{run_id}", stream=False)["memory_stats"]
    inactive = memory["stats"].get("total_inactive_file", memory["stats"].get("inactive_file", 0))
    return int(memory["usage"] - inactive), memory.get("max_usage")


def token_of(text: bytes) -> str:
    """The token that a script has printed in reverse."""
    found = re.search(rb"eyJ[\w-]+\.[\w-]+\.[\w-]+", text[::-1])
    assert found, text[:500]
    return found[0].decode()


@pytest.fixture(scope="module")
def attack(server: Server, innocent: str, key: Ed25519PrivateKey) -> Iterator[Attack]:
    ended = server.run(SHOW_TOKEN, "python")
    server.ended(ended)
    others = {
        name: {"run": run_id, "token": token_of(server.text(run_id))}
        for name, run_id in {"an ended run": ended, "a living run": innocent}.items()
    }
    slug = server.job(probes.read("sidecar"), "python", timeout_seconds=180)
    run_id = server.launch(slug)
    with server.watch(run_id) as watch:
        watch.until_status("running")
        before, _ = _memory(server, run_id)
        public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        given = {
            "others": others,
            "signed": signed(key, run_id, innocent),
            "public_key": base64.b64encode(public).decode(),
        }
        server.call("PUT", f"/variables/{slug}/given", {"value": given})
        watch.until(lambda one: one.end or any('"answers"' in line[3] for line in one.lines), 150)
    got = json.loads(server.text(run_id).decode(errors="replace").splitlines()[-1])
    after, peak = _memory(server, run_id)
    yield Attack(got["answers"], got["fine"], before, after, peak, server.container(run_id, "sidecar"))
    server.open_gate(run_id)
    assert server.ended(run_id)["status"] == "succeeded"
    assert server.get(run_id)["output"] is None


def test_what_is_asked_rightly_is_answered(attack: Attack) -> None:
    """The control: the correct token and path, before, during and after the attack."""
    assert set(attack.fine.values()) == {200}, attack.fine


def test_no_forged_token_opens_anything(attack: Attack) -> None:
    answers = attack.answers["tokens"]
    assert len(answers) >= 25
    assert {name: one for name, one in answers.items() if one not in (400, 401, 431)} == {}


def test_no_other_runs_token_or_path_opens_anything(attack: Attack) -> None:
    """For a live and an ended run: its token at this sidecar, its path with this run's token, and both."""
    answers = attack.answers["others"]
    assert len(answers) == 6
    assert {one for name, one in answers.items() if not name.startswith("way of")} == {401}
    assert {one for name, one in answers.items() if name.startswith("way of")} == {403}


def test_path_tricks_find_nothing(attack: Attack) -> None:
    answers = attack.answers["targets"]
    assert {target: one for target, one in answers.items() if one not in (400, 403, 404, 405, 431)} == {}


def test_bodies_without_end_or_sense_are_refused(attack: Attack) -> None:
    answers = dict(attack.answers["bodies"])
    assert answers["1 GB by length"] == answers["1 GB in chunks"] == 413
    assert answers["deep lists"] == answers["deep objects"] == 400
    assert answers.pop("length and chunks") in (400, 501)
    assert {name: one for name, one in answers.items() if not (one == "closed" or 400 <= one < 500)} == {}


def test_a_slow_loris_is_hung_up_on_and_others_are_served_meanwhile(attack: Attack) -> None:
    slow = attack.answers["slow"]
    assert slow["closed"] == 80


def test_the_sidecars_memory_is_flat(attack: Attack) -> None:
    assert attack.sidecar["State"]["Running"]
    assert not attack.sidecar["State"]["OOMKilled"]
    assert attack.after < attack.before + 24 * MB, f"{attack.before} before, {attack.after} after"
    if attack.peak is not None:
        assert attack.peak < 120 * MB, attack.peak  # of 268; two gigabytes were sent


def test_a_finished_runs_token_is_dead_within_a_second(server: Server, runner_images: dict[str, str]) -> None:
    """Sent continuously from a container in the sidecar's own network."""
    wait = "import time\nwhile not os.path.exists('/tmp/gate'): time.sleep(0.05)"
    run_id = server.run(SHOW_TOKEN + wait, "python")
    with server.watch(run_id) as watch:
        token = token_of(watch.until_line("Jye").lines[-1][3].encode())
    ask = f"""
import time, urllib.request
while True:
    request = urllib.request.Request("http://127.0.0.1:8081/executions/{run_id}/variables/x", b'1', method="PUT",
        headers={{"Authorization": "Bearer {token}", "Content-Type": "application/json"}})
    try:
        print(time.time(), urllib.request.urlopen(request, timeout=2).status, flush=True)
    except OSError as error:
        print(time.time(), getattr(error, "code", "away"), flush=True)
    time.sleep(0.02)
"""
    client = server.docker
    made = client.create_container(
        runner_images["python"],
        ["-c", ask],
        entrypoint=["python3"],
        labels={"cronium.instance": server.instance},
        host_config=client.create_host_config(network_mode=f"container:cronium-sidecar-{run_id}"),
    )["Id"]
    try:
        client.start(made)
        server.until(lambda: b" 200\n" in client.logs(made))
        server.open_gate(run_id)
        finished = datetime.fromisoformat(server.ended(run_id)["finished_at"]).timestamp()

        def rows_so_far() -> list[list[str]]:
            return [line.split() for line in client.logs(made).decode().splitlines() if line[:1].isdigit()]

        server.until(lambda: float(rows_so_far()[-1][0]) > finished + 1.5)  # its requests never succeed
        rows = rows_so_far()
    finally:
        client.remove_container(made, force=True)
    answered = [float(at) for at, status in rows if status == "200"]
    assert answered, rows
    assert max(answered) < finished + 1
    assert rows[-1][1] != "200"
    server.cleaned(run_id)


def test_the_dashboards_port_knows_no_runs_token(server: Server, innocent: str) -> None:
    """The port serves none of the sidecar's routes, and refuses a run's token."""
    headers = {"Authorization": f"Bearer {token_of(server.text(innocent))}"}
    for path in ("input", "context", "variables/x", "output", "condition"):
        for before in ("", "/api/v1", "/api"):
            answer = server.client.get(f"{server.url}{before}/executions/{innocent}/{path}", headers=headers)
            assert answer.status_code in (401, 404), (before, path, answer.status_code)
    for path in ("/jobs", f"/runs/{innocent}", f"/runs/{innocent}/logs.txt", "/variables", "/secrets"):
        assert server.client.get(path, headers=headers).status_code == 401
        assert server.client.get(path).status_code == 200
    url = f"ws://127.0.0.1:{server.port}/ws/runs/{innocent}/logs"
    with connect(url, additional_headers=headers) as one, pytest.raises(ConnectionClosed):
        one.recv(10)
    assert one.close_code == 4403


def test_a_secret_in_any_disguise_is_masked_before_it_is_stored(server: Server) -> None:
    """Plain, line by line, base64 at three alignments, URL-encoded, as JSON, and across block boundaries."""
    for name, value in SECRETS.items():
        server.call("PUT", f"/secrets/{name}", {"value": value})
    run_id = server.run(SCRIPTS["python"], "python", secrets=list(SECRETS))
    with server.watch(run_id) as watch:
        watch.until_end()
    assert server.get(run_id)["status"] == "succeeded"
    for where, text in everything(server, run_id, watch).items():
        clean(text, where)


def test_the_same_script_shows_what_is_no_secret(new_server: Any) -> None:
    """The control: as plain environment the same values are found in the log."""
    server: Server = new_server().start()
    try:
        run_id = server.run(SCRIPTS["python"], "python", env=SECRETS)
        server.ended(run_id)
        with pytest.raises(AssertionError, match=r"in logs\.txt"):
            clean(server.text(run_id), "logs.txt")
        with sqlite3.connect(server.folder / "cronium.sqlite3") as database:
            rows = repr(database.execute("SELECT * FROM runs_run").fetchall()).encode()
        with pytest.raises(AssertionError, match="in the rows"):
            clean(rows, "the rows")
    finally:
        server.stop()
        server.sweep()
