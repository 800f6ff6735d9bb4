"""Makes docker-py clients for an engine's address: a local socket, TCP, TLS or SSH."""

import socket
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import docker
import requests
from docker.tls import TLSConfig
from docker.utils import kwargs_from_env
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection

from executor.docker.ssh import START_SECONDS, get_tunnel

CERTIFICATES = ("ca.pem", "cert.pem", "key.pem")
# Errors that OpenSSL reports only with VERIFY_X509_STRICT (x509_vfy.h), which Python sets since 3.13.
STRICT_CODES = range(79, 95)
STRICT_REMEDY = (
    "Python 3.13 and newer check certificates strictly. Make the engine's certificates again with the extensions "
    "basicConstraints=critical, keyUsage (of the authority), subjectKeyIdentifier and authorityKeyIdentifier"
)


# TCP keepalive: a reader without a timeout notices a lost peer after 30 s, and idle connections to it are not reused.
# Without keepalive neither happens.
KEEPALIVE = {socket.TCP_KEEPIDLE: 15, socket.TCP_KEEPINTVL: 5, socket.TCP_KEEPCNT: 3}
SOCKET_OPTIONS = [
    *HTTPConnection.default_socket_options,
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    *((socket.IPPROTO_TCP, option, value) for option, value in KEEPALIVE.items()),
]


class Client(docker.APIClient):
    """docker-py's client, but it ignores what the environment sets for requests to others: proxies, certificate
    authorities and passwords."""

    def mount(self, prefix: Any, adapter: Any) -> None:
        if isinstance(adapter, HTTPAdapter):
            adapter.poolmanager.connection_pool_kw["socket_options"] = SOCKET_OPTIONS
        super().mount(prefix, adapter)

    def request(  # type: ignore[override]
        self, method: str, url: str, params: Any = None, data: Any = None, headers: Any = None, **more: Any
    ) -> requests.Response:
        """As requests does it, but without cookies and redirects: an engine uses none, and with the environment's
        settings they take a third of the CPU time of a call."""
        timeout, stream, json = more.pop("timeout", None), bool(more.pop("stream", False)), more.pop("json", None)
        more.pop("allow_redirects", None)
        if more:
            raise TypeError(f"not supported: {', '.join(more)}")
        prepared = requests.PreparedRequest()
        prepared.prepare_method(method)
        prepared.prepare_url(url, params)
        prepared.prepare_headers({**self.headers, **(headers or {})})
        prepared.prepare_body(data, None, json)
        settings = {"verify": self.verify, "cert": self.cert, "timeout": timeout, "stream": stream}
        response = self.get_adapter(url).send(prepared, **settings)
        if not stream:
            response.content  # noqa: B018 - reads the body and gives the connection back
        return response


class EngineAddress:
    """An engine's address: a URL as in DOCKER_HOST, and a folder of certificates for TLS.

    Without a URL, the environment decides (DOCKER_HOST, DOCKER_TLS_VERIFY, DOCKER_CERT_PATH).
    """

    def __init__(self, url: str = "", certificates: str = "") -> None:
        self._client_options: Mapping[str, Any] = {"base_url": url} if url else kwargs_from_env()
        if url and certificates:
            authority, certificate, key = (str(Path(certificates) / name) for name in CERTIFICATES)
            self._client_options = {
                **self._client_options,
                "tls": TLSConfig(client_cert=(certificate, key), ca_cert=authority, verify=True),
            }
        self.url = str(self._client_options.get("base_url") or "")  # empty: the local socket
        self._tunnel = get_tunnel(self.url) if self.url.startswith("ssh://") else None

    def ensure_reachable(self, seconds: float = START_SECONDS) -> None:
        """Open the SSH tunnel again if it is down, for existing clients. TunnelDown when that fails."""
        if self._tunnel:
            self._tunnel.ensure_open(seconds)

    def open_client(self, *, timeout: int, version: str = "auto", **extra: Any) -> Client:
        """A new client. With the version `auto` it queries the engine at once; DockerException without an answer."""
        options = dict(self._client_options)
        if self._tunnel:
            options["base_url"] = self._tunnel.ensure_open(min(timeout, START_SECONDS))
        return Client(**options, timeout=timeout, version=version, **extra)


def explain_tls_error(error: BaseException) -> str:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            if getattr(cause, "verify_code", 0) in STRICT_CODES:
                return f"{getattr(cause, 'verify_message', '')}. {STRICT_REMEDY}"
            return getattr(cause, "verify_message", "") or str(cause.reason or cause)
        cause = _find_inner_error(cause)
    return ""


def _find_inner_error(error: BaseException) -> BaseException | None:
    candidates = [getattr(error, "reason", None), *error.args, error.__cause__, error.__context__]
    return next((candidate for candidate in candidates if isinstance(candidate, BaseException)), None)
