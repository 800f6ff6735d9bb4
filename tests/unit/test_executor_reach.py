"""Parsing of an engine's address; tests/engine/test_ways.py tests real connections."""

import ssl
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import requests
from requests.adapters import HTTPAdapter

from executor.docker import connection, ssh
from executor.docker.connection import EngineAddress
from executor.docker.ssh import Tunnel, TunnelDown
from tests.fakes.certificates import Certificates


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("ssh://there", ["--", "there"]),
        ("ssh://me@There", ["-l", "me", "--", "There"]),  # an alias in the user's configuration
        ("ssh://me@there:2222/run/docker.sock", ["-p", "2222", "-l", "me", "--", "there"]),
        ("ssh://[::1]:22", ["-p", "22", "--", "::1"]),
        ("ssh://-oProxyCommand=x", ["--", "-oProxyCommand=x"]),  # a host, although it resembles an option
    ],
)
def test_ssh_is_told_where(url: str, words: list[str]) -> None:
    assert ssh.build_ssh_arguments(url) == words


@pytest.mark.parametrize("url", ["ssh://", "ssh://me:word@there", "ssh://there:x", "tcp://there"])
def test_what_is_no_ssh_address_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"ssh://|[Pp]ort"):
        ssh.build_ssh_arguments(url)


def test_a_machine_that_does_not_let_us_in_is_not_asked_all_the_time(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The error is cached for a short time, so that callers do not wait for each other's attempts."""
    tries, program = tmp_path / "tries", tmp_path / "ssh"
    program.write_text(f"#!/bin/sh\necho once >>{tries}\necho no entry >&2\nexit 255\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    tunnel = Tunnel("ssh://there")
    for _ in range(3):
        with pytest.raises(TunnelDown, match="No SSH connection to ssh://there: no entry"):
            tunnel.ensure_open(5)
    assert tries.read_text() == "once\n"
    tunnel.close()
    with pytest.raises(TunnelDown, match="closed"):
        tunnel.ensure_open()


def test_without_the_program_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(TunnelDown, match="openssh-client"):
        Tunnel("ssh://there").ensure_open()


def test_an_engine_over_tls_is_asked_past_what_the_machine_has_for_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = Certificates(tmp_path).folder / "client"
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/elsewhere.pem")
    (tmp_path / "netrc").write_text("machine 10.0.0.1 login who password elsewhere")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    client = EngineAddress("tcp://10.0.0.1:2376", str(folder)).open_client(timeout=1, version="1.41")
    sent: list[tuple[requests.PreparedRequest, dict[str, Any]]] = []

    class Recorder(HTTPAdapter):
        def send(self, request: requests.PreparedRequest, **settings: Any) -> requests.Response:  # type: ignore[override]
            sent.append((request, settings))
            response = requests.Response()
            response.status_code, response._content = 200, b"{}"
            return response

    client.mount("https://", Recorder())
    client.inspect_container("x")
    [(request, used)] = sent
    assert request.url == "https://10.0.0.1:2376/v1.41/containers/x/json"
    assert "Authorization" not in request.headers
    assert (used.get("proxies"), used["verify"], used["timeout"]) == (None, str(folder / "ca.pem"), 1)
    assert used["cert"] == (str(folder / "cert.pem"), str(folder / "key.pem"))


@pytest.mark.parametrize("key_identifiers", [True, False])
def test_certificates_that_a_strict_check_refuses_are_named_with_the_mend(
    tmp_path: Path, *, key_identifiers: bool
) -> None:
    folder = Certificates(tmp_path, key_identifiers=key_identifiers).folder
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "server" / "cert.pem", folder / "server" / "key.pem")
    client = ssl.create_default_context(cafile=str(folder / "client" / "ca.pem"))
    client.verify_flags |= ssl.VERIFY_X509_STRICT  # the default of Python 3.13
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server, server_hostname="127.0.0.1"),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]

    def shake_hands() -> None:
        for end in ends * 3:
            with suppress(ssl.SSLWantReadError):
                end.do_handshake()

    if key_identifiers:
        shake_hands()
        return
    with pytest.raises(ssl.SSLError) as caught:
        shake_hands()
    assert "Missing Authority Key Identifier" in (reason := connection.explain_tls_error(caught.value))
    assert "Make the engine's certificates again" in reason
