"""The canary of one host: what it is made of here, and its verdict on the host's row."""

from collections.abc import Sequence
from dataclasses import asdict

from django.conf import settings
from django.db.models.functions import Now

from cronium_admin.hosts.instance import instance
from cronium_admin.hosts.models import Host
from cronium_admin.hosts.specs import SIDECAR_IMAGE
from cronium_admin.images.models import Language
from cronium_admin.images.resolve import resolve
from executor.canary import Canary, Probe
from executor.sandbox import EngineLike
from executor.subnets import SubnetPool


def make(engine: EngineLike, host: str, subnets: SubnetPool | None = None) -> Canary:
    """A trial of this engine, with the image of Python's runs, or the sidecar's, which has Python too."""
    return Canary(
        engine,
        (resolve(Language.PYTHON).reference, SIDECAR_IMAGE),
        SIDECAR_IMAGE,
        instance(),
        host,
        subnets or SubnetPool(settings.CONFIG.subnet_pool),
    )


def store(host: str, probes: Sequence[Probe]) -> bool:
    """Keep the verdict with the host; True when something was got through, so that it is unsafe."""
    unsafe = any(probe.held is False for probe in probes)
    verdict = {"canary": [asdict(probe) for probe in probes], "canary_at": Now(), "unsafe": unsafe}
    Host.objects.update_or_create(name=host, defaults=verdict)
    return unsafe


def is_unsafe(host: str) -> bool:
    """The stored verdict; a host that was never tried is not held back."""
    return Host.objects.filter(name=host, unsafe=True).exists()
