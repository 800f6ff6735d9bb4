"""Texts that runs share are stored once, returned unchanged, and deleted with the last run that uses them."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest

from cronium_admin.accounts.models import User
from cronium_admin.jobs.models import Job, JobRevision, ScriptText
from cronium_admin.jobs.service import create_job, delete_job, save_job
from cronium_admin.logs.throttle import Throttle
from cronium_admin.retention import deletion, ends
from cronium_admin.runs import state_machine
from cronium_admin.runs.launch import launch, rerun
from cronium_admin.runs.models import Run, SandboxTable
from cronium_admin.runs.sandbox_report import pack_report, unpack_report
from executor import naming
from executor.sandbox.inspection import Row, to_json
from executor.sandbox.sandbox import Sandbox
from executor.sandbox.subnets import SubnetPool
from tests.conftest import Api
from tests.fakes.engine import FakeEngine
from tests.fakes.specs import make_binding, make_spec
from tests.unit.test_executor_report import found_for
from tests.users import get_admin

ROOT = Path(__file__).parents[2]
RUN = "0a1b2c3d-0000-4000-8000-000000000001"


def report_of(run_id: str, *more: Row) -> dict[str, Any]:
    """A report as `executor.sandbox.inspection` builds it without drift, and `more` rows."""
    from executor.sandbox import inspection

    engine, spec = FakeEngine(), make_spec(run_id=run_id)
    asked, found = found_for(spec, engine)
    engine.close()
    image = found[naming.name_main(run_id)]["Image"]
    return to_json([*inspection.build_rows(spec, asked, found, "runc", image), *more])


STRANGE = [
    Row("main", "x", "{short} {run} {0+1} {9+9} {0+}", "{0+1}", True),
    Row("main", "subnet", "not a network", "not a network", False),
    Row("main", "x", "999.1.1.1 and 10.215.0.3, 10.215.0.9", "10.215.0.2", True, True),
    Row("network", "subnet", "10.215.0.0/29", "none", True),
    Row("main", "x", "", "", False),
]


@pytest.mark.parametrize("more", [(), *((row,) for row in STRANGE), tuple(STRANGE)])
def test_a_report_comes_back_as_it_was(more: tuple[Row, ...]) -> None:
    report = report_of(RUN, *more)
    table, own = pack_report(RUN, report)
    assert unpack_report(RUN, json.loads(json.dumps(table)), json.loads(json.dumps(own))) == report


def test_sandboxes_of_one_kind_share_their_table_whatever_run_and_subnet() -> None:
    first, other = report_of(RUN), report_of(RUN.replace("1b", "ff"))
    other = json.loads(json.dumps(other).replace("10.215.0.", "10.99.8."))
    assert first != other
    assert pack_report(RUN, first)[0] == pack_report(RUN.replace("1b", "ff"), other)[0]
    assert len(json.dumps(pack_report(RUN, first)[1])) < 60


@pytest.mark.django_db
@pytest.mark.parametrize("network", ["isolated", "none", "egress", "open"])
@pytest.mark.parametrize("joined", [True, False])
def test_real_sandboxes_of_one_kind_share_their_table(network: str, joined: bool) -> None:
    def prepare() -> Any:
        engine, spec = FakeEngine(), make_spec(network=network, joined_network=joined)
        sandbox = Sandbox(engine, spec.sandbox, SubnetPool(IPv4Network("10.213.0.0/16")))
        try:
            sandbox.prepare(make_binding(spec))
            return pack_report(spec.run_id, to_json(sandbox.build_report()))[0]
        finally:
            engine.close()

    assert prepare() == prepare()


def test_a_script_is_stored_once_and_each_run_keeps_its_own(editor: Api, people: dict[str, User]) -> None:
    job = create_job({"name": "Report", "language": "bash", "script": "echo hello"}, people["editor"])
    old = launch(job, get_admin())
    launch(job, get_admin())
    job = save_job(job, {"script": "echo new"}, people["editor"])
    new = launch(job, get_admin())
    save_job(job, {"script": "echo hello"}, people["editor"])
    assert sorted(ScriptText.objects.values_list("text", flat=True)) == ["echo hello", "echo new"]
    assert editor.get(f"/runs/{old.pk}").json()["script"] == "echo hello"
    assert editor.get(f"/runs/{new.pk}").json()["script"] == "echo new"
    assert rerun(old, get_admin()).script == "echo hello"
    assert ScriptText.objects.count() == 2


@pytest.mark.django_db
def test_what_no_run_has_any_more_is_swept(make_job: Callable[..., Job]) -> None:
    runs = [launch(make_job(script=text), get_admin()) for text in ("echo a", "echo a", "echo b")]
    for _ in runs:
        claimed = state_machine.claim_next("here", "here:1")
        assert claimed is not None
        assert state_machine.record_sandbox(claimed.pk, claimed.lease_epoch, report_of(str(claimed.pk)))
    Run.objects.update(status="failed", finished_at=runs[0].created_at)
    assert (JobRevision.objects.count(), ScriptText.objects.count(), SandboxTable.objects.count()) == (3, 2, 1)
    deletion.delete_runs([runs[0].pk, runs[2].pk], Throttle())
    ends.apply_rules(Throttle())
    assert (JobRevision.objects.count(), ScriptText.objects.count()) == (3, 2)  # of jobs that are stored
    for job in Job.objects.all():
        delete_job(job)
    assert (JobRevision.objects.filter(job=None).count(), runs[1].script) == (3, "echo a")
    ends.apply_rules(Throttle())
    assert [row.pk for row in JobRevision.objects.all()] == [runs[1].revision_id]
    assert [text.text for text in ScriptText.objects.all()] == ["echo a"]
    assert SandboxTable.objects.count() == 1
    deletion.delete_runs([runs[1].pk], Throttle())
    ends.apply_rules(Throttle())
    assert not any(model.objects.exists() for model in (JobRevision, ScriptText, SandboxTable))


OLD_ROWS = """
import json, sys, uuid
import django
django.setup()
from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

