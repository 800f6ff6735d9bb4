"""The import of a crontab: what is created, what is skipped, and secrets."""

from collections.abc import Callable
from typing import Any

import pytest

from cronium_admin.accounts.models import User
from cronium_admin.jobs.models import Job
from cronium_admin.schedules.models import Schedule
from cronium_admin.secrets.crypto import encrypt
from cronium_admin.secrets.models import Secret
from tests.conftest import Api

pytestmark = pytest.mark.django_db
FILE = """\
MAILTO=ops@example.com
COLOUR=red
# Nightly backup
30 2 * * * backup.sh --day \\%F
*/15 * * * * cat%one%two
# 0 5 * * 1 tar -zcf /var/backups/home.tgz /home/
@reboot start.sh
61 * * * * wrong
"""


def send(api: Api, kind: str, **body: Any) -> Any:
    answer = api.post(f"/crontab/{kind}", {"text": FILE, "timezone": "Europe/Berlin", **body})
    assert answer.status_code == 200, answer.content
    return answer.json()


def test_the_preview_stores_nothing(editor: Api) -> None:
    found = send(editor, "preview")
    assert not Job.objects.exists()
    first, second, commented, start = found["entries"]
    assert (first["line"], first["name"], first["slug"], first["rule"]) == (
        4,
        "Nightly backup",
        "nightly-backup",
        "30 2 * * *",
    )
    assert first["words"] == "At 02:30, every day (Europe/Berlin)."
    assert first["env"] == {"COLOUR": "red"}
    assert len(first["times"]) == 30
    assert {(time["cron_runs"], time["cronium_runs"], time["reason"]) for time in first["times"]} == {(1, True, "")}
    assert (second["command"], second["stdin"]) == ("cat", "one\ntwo\n")
    assert commented["is_commented"]
    assert "/var/backups/home.tgz" in commented["remarks"][0]["reason"]
    assert (start["rule"], start["times"], start["rule_problem"]) == ("@reboot", [], "")
    assert start["words"] == "Once each time the installation starts."
    assert [(remark["line"], remark["reason"][:6]) for remark in found["remarks"]] == [(1, "MAILTO"), (8, "cron r")]
    assert found["format"] == "user"


def test_jobs_and_disabled_schedules_are_created_once(editor: Api) -> None:
    result = send(editor, "import")
    assert [created["line"] for created in result["created"]] == [4, 5, 6, 7]
    job = Job.objects.get(slug="nightly-backup")
    assert job.script == "# Nightly backup\nbackup.sh --day %F\n"
    assert (job.language, job.env, job.tags, job.enabled) == ("bash", {"COLOUR": "red"}, ["crontab"], True)
    assert Job.objects.get(slug="cat").script == "exec <<'INPUT'\none\ntwo\nINPUT\ncat\n"
    assert not Job.objects.get(slug="tar").enabled
    schedule = job.schedules.get()
    assert (schedule.rule, schedule.timezone, schedule.enabled) == ("30 2 * * *", "Europe/Berlin", False)
    assert (schedule.missed, schedule.overlap, schedule.owner) == ("none", "allow", job.created_by)
    again = send(editor, "import")
    assert again["created"] == []
    assert [skipped["line"] for skipped in again["skipped"]] == [4, 5, 6, 7]
    assert "nightly-backup exists already" in again["skipped"][0]["reason"]
    assert Job.objects.count() == 4
    assert [entry["existing"] for entry in send(editor, "preview")["entries"]] == [
        "nightly-backup",
        "cat",
        "tar",
        "startsh",
    ]


def test_an_interrupted_import_is_completed(editor: Api) -> None:
    """Also of entries with equal commands, and of one that got another name."""
    text = "0 1 * * * same\n0 2 * * * same\n0 3 * * * other\n"
    send(editor, "import", text=text, entries=[{"line": 1}, {"line": 3, "name": "My other"}])
    assert set(Job.objects.values_list("slug", flat=True)) == {"same", "my-other"}
    found = send(editor, "preview", text=text)["entries"]
    assert [entry["existing"] for entry in found] == ["same", None, "my-other"]
    assert [created["job"] for created in send(editor, "import", text=text)["created"]] == ["same-2"]
    assert send(editor, "import", text=text)["created"] == []


def test_entries_are_chosen_and_named(editor: Api) -> None:
    chosen = [{"line": 4, "name": "Backup of the shop"}, {"line": 5, "skip": True}]
    result = send(editor, "import", entries=chosen)
    assert [created["job"] for created in result["created"]] == ["backup-of-the-shop"]
    assert [skipped["reason"] for skipped in result["skipped"]] == ["It was not chosen."] * 3
    refused = editor.post("/crontab/import", {"text": FILE, "entries": [{"line": 1}]})
    assert refused.status_code == 422
    assert "Line 1 of the file has no entry" in refused.json()["fields"]["entries"][0]
    long = send(editor, "import", entries=[{"line": 5, "name": "a\u202eb"}])
    assert long["created"] == []
    assert long["failed"][0]["line"] == 5


