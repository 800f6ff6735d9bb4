"""A real registry (Debian's `docker-registry`) on this machine, with its own storage, for one test or module.

An engine does not verify the certificate of a registry on a loopback address, and uses HTTP there too. To test TLS as
users have it, let the registry listen on the address of the engine's bridge: `find_bridge_address`.
"""

import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import bcrypt
import docker
import pytest
import requests

from tests.engine.second import MACHINES_ENGINE
from tests.engine.server import free_port
from tests.fakes.certificates import Certificates
from tests.fakes.small_image import MANIFEST, SmallImage, build_small_image

TRUST = Path("/etc/docker/certs.d")
ACCEPTED = f"{MANIFEST}, application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json"
ACCESS = re.compile(r'"(?P<method>[A-Z]+) (?P<path>\S+) HTTP/[\d.]+" (?P<status>\d{3}) \d+ "[^"]*" "(?P<agent>[^"]*)"')
PROGRAM = "docker-registry"


@dataclass(frozen=True)
class Access:
    method: str
    path: str
    status: int
    agent: str


@dataclass
class Registry:
    """`host` is what stands before the repository in an image's name. `ca` is the authority's certificate, with TLS.

    The helper functions speak HTTP with the registry, with the first of `users`; no engine takes part.
    """

    folder: Path
    address: str = "127.0.0.1"
    users: Mapping[str, str] = field(default_factory=dict)
    certificates: Path | None = None
    port: int = field(default_factory=free_port)
    _process: subprocess.Popen[bytes] | None = None

    @property
    def host(self) -> str:
        return f"{self.address}:{self.port}"

    @property
    def url(self) -> str:
        return f"{'https' if self.certificates else 'http'}://{self.host}"

    @property
    def ca(self) -> Path | None:
        return self.certificates / "ca.pem" if self.certificates else None

    def start(self) -> None:
        """Starts it; after `stop`, with the same port and storage."""
        self._write_config()
        env = {name: value for name, value in os.environ.items() if not name.startswith("REGISTRY_")}
        with (self.folder / "registry.log").open("ab") as log:
            command = [PROGRAM, "serve", str(self.folder / "config.yml")]
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env)
        end = time.monotonic() + 30
        while True:
            with suppress(requests.ConnectionError):
                self.call("GET", "/v2/")
                return
            assert self._process.poll() is None, self.read_log()
            assert time.monotonic() < end, f"{PROGRAM} does not answer: {self.read_log()}"
            time.sleep(0.05)

    def stop(self) -> None:
        if self._process:
            self._process.terminate()
            self._process.wait(30)

    def call(self, method: str, path: str, **arguments: Any) -> requests.Response:
        with requests.Session() as session:
            session.trust_env = False  # a proxy of the environment must not carry these requests
            session.verify = str(self.ca) if self.ca else True
            session.auth = next(iter(self.users.items()), None)
            return session.request(method, f"{self.url}{path}", timeout=30, **arguments)

    def put_image(self, repository: str, tag: str, image: SmallImage | None = None) -> SmallImage:
        """Stores the image and points the tag at it, also a tag that there is already."""
        image = image or build_small_image()
        for digest, blob in image.blobs.items():
            upload = self._demand("POST", f"/v2/{repository}/blobs/uploads/").headers["Location"]
            path = upload.removeprefix(self.url)
            self._demand("PUT", f"{path}&digest={digest}", data=blob)
        self._put_manifest(repository, tag, MANIFEST, image.manifest)
        return image

    def move_tag(self, repository: str, tag: str, reference: str) -> str:
        """Points the tag at another digest or tag of the repository; returns the digest."""
        found = self._demand("GET", f"/v2/{repository}/manifests/{reference}", headers={"Accept": ACCEPTED})
        return self._put_manifest(repository, tag, found.headers["Content-Type"], found.content)

    def list_repositories(self) -> list[str]:
        return list(self._demand("GET", "/v2/_catalog").json()["repositories"])

    def list_tags(self, repository: str) -> dict[str, str]:
        """The digest of each tag."""
        answer = self.call("GET", f"/v2/{repository}/tags/list")
        tags = answer.json().get("tags") or [] if answer.status_code == 200 else []
        return {tag: self.find_digest(repository, tag) for tag in sorted(tags)}

    def find_digest(self, repository: str, reference: str) -> str:
        """Empty if the registry has no such tag or digest."""
        answer = self.call("HEAD", f"/v2/{repository}/manifests/{reference}", headers={"Accept": ACCEPTED})
        return str(answer.headers["Docker-Content-Digest"]) if answer.status_code == 200 else ""

    def delete(self, repository: str, reference: str) -> None:
        """Deletes the manifest, with all tags that point at it."""
        digest = self.find_digest(repository, reference)
        assert digest, f"no {repository}:{reference}"
        self._demand("DELETE", f"/v2/{repository}/manifests/{digest}")

    def read_log(self) -> str:
        return (self.folder / "registry.log").read_text(errors="replace")

    def list_accesses(self) -> list[Access]:
        """All requests since the first start, those of the helper functions included."""
        found = ACCESS.finditer(self.read_log())
        return [Access(entry["method"], entry["path"], int(entry["status"]), entry["agent"]) for entry in found]

    def _demand(self, method: str, path: str, **arguments: Any) -> requests.Response:
        answer = self.call(method, path, **arguments)
        assert answer.ok, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer

    def _put_manifest(self, repository: str, tag: str, media_type: str, manifest: bytes) -> str:
        path = f"/v2/{repository}/manifests/{tag}"
        answer = self._demand("PUT", path, data=manifest, headers={"Content-Type": media_type})
        return str(answer.headers["Docker-Content-Digest"])

    def _write_config(self) -> None:
        config: dict[str, Any] = {
            "version": 0.1,
            "log": {"level": "warn"},
            "storage": {"filesystem": {"rootdirectory": str(self.folder / "storage")}, "delete": {"enabled": True}},
            "http": {"addr": self.host, "secret": "for-tests"},
        }
        if self.users:
            lines = [f"{user}:{_hash_password(password)}" for user, password in self.users.items()]
            (self.folder / "htpasswd").write_text("\n".join(lines) + "\n")
            config["auth"] = {"htpasswd": {"realm": "tests", "path": str(self.folder / "htpasswd")}}
        if self.certificates:
            here = self.certificates
            config["http"]["tls"] = {"certificate": str(here / "cert.pem"), "key": str(here / "key.pem")}
        (self.folder / "config.yml").write_text(json.dumps(config))  # JSON is YAML


