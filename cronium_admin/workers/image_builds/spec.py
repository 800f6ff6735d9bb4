"""Decides whether a run is the build of a custom image, and makes its RunSpec. The only place that sets `is_build`."""

import time
from dataclasses import fields, replace

from django.conf import settings

from cronium_admin.image_builds.mirrors import build_secrets
from cronium_admin.images.models import ImageVersion
from cronium_admin.runs.models import BUILD_TRIGGER, Run
from cronium_admin.secrets.retired_values import SecretUnavailable
from executor.run import tokens
from executor.spec import MB, RunSpec, Shape


def is_build(run: Run) -> bool:
    """Whether the service of image builds created the run: its trigger alone proves nothing."""
    if run.trigger != BUILD_TRIGGER or run.job_id is not None:
        return False
    return ImageVersion.objects.filter(run_id=run.pk).exists()


def make_build_spec(run: Run, shape: Shape, token: tokens.Token, masked: tuple[str, ...]) -> RunSpec:
    """Raises SecretUnavailable if the file of certificates that the settings name can't be read."""
    try:
        given = build_secrets()
    except (OSError, ValueError) as error:
        raise SecretUnavailable(
            f"The file in CRONIUM_BUILD_CA_FILE can't be used on the host {shape.host}: {error}. Nothing was started."
        ) from None
    recipe = ImageVersion.objects.values_list("recipe", flat=True).get(run_id=run.pk)
    shape = replace(shape, is_build=True, runs_dockerfile=bool(recipe.get("dockerfile")), read_only_root=False)
    return RunSpec(
        **{item.name: getattr(shape, item.name) for item in fields(Shape)},
        run_id=str(run.pk),
        epoch=run.lease_epoch,
        script=run.script,
        timeout_seconds=float(run.timeout_seconds),
        token=token.text,
        token_expires_at=tokens.compute_expiry(run.timeout_seconds, time.time()),
        env=run.env,
        secrets=given.env,
        masked=(*masked, *given.masked),
        egress=tuple(run.egress),
        helpers=given.files,
        disk_limit_bytes=settings.CONFIG.build_disk_mb * MB,
    )
