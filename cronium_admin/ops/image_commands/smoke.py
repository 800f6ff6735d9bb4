"""The smoke test of own images: an ordinary, hardened run starts the language and loads the helper. The linter checks
texts.
"""

from django.conf import settings

from cronium_admin.images.build import BuiltImage
from cronium_admin.images.errors import ImageBuildError
from cronium_admin.images.recipes import LINTER
from cronium_admin.script_checks.findings import read_problems
from cronium_admin.script_checks.models import Action
from cronium_admin.script_checks.tools import ToolFailed, build_program, parse_output
from cronium_admin.workers.instance import get_instance_id
from cronium_admin.workers.own_engine import make_own_engine
from cronium_admin.workers.status import get_own_host_name
from executor.checks.smoke import SmokeSettings, run_smoke_test
from executor.checks.tool_run import ToolSettings, run_tool
from executor.docker.errors import EngineError
from executor.sandbox.subnets import SubnetPool

# What the images promise besides the standard library and the helper.
IMPORTS: dict[str, list[str]] = {"python": ["requests"]}


def check_built_image(image: BuiltImage, runner: str, sidecar: str) -> None:
    """For `build_all`. Raises ImageBuildError."""
    if image.name == LINTER.name:
        if problem := find_linter_problem(runner):
            raise ImageBuildError(f"{image.reference} was built, but does not work: {problem}")
        return
    language: str = "bash" if image.name == "runtime-api" else image.name
    if problem := find_smoke_problem(runner, language, sidecar):
        raise ImageBuildError(f"{image.reference} was built, but does not work: {problem}")


# A text of each language, and the rule that its check must name.
_FAULTY = {
    "bash": ("if true; then\n  echo $1\n", "SC1046"),
    "python": ("print(undefined_name)\n", "F821"),
    "node": ("const a = ;\n", "SyntaxError"),
}


def find_linter_problem(image: str) -> str:
    """Checks and formats texts with `image`; a sentence, empty if it works."""
    engine, where = make_own_engine(4), (get_instance_id(), get_own_host_name())
    subnets = SubnetPool(settings.CONFIG.subnet_pool)
    try:
        for language, (text, rule) in _FAULTY.items():
            program = build_program(Action.CHECK, language, text)
            _, output = run_tool(engine, image, program, ToolSettings(*where, subnets))
            problems, _ = read_problems(language, parse_output(output))
            if rule not in {problem["rule"] for problem in problems}:
                return f"the check of {language} does not find {rule}"
    except (EngineError, ToolFailed) as error:
        return f"the smoke test could not run: {error}"
    return ""


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
