"""The page that imports a crontab."""

import re
from html import unescape
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from cronium_admin.accounts.models import User
from cronium_admin.jobs.models import Job
from cronium_admin.schedules.models import Schedule

pytestmark = pytest.mark.django_db
URL = "/schedules/import/"
FILE = (
    "MAILTO=ops@example.com\nAPI_TOKEN=hunter2-long\n# Nightly backup\n0,30 2 * * * backup.sh\n"
    "*/15 * * * * cat%a%b\n#@daily old.sh\n"
)
SENT = {"crontab": FILE, "timezone": "Europe/Berlin", "format": "auto"}
HOSTILE = "<script>alert(1)</script>"


@pytest.fixture
def page(people: dict[str, User]) -> Client:
    client = Client()
    client.force_login(people["editor"])
    return client


def read(answer: Any) -> str:
    return unescape(answer.content.decode())


def find_digest(text: str) -> str:
    return re.findall(r'name="seen" value="([0-9a-f]+)"', text)[0]


def test_pasted_checked_and_imported(page: Client) -> None:
    assert "Import a crontab" in read(page.get("/schedules/"))
    assert "Show entries" in read(page.get(URL))
    text = read(page.post(URL, SENT | {"then": "preview"}))
    assert not Job.objects.exists()
    assert "3 entries" in text
    assert 'value="Nightly backup"' in text
    assert "At 02:00 and 02:30, every day (Europe/Berlin)." in text
    assert "MAILTO=ops@example.com: cron mails the output." in text
    assert "the same as those of cron" in text
    assert "some differ from those of cron" in text
    assert "cron starts 2 runs for the skipped times, Cronium one." in text
    assert "An administrator can store it as a secret." in text
    assert text.count("hunter2") == 1  # in the typed text only
    digest = find_digest(text)
    chosen = {"then": "import", "seen": digest, "pick-4": "on", "name-4": "Backup of the shop", "pick-6": "on"}
    answer = page.post(URL, SENT | chosen | {"name-5": "cat", "name-6": "old.sh", "secret-API_TOKEN": "omit"})
    assert answer["Location"] == "/schedules/?q=crontab", read(answer)
    assert set(Job.objects.values_list("name", "enabled")) == {("Backup of the shop", True), ("old.sh", False)}
    assert not Schedule.objects.filter(enabled=True).exists()
    assert "2 jobs are created. The schedules are disabled" in read(page.get(answer["Location"]))
    again = read(page.post(URL, SENT))
    assert "exists already as <a" in again
    assert re.findall(r'name="(pick-\d)"( checked)?', again) == [("pick-4", ""), ("pick-5", " checked"), ("pick-6", "")]


def test_a_file_replaces_the_text(page: Client) -> None:
    content = "\ufeff0 1 * * * root from-file\r\n0 2 * * * web other\r\n".encode()
    text = read(page.post(URL, SENT | {"file": SimpleUploadedFile("crontab", content)}))
    assert "The file was read with a user column." in text
    assert 'value="from-file"' in text
    assert "MAILTO" not in text
    latin = SimpleUploadedFile("crontab", "0 1 * * * gr\u00fc\u00dfe".encode("latin-1"))
    assert "gr\u00fc\u00dfe" in read(page.post(URL, SENT | {"file": latin}))
    large = page.post(URL, SENT | {"file": SimpleUploadedFile("crontab", b"#" * 2_000_000)})
    assert large.status_code == 422
    assert "2,000,000 bytes" in read(large)


def test_nothing_is_imported_that_was_not_seen(page: Client) -> None:
    text = read(page.post(URL, SENT))
    chosen = {"then": "import", "seen": find_digest(text), "pick-4": "on"}
    answer = page.post(URL, SENT | chosen | {"crontab": FILE.replace("backup.sh", "delete.sh")})
    assert answer.status_code == 422
    assert "has changed since it was read" in read(answer)
    assert not Job.objects.exists()
    none = page.post(URL, SENT | {"then": "import", "seen": find_digest(text)})
    assert "Choose at least one entry." in read(none)


def test_a_name_that_is_taken_is_shown_at_its_entry(page: Client) -> None:
    text = read(page.post(URL, SENT))
    chosen = {"then": "import", "seen": find_digest(text), "pick-4": "on", "name-4": "same", "pick-5": "on"}
    answer = page.post(URL, SENT | chosen | {"name-5": "same"})
    shown = read(answer)
    assert answer.status_code == 422
    assert "Line 5: The job same exists already." in shown
    assert "1 job is created." in shown
    assert Job.objects.count() == 1


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        ({"crontab": " "}, "The file is empty"),
        ({"timezone": "Mars/Base"}, "is not a time zone"),
        ({"format": "odd"}, "is not allowed"),
        ({"secret-API_TOKEN": "secret"}, "only an administrator stores secrets"),
        ({"secret-API_TOKEN": "odd"}, "is not allowed"),
    ],
)
def test_errors_keep_what_was_typed(page: Client, sent: dict[str, str], words: str) -> None:
    answer = page.post(URL, SENT | sent)
    assert answer.status_code == 422
    assert words in read(answer)
    assert "crontab" in sent or "0,30 2 * * * backup.sh" in read(answer)


def test_hostile_text_is_escaped(page: Client) -> None:
    text = f"A={HOSTILE}\nMAILTO={HOSTILE}\n# {HOSTILE}\n0 1 * * * {HOSTILE}%{HOSTILE}\n0 1 {HOSTILE} * * x\n"
    answer = page.post(URL, SENT | {"crontab": text})
    assert answer.status_code == 200
    assert HOSTILE not in answer.content.decode()
