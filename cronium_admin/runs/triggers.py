"""What launched a run: the values of `trigger`, and their words."""

from django.db import models


class Trigger(models.TextChoices):
    """The label is a filter's choice."""

    MANUAL = "manual", "Dashboard"
    API = "api", "API"
    RERUN = "rerun", "Rerun"
    SCHEDULE = "schedule", "Schedule"
    CATCH_UP = "catch_up", "Missed time"
    RETRY = "retry", "Retry"
    WEBHOOK = "webhook", "Webhook"
    WORKFLOW = "workflow", "Workflow"
    BUILD = "build", "Image build"
    MCP = "mcp", "MCP"
    CLI = "cli", "Command line"
    TRY = "try", "Try in the editor"


_WORDS = {
    Trigger.MANUAL: "from the dashboard",
    Trigger.API: "over the API",
    Trigger.RERUN: "as a rerun",
    Trigger.SCHEDULE: "by a schedule",
    Trigger.CATCH_UP: "to catch up a time of a schedule",
    Trigger.RETRY: "as another attempt",
    Trigger.WEBHOOK: "by a webhook",
    Trigger.WORKFLOW: "by a workflow",
    Trigger.BUILD: "as a build of an image",
    Trigger.MCP: "over MCP",
    Trigger.CLI: "from the command line",
    Trigger.TRY: "as a try of unsaved text in the editor",
}


def describe_trigger(trigger: str) -> str:
    """For a sentence that begins with "Launched"."""
    return _WORDS[Trigger(trigger)] if trigger in Trigger.values else trigger


def name_trigger(trigger: str) -> str:
    """The label; another version's value as it is."""
    return str(Trigger(trigger).label) if trigger in Trigger.values else trigger
