"""The helper functions that scripts can call, as the editor shows them: what to insert, and what it does."""

from dataclasses import asdict, dataclass

from cronium_admin.images.models import Language


@dataclass(frozen=True)
class Helper:
    """`insert` is the text for the script; `needs` the line that the script must have to use it, if there is one."""

    name: str
    insert: str
    words: str
    needs: str = ""


_WORDS = {
    "input": "The input of this run, as the launch gave it.",
    "output": "Sets the output of this run, any JSON value.",
    "context": "Facts about this run and its job; with a name, one of them.",
    "event": "The older name of context.",
    "get_variable": "Reads a variable, which outlives the run; null if there is none. shared/NAME is one of all jobs.",
    "set_variable": "Stores a variable, any JSON value.",
    "increment_variable": "Adds to a number at the server, so that parallel runs lose nothing.",
    "set_condition": "Sets the condition of this run, true or false, which follow-up rules read.",
}
_BASH = {
    "input": "cronium_input",
    "output": "cronium_output '{\"rows\": 3}'",
    "context": "cronium_context job_slug",
    "event": "cronium_event job_slug",
    "get_variable": "cronium_get_variable last_day",
    "set_variable": "cronium_set_variable last_day '\"2026-01-31\"'",
    "increment_variable": "cronium_increment_variable rows 1",
    "set_condition": "cronium_set_condition true",
}
_PYTHON = {
    "input": "cronium.input()",
    "output": 'cronium.output({"rows": 3})',
    "context": 'cronium.context("job_slug")',
    "event": 'cronium.event("job_slug")',
    "get_variable": 'cronium.get_variable("last_day", default=None)',
    "set_variable": 'cronium.set_variable("last_day", "2026-01-31")',
    "increment_variable": 'cronium.increment_variable("rows", 1)',
    "set_condition": "cronium.set_condition(True)",
}
_NODE = {
    "input": ("input", "await cronium.input()"),
    "output": ("output", "await cronium.output({ rows: 3 })"),
    "context": ("context", 'await cronium.context("job_slug")'),
    "event": ("event", 'await cronium.event("job_slug")'),
    "get_variable": ("getVariable", 'await cronium.getVariable("last_day", null)'),
    "set_variable": ("setVariable", 'await cronium.setVariable("last_day", "2026-01-31")'),
    "increment_variable": ("incrementVariable", 'await cronium.incrementVariable("rows", 1)'),
    "set_condition": ("setCondition", "await cronium.setCondition(true)"),
}
HELPERS: dict[str, list[Helper]] = {
    Language.BASH: [Helper(f"cronium_{key}", text, _WORDS[key]) for key, text in _BASH.items()],
    Language.PYTHON: [Helper(key, text, _WORDS[key], "import cronium") for key, text in _PYTHON.items()],
    Language.NODE: [
        Helper(name, text, _WORDS[key], 'const cronium = require("cronium");') for key, (name, text) in _NODE.items()
    ],
}


def list_helpers() -> dict[str, list[dict[str, str]]]:
    """By language, for the editor's script."""
    return {language: [asdict(helper) for helper in helpers] for language, helpers in HELPERS.items()}
