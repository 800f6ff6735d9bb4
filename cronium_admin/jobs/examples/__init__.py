"""The three example jobs of a new dashboard, one per language. Each shows input, output, progress and colours."""

from pathlib import Path
from typing import Any

from django.db import transaction

from cronium_admin.accounts.people import find_administrator
from cronium_admin.jobs.models import Job
from cronium_admin.jobs.service import create_job

_FOLDER = Path(__file__).parent
_TEXT = "The more you look, the more you see, and the more you see, the better you know where to look."
EXAMPLES: tuple[tuple[str, dict[str, Any]], ...] = (
    (
        "weather.sh",
        {"name": "Example: weather in bash", "language": "bash", "input": {"city": "Oslo", "days": 5}},
    ),
    ("primes.py", {"name": "Example: primes in Python", "language": "python", "input": {"limit": 400_000}}),
    ("words.js", {"name": "Example: words in Node.js", "language": "node", "input": {"text": _TEXT}}),
)


def load_examples() -> list[Job]:
    """Creates the example jobs, as the oldest administrator, in a database that never had a job.

    The first job of a database has the id 1, and ids are not reused. So the examples do not return after all jobs
    were deleted.
    """
    jobs: list[Job] = []
    with transaction.atomic():
        if Job.objects.exists():
            return []
        by = find_administrator()
        for file, fields in EXAMPLES:
            script = (_FOLDER / file).read_text(encoding="utf-8")
            jobs.append(create_job({**fields, "script": script, "tags": ["example"], "timeout_seconds": 120}, by))
            if jobs[0].pk != 1:
                transaction.set_rollback(True)
                return []
    return jobs