SECRETS = "DB_PASSWORD=hunter2-long\n0 1 * * * dump.sh\n"


def test_a_secret_is_stored_by_an_administrator(admin: Api) -> None:
    preview = send(admin, "preview", text=SECRETS)
    assert "hunter2" not in str(preview)
    assert [(row["name"], row["treatment"], row["may_store"]) for row in preview["secrets"]] == [
        ("DB_PASSWORD", "secret", True)
    ]
    send(admin, "import", text=SECRETS)
    job = Job.objects.get()
    assert (job.env, job.secrets) == ({}, ["DB_PASSWORD"])
    assert Secret.objects.get().name == "DB_PASSWORD"


def test_an_editor_leaves_it_out_or_keeps_it_as_a_variable(editor: Api) -> None:
    assert send(editor, "preview", text=SECRETS)["secrets"][0]["treatment"] == "omit"
    refused = editor.post("/crontab/import", {"text": SECRETS, "secrets": {"DB_PASSWORD": "secret"}})
    assert refused.status_code == 422
    assert "only an administrator stores secrets" in refused.json()["fields"]["secrets"][0]
    send(editor, "import", text=SECRETS)
    assert Job.objects.get().env == {}
    Job.objects.all().delete()
    send(editor, "import", text=SECRETS, secrets={"DB_PASSWORD": "env"})
    assert Job.objects.get().env == {"DB_PASSWORD": "hunter2-long"}


def test_a_stored_secret_is_used_and_not_changed(editor: Api) -> None:
    sealed = encrypt("DB_PASSWORD", "another value")
    Secret.objects.create(name="DB_PASSWORD", encrypted=sealed)
    text = SECRETS + "DB_PASSWORD=second-value\n0 2 * * * other.sh\n"
    send(editor, "import", text=text)
    assert [job.secrets for job in Job.objects.all()] == [["DB_PASSWORD"]] * 2
    assert Secret.objects.get().encrypted == sealed


def test_two_values_are_no_secret(admin: Api) -> None:
    text = SECRETS + "DB_PASSWORD=second-value\n0 2 * * * other.sh\n"
    assert send(admin, "preview", text=text)["secrets"][0]["treatment"] == "omit"
    refused = admin.post("/crontab/import", {"text": text, "secrets": {"DB_PASSWORD": "secret"}})
    assert "several values" in refused.json()["fields"]["secrets"][0]


def test_reserved_names_are_left_out(editor: Api) -> None:
    found = send(editor, "preview", text="LD_PRELOAD=/x.so\nCRON_TZ=UTC\n0 1 * * * a\n")
    assert "reserved" in found["remarks"][0]["reason"]
    assert found["entries"][0]["env"] == {}


@pytest.mark.parametrize(
    ("body", "field", "words"),
    [
        ({"text": " \n"}, "text", "empty"),
        ({"text": "x" * 300_000}, "text", "at most"),
        ({"timezone": "Mars/Base"}, "timezone", "is not a time zone"),
        ({"format": "other"}, "format", ""),
        ({"secrets": {"A": "keep"}}, "secrets.A", ""),
    ],
)
def test_what_is_refused(editor: Api, body: dict[str, Any], field: str, words: str) -> None:
    for kind in ("preview", "import"):
        answer = editor.post(f"/crontab/{kind}", {"text": FILE, **body})
        assert answer.status_code == 422
        assert words in answer.json()["fields"][field][0]


def test_a_schedule_runs_as_a_line_of_cron_after_it_is_enabled(editor: Api, people: dict[str, User]) -> None:
    created = send(editor, "import", text="RANDOM_DELAY=10\n@hourly a\n")["created"][0]
    schedule = Schedule.objects.get(pk=created["schedule"])
    assert (schedule.rule, schedule.jitter_seconds, schedule.name) == ("@hourly", 600, "crontab")
    assert editor.patch(f"/schedules/{schedule.pk}", {"enabled": True}).json()["next_at"]


def test_another_job_of_the_same_slug_is_kept(editor: Api, make_job: Callable[..., Job]) -> None:
    make_job(slug="cat", script="echo mine")
    assert send(editor, "preview")["entries"][1]["existing"] == "cat"
    send(editor, "import")
    assert Job.objects.get(slug="cat").script == "echo mine"
