"""Starts the build of a custom image: a run with the trigger `build`. No other module creates such a run."""

import hashlib
from collections.abc import Mapping

from django.conf import settings
from django.db import IntegrityError, transaction

from cronium_admin.accounts.models import User
from cronium_admin.core.database.shared_rows import get_or_create_locked
from cronium_admin.core.errors import ApiError
from cronium_admin.core.json_text import format_exact
from cronium_admin.core.wakeup import wake_workers
from cronium_admin.image_builds.dockerfile_rules import check_dockerfile_right, choose_base
from cronium_admin.image_builds.mirrors import build_public_env, list_egress
from cronium_admin.image_builds.recipe import load_recipe
from cronium_admin.image_builds.script import build_script
from cronium_admin.image_builds.versions import settle_builds
from cronium_admin.images.models import CustomImage, ImageVersion, Language, VersionStatus
from cronium_admin.images.resolution import ImageChoice
from cronium_admin.jobs.models import JobRevision, Network, ScriptText
from cronium_admin.jobs.revisions import digest_script
from cronium_admin.jobs.validation import DEFAULT_QUEUE
from cronium_admin.profiles.limits import default_log_limit_mb
from cronium_admin.runs import events, outbox
from cronium_admin.runs.models import BUILD_TRIGGER, OutboxConsumer, Run

PROFILE_NAME = "build"


def start_build(image: CustomImage, by: User) -> tuple[ImageVersion, Run]:
    """Queues the build of the image's next version.

    Raises ApiError 409 while a build of it is in progress, 403 for a Dockerfile without the right to build it;
    ValidationError if the base of its Dockerfile can't be used.
    """
    settle_builds()
    with transaction.atomic():
        stored = CustomImage.objects.select_for_update(of=("self",)).filter(pk=image.pk).first()
        if stored is None:
            raise ApiError(404, "not_found", f"The image {image.name} was deleted in the meantime.")
        recipe = load_recipe(stored.recipe)
        check_dockerfile_right(recipe, by, stored.project_id)
        _refuse_second_build(stored)
        base = choose_base(recipe, stored.project_id)
        stored.last_version += 1
        CustomImage.objects.filter(pk=stored.pk).update(last_version=stored.last_version)
        run = _create_run(stored, base, by)
        version = _create_version(stored, base, run, by)
        if OutboxConsumer.objects.exists():
            outbox.insert_event(run.pk, "queued", {"status": run.status})
        name = by.get_username()
        events.record_event(run.pk, "queued", f"Build of version {version.number} queued by {name}", name)
        transaction.on_commit(lambda: wake_workers(str(run.pk), run.queue))
    return version, run


def _refuse_second_build(image: CustomImage) -> None:
    building = image.versions.filter(status=VersionStatus.BUILDING).first()
    if building is not None:
        text = f"Version {building.number} of {image.name} is being built by the run {building.run_id}. Wait for it, or"
        raise ApiError(409, "build_in_progress", f"{text} cancel that run.")


def _create_version(image: CustomImage, base: ImageChoice, run: Run, by: User) -> ImageVersion:
    recipe = load_recipe(image.recipe)
    try:
        with transaction.atomic():
            return ImageVersion.objects.create(
                image=image,
                number=image.last_version,
                recipe=recipe.values,
                recipe_digest=recipe.digest,
                run_id=run.pk,
                base=base.reference,
                created_by=by,
            )
    except IntegrityError:
        raise ApiError(409, "build_in_progress", f"Another build of {image.name} began at the same moment.") from None


def _create_run(image: CustomImage, base: ImageChoice, by: User) -> Run:
    config, number = settings.CONFIG, image.last_version
    settings_of_run = {"env": build_public_env(), "secrets": [], "egress": list_egress(), "input": None}
    run = Run.objects.create(
        project_id=image.project_id,
        job=None,
        job_name=f"Image {image.name}",
        job_slug=f"image-{image.name}",
        job_revision=number,
        number=number,
        trigger=BUILD_TRIGGER,
        created_by=by,
        revision=_create_revision(image, settings_of_run, by),
        language=Language.BASH,  # of the script
        image=base.reference,
        image_rule=base.rule,
        image_digest=base.digest,
        image_resolved=base.resolved,
        overridden=[],
        profile_name=PROFILE_NAME,
        cpu=min(config.build_cpu, config.max_cpu),
        memory_mb=min(config.build_memory_mb, config.max_memory_mb),
        pids=min(config.build_pids, config.max_pids),
        log_limit_mb=default_log_limit_mb(),
        timeout_seconds=config.build_timeout_seconds,
        network=Network.EGRESS,
        queue=DEFAULT_QUEUE,
        read_only_root=False,
    )
    run.remember_settings(settings_of_run)
    return run


def _create_revision(image: CustomImage, settings_of_run: Mapping[str, object], by: User) -> JobRevision:
    text = build_script(image.name, image.last_version, load_recipe(image.recipe))
    script: ScriptText = get_or_create_locked(ScriptText, digest_script(text), text=text)
    stored = format_exact({**settings_of_run, "network": Network.EGRESS.value}, sort_keys=True)
    revision = JobRevision(
        job=None,
        number=image.last_version,
        by=by,
        by_name=by.get_username(),
        settings=stored,
        script=script,
        digest=hashlib.sha256(f"{stored}{text}".encode()).hexdigest(),
        is_partial=True,
    )
    revision.save()
    return revision
