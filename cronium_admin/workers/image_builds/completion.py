"""The end of a build: makes, tests and names the image of a container whose script has ended.

Each step may be repeated by the process that adopts the run. A step's undo is registered before the step; what a killed
process leaves is removed by the next attempt or by `leftovers`.
"""

import logging
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any
from uuid import UUID

from django.conf import settings

from cronium_admin.image_builds import versions
from cronium_admin.image_builds.dockerfile.parse import DockerfileError, parse_dockerfile
from cronium_admin.image_builds.dockerfile.words import WordError
from cronium_admin.image_builds.failures import explain_failure
from cronium_admin.image_builds.recipe import load_recipe
from cronium_admin.images.custom import format_engine_tag, make_repository_name
from cronium_admin.images.models import ImageVersion, VersionStatus
from cronium_admin.images.normalize import ImageConfig
from cronium_admin.runs import state_machine
from cronium_admin.runs.models import Run
from cronium_admin.runtime_api.helpers import load_helpers
from cronium_admin.workers.context import HostContext
from cronium_admin.workers.database_threads import DatabaseThreads
from cronium_admin.workers.image_builds.log_tail import read_log_tail
from cronium_admin.workers.image_builds.packing import PackedImage, format_raw_name, pack_image
from cronium_admin.workers.images.push import find_push_registry, push_image
from executor import failpoints
from executor.checks.smoke import SmokeResult, SmokeSettings, run_smoke_test
from executor.docker.errors import EngineError
from executor.docker.protocol import EngineLike
from executor.run.outcome import DISK, StopRequest, build_stop_result
from executor.sandbox.subnets import SubnetPool
from executor.spec import LeaseLost, RunResult, RunSpec

log = logging.getLogger("cronium.builds")
SMOKE_TRIES = 2  # garbage collection of an earlier process may remove the first test's containers
SMOKE_FAILED = "build_smoke_test"


class BuildFailed(Exception):
    """The build ends with `result`; `smoke` has the checks of the smoke test, if it ran."""

    def __init__(self, result: RunResult, smoke: tuple[dict[str, Any], ...] = ()) -> None:
        super().__init__(result.message)
        self.result, self.smoke = result, smoke


@dataclass(frozen=True)
class BuildHost:
    """What the builds of one host have in common."""

    engine: EngineLike
    database: DatabaseThreads
    settings: SmokeSettings