def _hash_password(password: str) -> str:
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(rounds=4)).decode()


def pull(client: docker.APIClient, name: str, reference: str, auth: dict[str, str] | None = None) -> str:
    """The engine's error; empty after a pull."""
    try:
        events = list(client.pull(name, tag=reference, stream=True, decode=True, auth_config=auth or {}))
    except docker.errors.APIError as error:
        return str(error.explanation)
    return "".join(str(event["errorDetail"]["message"]) for event in events if "errorDetail" in event)


def has_containerd_store(client: docker.APIClient) -> bool:
    """Engines with containerd's image store have other image ids, and other words for failed pulls."""
    return ["driver-type", "io.containerd.snapshotter.v1"] in (client.info().get("DriverStatus") or [])


def find_bridge_address(client: docker.APIClient) -> str:
    """An address of this machine that engines don't take for loopback."""
    config = client.inspect_network("bridge")["IPAM"]["Config"][0]
    # An engine that has just created its bridge does not name the gateway.
    return str(config.get("Gateway") or ip_network(config["Subnet"])[1])


@contextmanager
def start_registry(
    users: Mapping[str, str] | None = None, *, has_tls: bool = False, address: str = "127.0.0.1"
) -> Iterator[Registry]:
    """Without users, everybody may pull, push and delete. With TLS, the authority is unknown to the engine until
    `trust_authority`."""
    if not shutil.which(PROGRAM):
        pytest.skip(f"{PROGRAM} is not installed")
    folder = Path(tempfile.mkdtemp(prefix="cronium-registry-"))
    certificates = None
    if has_tls:
        Certificates(folder, address=address)
        certificates = folder / "server"
    registry = Registry(folder, address, users or {}, certificates)
    try:
        registry.start()
        yield registry
    finally:
        registry.stop()
        shutil.rmtree(folder)


@contextmanager
def trust_authority(host: str, ca: Path) -> Iterator[None]:
    """Makes the engine of this machine trust the authority for this HOST:PORT; needs root."""
    if os.geteuid() != 0 or os.environ.get("DOCKER_HOST", MACHINES_ENGINE) != MACHINES_ENGINE:
        pytest.skip("this test writes below /etc/docker: it needs root, and the machine's own engine")
    folder = TRUST / host
    folder.mkdir(parents=True)
    try:
        shutil.copy(ca, folder / "ca.crt")
        yield
    finally:
        shutil.rmtree(folder)
        with suppress(OSError):  # another test uses it, or the administrator
            TRUST.rmdir()
