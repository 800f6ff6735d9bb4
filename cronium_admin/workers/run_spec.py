"""Builds the executor's RunSpec from a run's row."""

import time
from collections.abc import Mapping
from dataclasses import fields

from django.conf import settings

from cronium_admin.jobs.models import OnLogLimit, Streams
from cronium_admin.profiles.limits import resolve_log_limit
from cronium_admin.runs.models import Run
from cronium_admin.runtime_api.handlers import build_context
from cronium_admin.runtime_api.helpers import load_helpers
from cronium_admin.secrets.retired_values import list_values_to_mask
from cronium_admin.secrets.service import decrypt_for_run
from cronium_admin.warm.shapes import WarmShape
from cronium_admin.workers.image_builds.spec import is_build, make_build_spec
from executor.run import tokens
from executor.spec import MB, Limits, RunSpec, Shape

SIDECAR_IMAGE = "cronium/runtime-api:latest"
NO_SECRETS: Mapping[str, str] = {}


def build_shape(shape: WarmShape, instance: str, host: str, image_digest: str = "", image_resolved: str = "") -> Shape:
    """The executor's form of a shape. The only place that decides it, for runs and for sandboxes that wait for them."""
    return Shape(
        instance=instance,
        host=host,
        language=shape.language,
        image=shape.image,
        image_digest=image_digest,
        image_resolved=image_resolved,
        sidecar_image=SIDECAR_IMAGE,
        limits=Limits(nano_cpus=int(shape.cpu * 1_000_000_000), memory_bytes=shape.memory_mb * MB, pids=shape.pids),
        log_limit_bytes=resolve_log_limit(shape.log_limit_mb) * MB,
        read_only_root=shape.read_only_root,
        network=shape.network,
        egress_dns=settings.CONFIG.egress_dns,
        runtime=shape.runtime,
        joined_network=settings.CONFIG.sandbox_network == "joined",
    )


def build_spec(run: Run, instance: str, host: str) -> RunSpec:
    """Raises SecretUnavailable if a secret cannot be decrypted."""
    return _make_spec(run, instance, host, secrets=decrypt_for_run(run.secrets, run.project_id))


def build_spec_to_adopt(run: Run, instance: str, host: str) -> RunSpec:
    """For a run whose script has begun: nothing is sent to it, and its log is masked with all values that it was given.

    Raises SecretUnavailable if such a value cannot be decrypted.
    """
    masked = list_values_to_mask(run.secrets, run.project_id, run.claimed_at or run.created_at)
    return _make_spec(run, instance, host, masked=masked)


def build_spec_to_remove(run: Run, instance: str, host: str) -> RunSpec:
    return _make_spec(run, instance, host)


def _make_spec(
    run: Run, instance: str, host: str, *, secrets: Mapping[str, str] = NO_SECRETS, masked: tuple[str, ...] = ()
) -> RunSpec:
    # Derived from the row, so that a process that takes the run over masks the same token.
    claimed = run.claimed_at.timestamp() if run.claimed_at else None
    token = tokens.mint_token(tokens.derive_signing_key(settings.SECRET_KEY), str(run.pk), run.timeout_seconds, claimed)
    shape = build_shape(WarmShape.from_row(run), instance, host, run.image_digest, run.image_resolved)
    if is_build(run):
        return make_build_spec(run, shape, token, masked)
    return RunSpec(
        **{item.name: getattr(shape, item.name) for item in fields(Shape)},
        run_id=str(run.pk),
        epoch=run.lease_epoch,
        script=run.script,
        timeout_seconds=float(run.timeout_seconds),
        merge_streams=run.streams == Streams.MERGED,
        drop_past_limit=run.on_log_limit == OnLogLimit.DROP,
        token=token.text,
        token_expires_at=tokens.compute_expiry(
            run.timeout_seconds, time.time()
        ),  # by the clock of the sidecar's machine
        env=run.env,
        secrets=secrets,
        masked=masked,
        egress=tuple(run.egress),
        input=run.input,
        context=build_context(run),
        helpers=load_helpers(),
    )
