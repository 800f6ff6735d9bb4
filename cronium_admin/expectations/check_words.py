"""When the next ping of a check is expected, in words."""

from cron_rules.errors import RuleError
from cronium_admin.core.templatetags.ui import format_seconds
from cronium_admin.expectations.check_models import Check, Rhythm
from cronium_admin.schedules.rules import RuleFields, describe_rule


def describe_rhythm(check: Check) -> str:
    grace = f"Grace: {format_seconds(check.grace_seconds)}."
    if check.rhythm == Rhythm.PERIOD:
        return f"A success every {format_seconds(check.period_seconds or 0)}. {grace}"
    fields = RuleFields(kind="cron", rule=check.rule, timezone=check.timezone, seed=f"check:{check.pk}")
    try:
        return f"{describe_rule(fields)} {grace}"
    except RuleError as error:  # a rule that another version of Cronium stored
        return f"{check.rule}: {error}"