call_command("migrate", "runs", "0012", verbosity=0)
call_command("migrate", "jobs", "0015", verbosity=0)
state = MigrationExecutor(connection).loader.project_state([("runs", "0012_growth")])
Run = state.apps.get_model("runs", "Run")
old = json.load(sys.stdin)
common = dict(job_name="a", job_slug="a", job_revision=1, language="bash", image="x", image_rule="default",
              profile_name="small", cpu=1, memory_mb=64, pids=10, timeout_seconds=9, network="isolated")
for number, (key, report) in enumerate(old.items()):
    Run.objects.create(id=uuid.UUID(key), number=number, script=f"echo {number % 2}", sandbox=report, **common)
call_command("migrate", verbosity=0)
from cronium_admin.jobs.models import ScriptText
from cronium_admin.runs.models import Run, SandboxTable
found = {str(run.pk): [run.script, run.sandbox_report] for run in Run.objects.order_by("number")}
json.dump([found, ScriptText.objects.count(), SandboxTable.objects.count()], sys.stdout)
"""


@pytest.mark.chaos
def test_rows_of_before_are_moved_by_the_migration(tmp_path: Path) -> None:
    ids = [RUN[:-1] + str(number) for number in range(4)]
    old = {key: report_of(key, *STRANGE[:number]) for number, key in enumerate(ids[:3])} | {ids[3]: None}
    plain = {name: value for name, value in os.environ.items() if not name.startswith("CRONIUM_")}
    environment = {**plain, "CRONIUM_DATA_DIR": str(tmp_path), "DJANGO_SETTINGS_MODULE": "cronium_admin.settings"}
    done = subprocess.run(
        [sys.executable, "-c", OLD_ROWS],
        input=json.dumps(old),
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found, scripts, tables = json.loads(done.stdout)
    assert found == {key: [f"echo {number % 2}", report] for number, (key, report) in enumerate(old.items())}
    assert (scripts, tables) == (2, 3)
