"""Secrets on the real engine: the script gets them, and no other place contains them."""

import base64
import json
import sqlite3
import subprocess
from hashlib import sha256
from typing import Any
from urllib.parse import quote

import pytest
from cryptography.fernet import Fernet

from tests.engine.server import Server, manage
from tests.forks import run_python

ODD = 'p@ss/w+rd "nine" 100% \\o/ <é>'
PEM = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0B\nAQEFAASCBKcwggSjAgEAAoIB\n-----END KEY-----"
SECRETS = {"ODD": ODD, "PEM": PEM}
SCRIPTS = {
    "bash": r"""
for value in "$ODD" "$PEM"; do
  echo "$value"; printf '%s' "$value"; echo
  printf '%s' "$value" | base64; printf '%s' "$value" | base64 | tr '+/' '-_'
  printf 'x%s' "$value" | base64 | tr -d '\n'; echo; printf 'xy%s' "$value" | base64 | tr -d '\n'; echo
  printf '%q\n' "$value"
  echo "$value" >&2
done
env; set; export -p
for at in 0 4 8 12; do printf %s "${ODD:at:4}"; sleep 0.15; done; echo "${ODD:16}"
echo begun; sleep 0.5
set -x; : "$ODD" "$PEM"
""",
    "python": """
import base64, json, os, sys, urllib.parse, time
for value in (os.environ["ODD"], os.environ["PEM"]):
    raw = value.encode()
    for before in (b"", b"x", b"xy"):
        print(base64.b64encode(before + raw).decode(), base64.urlsafe_b64encode(before + raw).decode())
    print(urllib.parse.quote(value), urllib.parse.quote(value, safe=""), urllib.parse.quote_plus(value))
    print(json.dumps(value), json.dumps(value, ensure_ascii=False), repr(value), raw, value, file=sys.stderr)
print(dict(os.environ))
for at in range(len(raw)):
    sys.stdout.buffer.write(raw[at:at + 1]); sys.stdout.buffer.flush(); time.sleep(0.01)
sys.stdout.buffer.write(b"\\n" + b"x" * (1024 * 1024 - 7) + raw.split(b"\\n")[1] + b"\\n")
import cronium
cronium.output({"values": [os.environ["ODD"], os.environ["PEM"]]})
""",
    "node": """
for (const value of [process.env.ODD, process.env.PEM]) {
  const raw = Buffer.from(value);
  for (const before of ["", "x", "xy"]) {
    const whole = Buffer.concat([Buffer.from(before), raw]);
    console.log(whole.toString("base64"), whole.toString("base64url"));
  }
  console.log(encodeURIComponent(value), encodeURI(value), new URLSearchParams({ value }).toString());
  console.error(JSON.stringify(value), JSON.stringify({ value }), value);
}
console.log(process.env);
""",
}


def forbidden() -> list[bytes]:
    """Texts that must not be found anywhere: long parts of the values and of their base64, and the encoded forms."""
    found = []
    for value in SECRETS.values():
        plain = value.encode()
        found += plain.split(b"\n")
        found += [quote(value, safe="").encode(), quote(value).encode(), json.dumps(value)[1:-1].encode()]
        for before in range(3):
            text = base64.b64encode(b"\0" * before + plain)
            found += [text[at : at + 16] for at in range(4, len(text) - 20, 4)]
    return [*found, b"p@ss", b'"nine"', b"nine\\", b"%22nine"]


def clean(text: bytes, where: str) -> None:
    for part in forbidden():
        assert part not in text, f"{part!r} in {where}: {text[max(0, text.find(part) - 80) :][:200]!r}"


@pytest.fixture(scope="module")
def stored(real_server: Server) -> Server:
    for name, value in SECRETS.items():
        real_server.call("PUT", f"/secrets/{name}", {"value": value, "description": "a test's"})
    return real_server


