"""From a run's row to what the executor needs to know of it."""

from django.conf import settings

from cronium_admin.jobs.models import OnLogLimit
from cronium_admin.profiles.limits import log_limit
from cronium_admin.runs.models import Run
from cronium_admin.runtime.helpers import helpers
from cronium_admin.runtime.service import context
from cronium_admin.secrets.service import open_for_run
from executor import tokens
from executor.spec import MB, Limits, RunSpec

SIDECAR_IMAGE = "cronium/runtime-api:latest"


def spec_of(run: Run, instance: str, host: str) -> RunSpec:
    """The executor's view of `run`, with a token made for it now. SecretUnavailable when one can't be opened."""
    token = tokens.mint(tokens.signing_key(settings.SECRET_KEY), str(run.pk), run.timeout_seconds)
    return RunSpec(
        run_id=str(run.pk),
        instance=instance,
        host=host,
        epoch=run.lease_epoch,
        language=run.language,
        script=run.script,
        image=run.image,
        sidecar_image=SIDECAR_IMAGE,
        limits=Limits(nano_cpus=int(run.cpu * 1_000_000_000), memory_bytes=run.memory_mb * MB, pids=run.pids),
        timeout_seconds=float(run.timeout_seconds),
        log_limit_bytes=log_limit(run.log_limit_mb) * MB,
        drop_past_limit=run.on_log_limit == OnLogLimit.DROP,
        token=token.text,
        token_expires_at=token.expires_at,
        env=run.env,
        secrets=open_for_run(run.secrets),
        network=run.network,
        egress=tuple(run.egress),
        egress_dns=settings.CONFIG.egress_dns,
        runtime=run.runtime,
        read_only_root=run.read_only_root,
        input=run.input,
        context=context(run),
        helpers=helpers(),
    )
