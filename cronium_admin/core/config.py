"""Reads all CRONIUM_ variables: names, defaults and allowed values. No other module reads the environment for them."""

import os
import re
import sys
from decimal import Decimal
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_network
from pathlib import Path
from typing import Annotated, Literal, NoReturn
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from cronium_admin.core.build_mirrors import check_certificates, check_host_port, check_mirror, check_public_mirror
from cronium_admin.core.data_folder import SYSTEM_FOLDERS, find_encryption_key_problem
from cronium_admin.core.database.url import parse_database_url
from cronium_admin.core.redis_url import RedisAddress, parse_redis_url

ROOT = Path(__file__).resolve().parents[2]
# For the settings and for the values of a job.
MAX_KEEP_DAYS, MAX_KEEP_RUNS = 36_500, 1_000_000
# The range that the database stores for a limit; the settings set the maximum within it.
MIN_CPU, MAX_CPU = Decimal("0.05"), Decimal("99")
MIN_MEMORY_MB, MAX_MEMORY_MB = 32, 1_000_000
MIN_PIDS, MAX_PIDS = 10, 1_000_000
CERTIFICATES = ("ca.pem", "cert.pem", "key.pem")  # the file names that Docker uses


def _require_scheme(*schemes: str) -> AfterValidator:
    def check(value: str) -> str:
        if value and not value.startswith(tuple(f"{scheme}://" for scheme in schemes)):
            raise ValueError("must start with one of " + ", ".join(f"{scheme}://" for scheme in schemes))
        return value

    return AfterValidator(check)


_S3 = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9._=-]+)*/?")
_FILE = re.compile(r"file:///[^/?#%\x00-\x1f][^?#%\x00-\x1f]*")


def _check_log_storage(value: str) -> str:
    dots = any(set(part) == {"."} for part in value.split("/"))
    if value and (dots or not (_S3.fullmatch(value) or _FILE.fullmatch(value))):
        raise ValueError(
            "must be s3://bucket, s3://bucket/prefix or file:///folder, or be unset: then logs stay in the database"
        )
    return value.rstrip("/")


MAX_WARM = 100


def _check_warm(value: str) -> str:
    value = value.strip().lower()
    if value != "auto" and not (value.isascii() and value.isdecimal() and int(value) <= MAX_WARM):
        raise ValueError(f"must be auto, or a number from 0 (keep no sandbox ready) to {MAX_WARM}")
    return value


def _check_backend_url(value: str) -> str:
    try:
        parts = urlsplit(value)
        is_valid = not value or (bool(parts.hostname) and parts.port != 0 and parts.username is None)
    except ValueError:
        is_valid = False
    if not is_valid:
        raise ValueError("must be like https://cronium.example.org or https://[2001:db8::5]:8443")
    return value


def _check_endpoint(value: str) -> str:
    parts = urlsplit(value)
    if value and (not parts.hostname or parts.path.strip("/") or parts.query or parts.username is not None):
        raise ValueError("must be like https://s3.example.org or http://127.0.0.1:9000, without a path or query")
    return value.rstrip("/")


def _compute_default_concurrency() -> int:
    pages, page_size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    by_memory = int(pages * page_size / 2 / (512 * 1024 * 1024))
    # As many runs of the smallest profile as admission allows by CPU: 0.5 cores each, overcommitted four times.
    return max(2, min(8 * (os.cpu_count() or 1), by_memory))


def _strip_zeros(value: Decimal) -> Decimal:
    # 2.0 becomes 2.
    return Decimal(format(value.normalize(), "f"))


def _check_ssh_address(value: str) -> str:
    # Mistakes in an SSH address are reported at start, before the engine is used.
    parts = urlsplit(value)
    if parts.scheme == "ssh" and (not parts.hostname or parts.port == 0 or parts.password is not None):
        raise ValueError("must be like ssh://user@host or ssh://user@host:22/var/run/docker.sock; keys, no password")
    return value


