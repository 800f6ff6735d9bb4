"""The smoke test of own images: an ordinary, hardened run starts the language and loads the helper."""

from django.conf import settings

from cronium_admin.images.build import BuiltImage
from cronium_admin.images.errors import ImageBuildError
from cronium_admin.workers.instance import get_instance_id
from cronium_admin.workers.own_engine import make_own_engine
from cronium_admin.workers.status import get_own_host_name
from executor.checks.smoke import SmokeSettings, run_smoke_test
from executor.docker.errors import EngineError
from executor.sandbox.subnets import SubnetPool

# What the images promise besides the standard library and the helper.
IMPORTS: dict[str, list[str]] = {"python": ["requests"]}


def check_built_image(image: BuiltImage, runner: str, sidecar: str) -> None:
    """For `build_all`. Raises ImageBuildError."""
    language: str = "bash" if image.name == "runtime-api" else image.name
    if problem := find_smoke_problem(runner, language, sidecar):
        raise ImageBuildError(f"{image.reference} was built, but does not work: {problem}")


def find_smoke_problem(image: str, language: str, sidecar: str) -> str:
    """Runs `image` with the sidecar's image; a sentence, empty if it works."""
    smoke = SmokeSettings(
        get_instance_id(),
        get_own_host_name(),
        sidecar,
        SubnetPool(settings.CONFIG.subnet_pool),
        settings.CONFIG.sandbox_network == "joined",
    )
    try:
        result = run_smoke_test(make_own_engine(4), image, language, IMPORTS.get(language, []), smoke)
    except EngineError as error:
        return f"the smoke test could not run: {error}"
    return "" if result.passed else result.message or "its smoke test failed"