def everything(server: Server, run_id: str, watch: Any) -> dict[str, bytes]:
    """All data that shows or stores anything of a run."""
    slug = server.get(run_id)["job"]["slug"]
    paths = (f"/runs/{run_id}", f"/runs/{run_id}/logs?limit=1000", "/runs", f"/jobs/{slug}", "/jobs", "/secrets")
    found = {path: server.client.get(path).content for path in paths}
    found["logs.txt"] = server.text(run_id)
    found["socket"] = repr((watch.lines, watch.partial, watch.statuses)).encode()
    with sqlite3.connect(server.folder / "cronium.sqlite3") as database:
        # Chunks are compressed: their text is in logs.txt. All other rows are text.
        tables = [row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        found["rows"] = repr([database.execute(f'SELECT * FROM "{name}"').fetchall() for name in tables]).encode()
    for file in server.folder.glob("cronium.sqlite3*"):
        found[file.name] = file.read_bytes()
    found["server's log"] = server.log.read_bytes()
    return found


@pytest.mark.parametrize("language", list(SCRIPTS))
def test_no_disguise_is_found_anywhere(stored: Server, language: str) -> None:
    run_id = stored.run(SCRIPTS[language], language, secrets=list(SECRETS))
    with stored.watch(run_id) as watch:
        watch.until_end()
    run = stored.get(run_id)
    found = everything(stored, run_id, watch)
    assert run["status"] == "succeeded", found["logs.txt"]
    assert found["logs.txt"].count(b"***") > 10
    assert run["secrets"] == ["ODD", "PEM"]
    if language == "python":
        assert run["output"] == {"values": ["***", "***\n***\n***\n***"]}
    for where, text in found.items():
        clean(text, where)


def test_the_script_gets_the_exact_values_and_the_engine_does_not(stored: Server) -> None:
    check = (
        "import hashlib, os, time\n"
        "print(*(hashlib.sha256(os.environ[name].encode()).hexdigest() for name in ('ODD', 'PEM')), flush=True)\n"
        "while not os.path.exists('/tmp/gate'): time.sleep(0.1)"
    )
    run_id = stored.run(check, "python", secrets=list(SECRETS))
    with stored.watch(run_id) as watch:
        watch.until_line(sha256(ODD.encode()).hexdigest())
        clean(json.dumps(stored.container(run_id), ensure_ascii=False).encode(), "docker inspect")
        clean(json.dumps(stored.container(run_id, "sidecar"), ensure_ascii=False).encode(), "docker inspect")
        clean(subprocess.run(["ps", "axwwo", "args"], capture_output=True, check=True).stdout, "the process list")
        assert sha256(PEM.encode()).hexdigest() in watch.lines[0][3]
        stored.open_gate(run_id)
        watch.until_end()


def test_a_lost_key_is_told_and_a_rotation_keeps_all(new_server: Any) -> None:
    old, new = (Fernet.generate_key().decode() for _ in range(2))
    server = new_server(CRONIUM_ENCRYPTION_KEYS=old)
    assert run_python(("manage.py", "secrets", "set", "TOKEN"), server.env, input_text="s3cret-one\n").returncode == 0
    server.env["CRONIUM_ENCRYPTION_KEYS"] = f"{new},{old}"
    assert "1 secrets" in manage(server.env, "secrets", "rotate")
    assert "0 secrets" in manage(server.env, "secrets", "rotate")
    for key, status, reason in ((new, "succeeded", "exit_code"), (old, "errored", "secret_unavailable")):
        server.env["CRONIUM_ENCRYPTION_KEYS"] = key
        server.start()
        try:
            run = server.ended(server.run("test ${#TOKEN} = 10 && echo got $TOKEN", secrets=["TOKEN"]))
            assert (run["status"], run["reason"]) == (status, reason), run["message"]
            assert server.text(run["id"]) == (b"got ***\n" if status == "succeeded" else b"")
            if status == "errored":
                assert "TOKEN can't be decrypted" in run["message"]
                assert server.left(f"cronium.run_id={run['id']}") == []
        finally:
            server.stop()
            server.sweep()
