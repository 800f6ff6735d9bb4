# ruff: noqa: F811 - a fixture of another module is asked for by its name
"""No page and no route answers 500 to stored values of older versions, damage, or other programs."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from itertools import zip_longest
from typing import Any

import pytest
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from cronium_admin.accounts.models import ApiToken, User
from cronium_admin.images.models import BuiltImage, ImageOverride
from cronium_admin.jobs.models import Job
from cronium_admin.logs.models import LogChunk, LogGap, LogHead
from cronium_admin.profiles.models import Profile
from cronium_admin.runs.models import Run, RunEvent, Status
from cronium_admin.secrets.models import Secret
from cronium_admin.variables.models import Change, Variable
from cronium_admin.workers.hosts.models import Host
from tests.conftest import Api
from tests.unit.log_storage import give_log
from tests.unit.test_api_access import ROUTES
from tests.unit.test_pages_rights import PAGES, address  # noqa: F401 - fixtures

pytestmark = pytest.mark.long
TURNED = "name\u202egpj.exe\u200b\x07"


def _log(run: Run) -> None:
    give_log(run, b"one\ntwo\n")
    Run.objects.update(status=Status.RUNNING, finished_at=None, started_at=timezone.now(), log_digest="")


def _chunk(**changes: Any) -> Callable[[Run], None]:
    def damage(run: Run) -> None:
        _log(run)
        LogChunk.objects.update(**changes)

    return damage


def _rows(model: Any, **changes: Any) -> Callable[[Run], None]:
    def store(run: Run) -> None:
        model.objects.update(**changes)

    return store


def _json_text(table: str, column: str, text: str) -> Callable[[Run], None]:
    """Stores the text itself, without the model, as another program would."""

    def store(run: Run) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"UPDATE {table} SET {column} = %s", [text])

    return store


def _deleted_job(run: Run) -> None:
    Run.objects.update(status=Status.SUCCEEDED, finished_at=timezone.now())
    Variable.objects.all().delete()
    Job.objects.get(pk=run.job_id).delete()


def _finished(run: Run) -> None:
    Run.objects.update(
        status=Status.LOST, finished_at=timezone.now(), exit_code=-1, reason="x" * 40, message="y" * 9000
    )


# One value of each dictionary is tested at once: they are of different rows.
ODD_RUNS: dict[str, Callable[[Run], None]] = {
    "a run whose job is gone": _deleted_job,
    "a run of an unknown language and rule": _rows(Run, language="ruby", image_rule="magic", network="mesh"),
    "a run that ended oddly": _finished,
    "a run that ended before it began": _rows(
        Run,
        status=Status.FAILED,
        claimed_at=timezone.now(),
        started_at=timezone.now(),
        finished_at=timezone.now() - timedelta(days=9),
    ),
    "a run without a time": _rows(Run, status=Status.FAILED, finished_at=None, log_lines=2**62, log_bytes=2**62),
    "a run with large numbers": _rows(Run, peak_memory_bytes=2**62, exit_code=2**31 - 1, log_gaps=9999),
    "a run of a host that is gone": _rows(Run, status=Status.RUNNING, host="nowhere", started_at=timezone.now()),
    "an event of an unknown kind": lambda run: RunEvent.objects.create(run=run, kind="later", message=TURNED) and None,
    "an output of odd numbers": _rows(Run, output={"a": 1e300, "b": 10**300}, output_at=timezone.now()),
    "an output that is a text with marks": _rows(Run, output="</script>" + TURNED, output_at=timezone.now()),
    "a damaged chunk": _chunk(data=b"no zstd"),
    "a chunk that is cut": _chunk(data=b"\x28\xb5\x2f\xfd"),
    "an empty chunk": _chunk(data=b""),
    "a chunk whose index is damaged": _chunk(index=b"\xff\xff"),
    "a chunk that says more than it has": _chunk(lines=2000, bytes=10**6),
    "a chunk in an archive that is gone": _chunk(data=b"", object_offset=3, object_length=9),
    "a begun line of no text": lambda run: (
        (_log(run), LogHead.objects.update(stdout_tail=b"\xff\x00\x1b[", gaps=7))[1] and None
    ),
    "a gap of an unknown cause": lambda run: (
        (_log(run), LogGap.objects.create(run=run, after_seq=1, cause="??"))[1] and None
    ),
}
ODD_JOBS: dict[str, Callable[[Run], None]] = {
    "no job": lambda run: None,  # beside the deleted job
    "a job whose variable was reserved since": _rows(Job, env={"PATH": "x", "CRONIUM_X": "y"}),
    "a job with odd secrets and tags": _rows(Job, secrets=["gone", "A B"], tags=["UPPER CASE", "", TURNED]),
    "a job with an odd image and queue": _rows(Job, image="NOT an image", queue="Not A Queue"),
    "a job with a name that turns around": _rows(Job, name=TURNED),
    "a job with a name of one blank": _rows(Job, name=" "),
    "a job with a large input": _rows(Job, input={"n": 10**400, "f": 1e300, "deep": [[[[[[[]]]]]]]}),
    "a job without profile limits": _rows(Profile, cpu="0.05", memory_mb=32, pids=10, log_limit_mb=None, runtime="?"),
}
ODD_VARIABLES: dict[str, Callable[[Run], None]] = {
    "no variable": lambda run: None,  # variables were deleted with the job
    "a variable with a large number": _rows(Variable, text="1" + "0" * 4000),
    "a variable of 1e400": _rows(Variable, text="1e400"),
    "a variable of another's hand": _rows(Variable, changed_by=TURNED),
    "a change of an unknown kind": _rows(Change, kind="merged", text="{", by=TURNED),
}
ODD_OTHERS: dict[str, Callable[[Run], None]] = {
    "a host that says little": _rows(Host, canary={}, heartbeat_at=timezone.now()),
    "a host of the future": _rows(
        Host, heartbeat_at=timezone.now() + timedelta(days=900), memory_bytes=2**62, cpus=1e9, load=-1.0
    ),
    "a secret that no key opens": _rows(Secret, encrypted="no token", description=TURNED),
    "an image override of before": lambda run: ImageOverride.objects.create(language="ruby", reference="A b") and None,
    "an override that is no reference": lambda run: (
        ImageOverride.objects.update_or_create(language="bash", defaults={"reference": "A b"}) and None
    ),
    "a built image of an odd name": lambda run: BuiltImage.objects.create(language="bash", reference="") and None,
    "a token with an odd name": _rows(ApiToken, name=TURNED, prefix=""),
    "a person without a name": lambda run: User.objects.filter(username="pat").update(username="") and None,
    "a person with an odd name": lambda run: User.objects.filter(username="pat").update(username=TURNED) and None,
}
GROUPS = [
    dict(pair for pair in pairs if pair)
    for pairs in zip_longest(*(odd.items() for odd in (ODD_RUNS, ODD_JOBS, ODD_VARIABLES, ODD_OTHERS)))
]


def _drain(answer: HttpResponse) -> bytes:
    if not answer.streaming:
        return bytes(answer.content)
    if not answer.is_async:
        return b"".join(answer.streaming_content)  # type: ignore[attr-defined]

    async def read() -> bytes:
        made, parts = answer.streaming_content.__aiter__(), []  # type: ignore[attr-defined]
        try:
            async with asyncio.timeout(1):
                async for part in made:
                    parts.append(part)
        except TimeoutError:
            pass
        return b"".join(parts)

    return asyncio.run(read())


@pytest.mark.parametrize("group", GROUPS, ids=", ".join)
def test_every_page_and_route_shows_it(
    group: dict[str, Callable[[Run], None]],
    run: Run,
    address: Callable[[str, str], str],
    people: dict[str, User],
) -> None:
    api = Api(people["admin"])
    Secret.objects.get_or_create(name="API_KEY")
    urls = {address(view, kind) for method, view, kind, _ in PAGES if method == "get"}
    urls |= {f"/runs/{run.pk}/live/?outcome=x", f"/jobs/live/?id={run.job_id}", "/jobs/?q=a"}
    urls |= {reverse("logs:last") + f"?run={run.pk}"}
    paths = {path.format(run=run.pk) for method, path, *_ in ROUTES if method == "GET" and "follow" not in path}
    for store in group.values():
        store(run)
    LogHead.objects.get_or_create(run=run)
    browser = Client(raise_request_exception=False)
    browser.force_login(people["admin"])
    broken = []
    for url in sorted(urls):
        answer = browser.get(url)
        if answer.status_code >= 500:
            broken.append((url, answer.status_code))
    for path in sorted(paths):
        answer = api.get(path)
        try:
            _drain(answer)
        except Exception as error:  # noqa: BLE001 - a stream that breaks off in the middle
            broken.append((path, repr(error)))
        if answer.status_code == 500:
            broken.append((path, 500))
    assert not broken