class BuildCompletion:
    """The executor's Completion of one build."""

    def __init__(self, host: BuildHost, spec: RunSpec) -> None:
        self._host, self._engine, self._database = host, host.engine, host.database
        self._run_id, self._epoch = UUID(spec.run_id), spec.epoch
        self._base, self._spec = spec.image, spec
        self._is_released: Callable[[], bool] = lambda: False

    def complete(self, container: str, result: RunResult, is_released: Callable[[], bool]) -> RunResult:
        self._is_released = is_released
        version = self._database.call(versions.find_by_run, self._run_id)
        if version is None:
            return replace(result, status="errored", reason="internal_error", message="The image was deleted.")
        try:
            if result.status != "succeeded":
                output = self._database.call(read_log_tail, self._run_id)
                self._record_failure(explain_failure(result, output), output)
            failpoints.hit("image-exited")
            if version.status == VersionStatus.BUILDING:
                self._make_image(container, version, result)
        except BuildFailed as failure:
            return failure.result
        tag = format_engine_tag(version.image.project_id, version.image.name, version.number)
        return replace(result, message=f"Built {tag}, version {version.number} of the image {version.image.name}.")

    def _record_failure(self, result: RunResult, output: bytes = b"", smoke: tuple[dict[str, Any], ...] = ()) -> None:
        """Stores the failure and raises BuildFailed."""
        failed = (self._run_id, self._epoch, result.reason, result.message, output, smoke)
        if not self._database.call(versions.mark_failed, *failed):
            self._refuse_lost_lease()
        raise BuildFailed(result, smoke)

    def _make_image(self, container: str, version: ImageVersion, result: RunResult) -> None:
        try:
            with ExitStack() as undo:
                try:
                    self._run_steps(container, version, result, undo)
                except LeaseLost:
                    undo.pop_all()  # another process may be at the same steps with the same image
                    raise
        except (EngineError, OSError) as error:
            reason = error.reason if isinstance(error, EngineError) else "build_no_space"
            text = (
                str(error) if isinstance(error, EngineError) else f"The image could not be written: {error.strerror}."
            )
            self._record_failure(replace(result, status="errored", reason=reason, message=f"No image was made. {text}"))

    def _run_steps(self, container: str, version: ImageVersion, result: RunResult, undo: ExitStack) -> None:
        self._check_stop(result)
        self._check_disk(container, result)
        raw = format_raw_name(self._run_id, self._epoch)
        undo.callback(self._remove, raw)
        self._note("The container becomes an image")
        packed = undo.enter_context(
            pack_image(self._engine, container, raw, self._base, partial(self._configure, version), self._note)
        )
        self._check_stop(result)
        made = undo.enter_context(ExitStack())  # the undo of what stays after success
        made.callback(self._remove_unnamed, packed.image_ids)
        image_id = self._load(packed)
        failpoints.hit("image-loaded")
        self._check_stop(result)
        smoke = self._check_image(image_id, version, result)
        failpoints.hit("image-tested")
        self._check_stop(result)
        tag = format_engine_tag(version.image.project_id, version.image.name, version.number)
        made.callback(self._remove, tag)
        self._engine.image_calls.tag(image_id, tag)
        failpoints.hit("image-tagged")
        pushed = self._push(version, image_id)
        self._check_stop(result)
        self._store(packed, image_id, smoke, pushed)
        failpoints.hit("image-ready")
        made.pop_all()

    def _check_disk(self, container: str, result: RunResult) -> None:
        # The last second was not measured, and the engine writes all of a sparse file when it makes the image.
        limit = self._spec.disk_limit_bytes
        if limit and self._engine.archives.measure_disk(container) > limit:
            self._record_failure(build_stop_result(self._spec, StopRequest(DISK), result.exit_code))

    def _load(self, packed: PackedImage) -> str:
        self._note(f"The image has {packed.size // 1_000_000:,} MB; the engine loads it")
        image_id = self._engine.archives.load(packed.archive)
        if image_id not in packed.image_ids:
            raise EngineError(f"The engine loaded {image_id[:80]} instead of the image that was built.")
        return image_id

    def _check_image(self, image_id: str, version: ImageVersion, result: RunResult) -> tuple[dict[str, Any], ...]:
        self._note("Smoke test: an ordinary run imports the packages")
        recipe = load_recipe(version.recipe)
        smoke = self._run_smoke_test(image_id, recipe.base, recipe.imports)
        checks = tuple(asdict(check) for check in smoke.checks)
        if not smoke.passed:
            text = f"{smoke.message} No job gets this version."
            self._record_failure(replace(result, status="failed", reason=SMOKE_FAILED, message=text), b"", checks)
        return checks

    def _run_smoke_test(self, image_id: str, language: str, imports: list[str]) -> SmokeResult:
        for attempt in range(1, SMOKE_TRIES + 1):
            try:
                return run_smoke_test(self._engine, image_id, language, imports, self._host.settings, self._is_released)
            except EngineError:
                self._refuse_lost_lease()
                if attempt == SMOKE_TRIES:
                    raise
        raise AssertionError

    def _push(self, version: ImageVersion, image_id: str) -> dict[str, str]:
        """The exact name of the pushed image by registry; empty if the image has no registry."""
        registry = self._database.call(find_push_registry, version.image)
        if registry is None:
            return {}
        repository = make_repository_name(version.image.project_id, version.image.name)
        reference = f"{registry.address}/{repository}:{version.number}"
        self._note(f"The image is pushed as {reference}")
        exact = push_image(self._engine, self._database, registry, image_id, reference, self._is_released)
        failpoints.hit("image-pushed")
        return {registry.address: exact}

    def _store(
        self, packed: PackedImage, image_id: str, smoke: tuple[dict[str, Any], ...], pushed: dict[str, str]
    ) -> None:
        built = versions.BuiltVersion(
            host=self._host.settings.host,
            base_digest=packed.base_id,
            config_digest=packed.config_digest,
            manifest_digest=packed.manifest_digest,
            image_id=image_id,
            size=packed.size,
            packages=packed.packages,
            sbom=packed.sbom,
            smoke=smoke,
            pushed=pushed,
        )
        if not self._database.call(versions.mark_ready, self._run_id, self._epoch, built):
            self._refuse_lost_lease()
            raise EngineError("The version was ended before its image was ready.")

    def _check_stop(self, result: RunResult) -> None:
        """Raises LeaseLost, or BuildFailed after a cancel."""
        self._refuse_lost_lease()
        if self._database.call(_is_cancelled, self._run_id):
            message = "Cancelled while the image was being made."
            self._record_failure(replace(result, status="cancelled", reason="cancelled", message=message))

    def _refuse_lost_lease(self) -> None:
        held = Run.objects.filter(pk=self._run_id, lease_epoch=self._epoch)
        if self._is_released() or not self._database.call(held.exists):
            raise LeaseLost

    def _note(self, message: str) -> None:
        self._database.call(state_machine.record_note, self._run_id, "image_build", message)

    def _configure(self, version: ImageVersion, of_base: Mapping[str, Any]) -> ImageConfig:
        """Raises EngineError if the variables of a Dockerfile are too large with those of its base."""
        labels, text = self._describe(version), load_recipe(version.recipe).dockerfile
        if not text:
            return ImageConfig.from_engine(of_base, labels)
        inherited = tuple(of_base.get("Env") or ())
        try:
            dockerfile = parse_dockerfile(text)
            environment = dockerfile.build_environment(inherited)
            own = dockerfile.build_labels(inherited)
        except (DockerfileError, WordError) as error:
            raise EngineError(f"The Dockerfile can't be used: {error}.") from error
        return replace(ImageConfig.from_engine(of_base, {**own, **labels}), environment=tuple(environment))

    def _describe(self, version: ImageVersion) -> dict[str, str]:
        # Without the number: the same recipe on the same base gives the same image.
        return {
            "cronium.image": "custom",
            "cronium.language": version.recipe["base"],
            "cronium.origin": self._host.settings.instance,
            "cronium.recipe": version.recipe_digest,
            "org.opencontainers.image.title": version.image.name,
        }

    def _remove(self, reference: str) -> None:
        try:
            self._engine.image_calls.remove(reference)
        except EngineError as error:
            log.warning("the image %s could not be removed: %s", reference, error)

    def _remove_unnamed(self, image_ids: tuple[str, ...]) -> None:
        # An earlier version may be the same image: its name keeps it.
        for image_id in image_ids:
            try:
                if self._engine.archives.read_names(image_id) == []:
                    self._engine.image_calls.remove(image_id)
            except EngineError as error:
                log.warning("the image %s could not be removed: %s", image_id, error)


def make_completion(context: HostContext, spec: RunSpec) -> BuildCompletion | None:
    """None for a run that is no build."""
    if not spec.is_build:
        return None
    config = settings.CONFIG
    smoke = SmokeSettings(
        instance=context.instance,
        host=context.host,
        sidecar_image=spec.sidecar_image,
        subnets=SubnetPool(config.subnet_pool),
        joined_network=config.sandbox_network == "joined",
        helpers=load_helpers(),
    )
    return BuildCompletion(BuildHost(context.engine, context.database, smoke), spec)


def _is_cancelled(run_id: UUID) -> bool:
    return Run.objects.filter(pk=run_id, cancel_requested_at__isnull=False).exists()