class Config(BaseSettings):
    """The settings; the variable of a field is `CRONIUM_` and the field's name in capitals."""

    model_config = SettingsConfigDict(env_prefix="CRONIUM_", extra="ignore", env_ignore_empty=True)

    data_dir: Path = ROOT / "data"
    static_dir: Path | None = None  # static files that are already collected, as in the container image
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)] = 8000
    # Maximum of open connections (never more than half the descriptors) and of requests that are served at once.
    max_connections: Annotated[int, Field(ge=16, le=60_000)] = 2000
    max_requests: Annotated[int, Field(ge=2, le=256)] = 24
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = ()
    debug: bool = False
    secret_key: str = Field(default="", repr=False)
    encryption_keys: str = Field(default="", repr=False)
    admin_user: Annotated[str, Field(min_length=1, max_length=150)] = "admin"
    admin_password: str = Field(default="", repr=False)
    database_url: Annotated[str, Field(repr=False), _require_scheme("sqlite", "postgres", "postgresql")] = ""
    redis_url: Annotated[str, Field(repr=False), _require_scheme("redis", "rediss", "valkey", "valkeys", "unix")] = ""
    docker_host: Annotated[
        str, _require_scheme("unix", "tcp", "ssh", "http", "https"), AfterValidator(_check_ssh_address)
    ] = ""
    docker_cert_path: str = ""  # a folder; for TLS to that engine
    # The public address of this dashboard: a trusted origin of forms and WebSockets behind a proxy.
    backend_url: Annotated[str, _require_scheme("http", "https"), AfterValidator(_check_backend_url)] = ""
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = ()
    max_concurrent: Annotated[int, Field(ge=1, le=1000)] = Field(default_factory=_compute_default_concurrency)
    # The capacity of a host for runs: memory in MB (0: nine tenths of the engine's), and the factor for its CPUs.
    host_memory_mb: Annotated[int, Field(ge=0, le=100_000_000)] = 0
    cpu_overcommit: Annotated[float, Field(ge=0.1, le=1000)] = 4.0
    # The maximum limits of every profile, job and launch.
    max_cpu: Annotated[
        Decimal, Field(ge=MIN_CPU, le=MAX_CPU, decimal_places=2, allow_inf_nan=False), AfterValidator(_strip_zeros)
    ] = Decimal("2")
    max_memory_mb: Annotated[int, Field(ge=MIN_MEMORY_MB, le=MAX_MEMORY_MB)] = 2048
    max_pids: Annotated[int, Field(ge=MIN_PIDS, le=MAX_PIDS)] = 1000
    # Sandboxes that a host keeps ready for runs: auto, or a number; 0: none.
    warm: Annotated[str, AfterValidator(_check_warm)] = "auto"
    subnet_pool: IPv4Network = IPv4Network("10.213.0.0/16")
    egress_dns: Annotated[tuple[str, ...], NoDecode] = ()
    sandbox_network: Literal["joined", "apart"] = "joined"
    canary: Literal["on", "off"] = "on"
    script_checks: Literal["on", "off"] = "on"  # in the job editor and over the API
    allow_unsafe_host: bool = False
    metrics_token: str = Field(default="", repr=False)
    log_format: Literal["text", "json"] = "text"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    lost_after: Annotated[int, Field(ge=60, le=7 * 86400)] = 600
    log_limit_mb: Annotated[int, Field(ge=1, le=10_000)] | None = None  # None: the limits of the profiles
    # Retention of logs, unless the job sets its own: maximum age, and the number of a job's last runs; 0 keeps all.
    log_keep_days: Annotated[int, Field(ge=0, le=MAX_KEEP_DAYS)] = 90
    log_keep_runs: Annotated[int, Field(ge=0, le=MAX_KEEP_RUNS)] = 0
    # Retention of whole runs, with the same meaning of the values.
    run_keep_days: Annotated[int, Field(ge=0, le=MAX_KEEP_DAYS)] = 365
    run_keep_runs: Annotated[int, Field(ge=0, le=MAX_KEEP_RUNS)] = 0
    # Images that hosts have pulled are removed while the engine's disk is fuller than this, in percent; 0 never.
    image_disk_high: Annotated[int, Field(ge=0, le=99)] = 85
    image_disk_low: Annotated[int, Field(ge=0, le=99)] = 80  # until it is no fuller than this
    image_unused_days: Annotated[int, Field(ge=0, le=3650)] = 7  # after the last use, unless the disk is nearly full
    # Retention of other rows in days; 0 keeps them for ever.
    event_keep_days: Annotated[int, Field(ge=0, le=MAX_KEEP_DAYS)] = 90
    idempotency_keep_days: Annotated[int, Field(ge=0, le=MAX_KEEP_DAYS)] = 7
    variable_keep_days: Annotated[int, Field(ge=0, le=MAX_KEEP_DAYS)] = 90
    sign_in_keep_days: Annotated[int, Field(ge=0, le=MAX_KEEP_DAYS)] = 30
    token_keep_days: Annotated[int, Field(ge=0, le=MAX_KEEP_DAYS)] = 90
    # Where logs are archived, and how many hours after the end of their run.
    log_storage: Annotated[str, AfterValidator(_check_log_storage)] = ""
    log_archive_after: Annotated[int, Field(ge=0, le=87_600)] = 24
    log_s3_endpoint: Annotated[str, _require_scheme("http", "https"), AfterValidator(_check_endpoint)] = ""
    log_s3_region: Annotated[str, Field(pattern="^[A-Za-z0-9-]{0,63}$")] = ""
    log_s3_access_key: str = Field(default="", repr=False)
    log_s3_secret_key: str = Field(default="", repr=False, validate_default=True)
    container_images_bash: str = ""
    container_images_python: str = ""
    container_images_node: str = ""
    # Labels of own images: where their sources are, and of which commit they are.
    image_source: str = ""
    image_revision: str = ""
    # The packages of the Debian family of own images; without a time, the newest of Debian's mirror.
    image_debian_snapshot: Annotated[str, Field(pattern="^([0-9]{8}T[0-9]{6}Z)?$")] = ""
    image_debian_snapshot_mirror: Annotated[str, Field(repr=False), AfterValidator(check_public_mirror)] = (
        "http://snapshot.debian.org/archive"
    )
    # Where builds of custom images get packages; a URL may contain credentials, which no image and no log keeps.
    build_apt_mirror: Annotated[str, Field(repr=False), AfterValidator(check_mirror)] = ""
    build_apk_mirror: Annotated[str, Field(repr=False), AfterValidator(check_mirror)] = ""
    build_pip_index_url: Annotated[str, Field(repr=False), AfterValidator(check_mirror)] = "https://pypi.org/simple"
    build_npm_registry: Annotated[str, Field(repr=False), AfterValidator(check_mirror)] = "https://registry.npmjs.org"
    build_egress: Annotated[tuple[str, ...], NoDecode] = ()  # further host:port that builds may connect to
    build_ca_file: str = ""  # certificates in PEM that builds trust
    build_keep_ca: bool = False  # in the system's store of the image too
    # The limits of a build.
    build_cpu: Annotated[Decimal, Field(ge=MIN_CPU, le=MAX_CPU, decimal_places=2, allow_inf_nan=False)] = Decimal("2")
    build_memory_mb: Annotated[int, Field(ge=256, le=MAX_MEMORY_MB)] = 2048
    build_pids: Annotated[int, Field(ge=50, le=MAX_PIDS)] = 512
    build_timeout_seconds: Annotated[int, Field(ge=30, le=24 * 3600)] = 900
    build_disk_mb: Annotated[int, Field(ge=100, le=1_000_000)] = 4096

    @property
    def warm_limit(self) -> int | None:
        """The largest number of sandboxes that a host keeps ready; None: it follows from the host's memory."""
        return None if self.warm == "auto" else int(self.warm)

    @property
    def backend_origin(self) -> str:
        """`backend_url` as an origin: lower case, no default port, no path. Empty if not set."""
        if not self.backend_url:
            return ""
        parts = urlsplit(self.backend_url)
        host = bracket_host(str(parts.hostname))
        port = "" if parts.port in (None, {"http": 80, "https": 443}[parts.scheme]) else f":{parts.port}"
        return f"{parts.scheme}://{host}{port}"

    @property
    def known_hosts(self) -> list[str]:
        own = [self.host, *([str(urlsplit(self.backend_url).hostname)] if self.backend_url else ())]
        return ["localhost", "127.0.0.1", "[::1]", *map(bracket_host, own), *self.allowed_hosts]

    @property
    def redis(self) -> RedisAddress | None:
        # A single process needs no Redis.
        return parse_redis_url(self.redis_url) if self.redis_url else None

    @field_validator("data_dir")
    @classmethod
    def _refuse_system_folder(cls, value: Path) -> Path:
        if str(value.resolve()) in SYSTEM_FOLDERS:
            raise ValueError("is a system folder; choose a folder for Cronium alone, such as /var/lib/cronium")
        return value

    @field_validator("database_url")
    @classmethod
    def _check_database_url(cls, value: str) -> str:
        if value:
            parse_database_url(value)
        return value

    @field_validator("redis_url")
    @classmethod
    def _check_redis_url(cls, value: str) -> str:
        if value:
            parse_redis_url(value)
        return value

    @field_validator("subnet_pool")
    @classmethod
    def _check_subnet_pool(cls, value: IPv4Network) -> IPv4Network:
        if value.prefixlen > 24 or not value.is_private:
            raise ValueError("must be a private IPv4 network of at least a /24, such as 10.213.0.0/16")
        return value

    @field_validator("docker_cert_path")
    @classmethod
    def _check_certificates(cls, value: str, info: ValidationInfo) -> str:
        if value and not str(info.data.get("docker_host", "")).startswith(("tcp://", "https://")):
            raise ValueError("is for an engine over TLS: set CRONIUM_DOCKER_HOST=tcp://host:2376 with it")
        for name in CERTIFICATES if value else ():
            if not os.access(Path(value) / name, os.R_OK) or not (Path(value) / name).is_file():
                needed = ", ".join(CERTIFICATES)
                raise ValueError(f"{name} is not there or not readable: must be a folder with {needed}")
        return value

    @field_validator("build_ca_file")
    @classmethod
    def _check_build_ca(cls, value: str) -> str:
        if value:
            check_certificates(value)
        return value

    @field_validator("secret_key")
    @classmethod
    def _check_secret_key_length(cls, value: str) -> str:
        if value and len(value) < 32:
            raise ValueError("must have at least 32 characters, or be unset: then a key is created and stored")
        return value

    @field_validator("log_s3_secret_key")
    @classmethod
    def _check_s3_keys(cls, value: str, info: ValidationInfo) -> str:
        if bool(value) != bool(info.data.get("log_s3_access_key")):
            raise ValueError(
                "belongs to CRONIUM_LOG_S3_ACCESS_KEY: set both, or neither to use the credentials of the environment"
            )
        return value

    @field_validator("metrics_token")
    @classmethod
    def _check_metrics_token_length(cls, value: str) -> str:
        if value and len(value) < 16:
            raise ValueError("must have at least 16 characters, or be unset: then only users' tokens can read /metrics")
        return value

    @field_validator("log_level", mode="before")
    @classmethod
    def _normalize_log_level(cls, value: object) -> object:
        return value.upper() if isinstance(value, str) else value

    @field_validator("encryption_keys")
    @classmethod
    def _check_encryption_keys(cls, value: str) -> str:
        if value and (problem := find_encryption_key_problem(value)):
            raise ValueError(problem)
        return value

    @field_validator("egress_dns")
    @classmethod
    def _check_dns_addresses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for part in value:
            try:
                IPv4Address(part)
            except ValueError:
                raise ValueError(
                    "must be IPv4 addresses of name servers, separated by commas, such as 9.9.9.9"
                ) from None
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _check_trusted_proxies(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for part in value:
            try:
                ip_network(part)
            except ValueError:
                raise ValueError(
                    "must be addresses or networks, separated by commas, such as 127.0.0.1 or 10.0.0.0/8"
                ) from None
        return value

    @field_validator("build_egress")
    @classmethod
    def _check_build_egress(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in value:
            check_host_port(pattern)
        return value

    @field_validator("allowed_hosts", "egress_dns", "trusted_proxies", "build_egress", mode="before")
    @classmethod
    def _split_commas(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def bracket_host(host: str) -> str:
    try:
        return f"[{IPv6Address(host)}]"
    except ValueError:
        return host


def _exit_with_errors(error: ValidationError) -> NoReturn:
    # The value of a secret is never printed.
    for problem in error.errors():
        name = "CRONIUM_" + str(problem["loc"][0]).upper()
        hidden = any(
            word in name
            for word in (
                *("SECRET", "PASSWORD", "TOKEN", "ENCRYPTION", "DATABASE_URL", "REDIS_URL"),
                *("BUILD_APT", "BUILD_APK", "BUILD_PIP", "BUILD_NPM", "SNAPSHOT_MIRROR"),
            )
        )
        value = "(hidden)" if hidden else repr(problem["input"])
        sys.stderr.write(f"{name}: {value} is not allowed: {problem['msg'].removeprefix('Value error, ')}\n")
    raise SystemExit(2)


@lru_cache
def load_config() -> Config:
    """The Config of this process. Bad values end the process with exit code 2 and one line per mistake."""
    try:
        return Config()
    except ValidationError as error:
        _exit_with_errors(error)
