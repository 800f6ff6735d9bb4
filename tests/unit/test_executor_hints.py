"""Hints about the cause of a failure from the last lines of output, in the messages of many programs."""

import pytest

from executor.output.hints import ScriptEnvironment, find_hint

HERE = ScriptEnvironment("runner:1", "isolated")
COMMANDS = [
    "/workspace/script.sh: line 3: terraform: command not found",
    "/workspace/script.sh: 3: terraform: not found",
    "sh: terraform: not found",
    "/bin/sh: 1: terraform: not found",
    "env: 'terraform': No such file or directory",
    "env: \u2018terraform\u2019: No such file or directory",
    "Error: spawn terraform ENOENT",
    "Error: spawnSync terraform ENOENT",
    'exec: "terraform": executable file not found in $PATH',
]
HOSTS = {
    "curl: (6) Could not resolve host: example.org": "example.org:443",
    "fatal: unable to access 'https://example.org/a/': Could not resolve host: example.org": "example.org:443",
    "wget: unable to resolve host address \u2018example.org\u2019": "example.org:443",
    "wget: bad address 'example.org'": "example.org:443",
    "requests.exceptions.ConnectionError: HTTPSConnectionPool(host='example.org', port=8443): Max retries exceeded "
    "(Caused by NameResolutionError(\"Failed to resolve 'example.org'\"))": "example.org:8443",
    "Error: getaddrinfo ENOTFOUND example.org": "example.org:443",
    "Error: getaddrinfo EAI_AGAIN example.org:80": "example.org:80",
    "ssh: Could not resolve hostname example.org: Name or service not known": "example.org:22",
    'psql: error: could not translate host name "db.example.org" to address': "db.example.org:5432",
    "dial tcp: lookup example.org on 127.0.0.1:53: no such host": "example.org:443",
    "socket.gaierror: [Errno -3] Temporary failure in name resolution": "list the hosts",
}


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_that_is_missing_is_named_with_the_image(line: str) -> None:
    hint = find_hint(f"before\n{line}\n".encode(), HERE)
    assert hint.startswith("The command terraform is not in the image runner:1.")


def test_a_custom_image_is_named_as_in_the_job() -> None:
    there = ScriptEnvironment("cronium/custom/1/reports:3", "isolated")
    for line in ("bash: line 1: terraform: command not found", "ModuleNotFoundError: No module named 'pandas'"):
        assert " is not in the image cronium/custom/reports:3. " in find_hint(line.encode(), there)


@pytest.mark.parametrize("line", HOSTS)
def test_a_name_that_did_not_resolve_is_told_with_the_network(line: str) -> None:
    assert HOSTS[line] in find_hint(line.encode(), HERE)
    assert "network is isolated" in find_hint(line.encode(), HERE)
    assert "HTTPS_PROXY" in find_hint(line.encode(), ScriptEnvironment("i", "egress"))
    assert find_hint(line.encode(), ScriptEnvironment("i", "open")) == ""


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("ModuleNotFoundError: No module named 'pandas'", "The module pandas is not in the image"),
        ("Error: Cannot find module 'lodash'", "The module lodash"),
        ("Error [ERR_MODULE_NOT_FOUND]: Cannot find package '@a/b' imported from /workspace/script.js", "module @a/b"),
        ("Error: Cannot find module './mine'", ""),
        ("SyntaxError: Cannot use import statement outside a module", "node 20.19"),
        ("OSError: [Errno 30] Read-only file system: '/etc/x'", "read-only"),
        ("Error: EROFS: read-only file system, open '/etc/x'", "read-only"),
        ("dd: error writing '/tmp/x': No space left on device", "in memory"),
        ("E: Could not open lock file - open (13: Permission denied)", "user 1000"),
        ("KeyError: 'b'", ""),
        ("all went well", ""),
    ],
)
def test_other_causes(line: str, words: str) -> None:
    hint = find_hint(line.encode(), HERE)
    assert words in hint
    assert bool(words) == bool(hint)


def test_the_last_cause_counts_and_old_lines_do_not() -> None:
    assert "curl" in find_hint(b"x: wget: command not found\nx: curl: command not found\nbye\n", HERE)
    assert find_hint(b"x: curl: command not found\n" + b"line\n" * 50, HERE) == ""


@pytest.mark.parametrize(
    "output",
    [b"", b"\xff\xfe\x00", b"<script>: command not found", b"a" * 100_000 + b": command not found", b"\n" * 9000],
)
def test_hostile_output_gives_no_more_than_a_plain_name(output: bytes) -> None:
    hint = find_hint(output, HERE)
    assert "<" not in hint
    assert len(hint) < 300


@pytest.mark.parametrize(
    "line",
    [
        "curl: (56) Received HTTP code 403 from proxy after CONNECT",
        "curl: (56) CONNECT tunnel failed, response 403",
        "OSError('Tunnel connection failed: 403 Forbidden')",
        "Proxy tunneling failed: ForbiddenUnable to establish SSL connection.",
        "RequestAbortedError [AbortError]: Proxy response (403) !== 200 when HTTP Tunneling",
    ],
)
def test_a_refusal_of_the_proxy_is_told_where_there_is_one(line: str) -> None:
    told = (
        "The job's proxy refused the connection. Add its host:port to the job's allowed hosts, if the job may use it."
    )
    assert find_hint(line.encode(), ScriptEnvironment("image", "egress")) == told
    assert find_hint(line.encode(), ScriptEnvironment("image", "open")) == ""


def test_postgres_clients_connect_to_a_port_of_their_own() -> None:
    line = b'psql: error: could not translate host name "db.example.org" to address: Name or service not known'
    assert "db.example.org:5432" in find_hint(line, ScriptEnvironment("image", "isolated"))


@pytest.mark.parametrize("code", ["ENOTFOUND", "EAI_AGAIN"])
def test_node_is_told_that_older_versions_use_no_proxy(code: str) -> None:
    hint = find_hint(f"Error: getaddrinfo {code} example.org".encode(), ScriptEnvironment("image", "egress"))
    assert "lists example.org:443" in hint
    assert "node before version 24 does not read HTTPS_PROXY" in hint
