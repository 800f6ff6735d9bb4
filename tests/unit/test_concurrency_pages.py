"""The editor's group "Concurrency", priorities on the pages, and the key that the editor computes."""

from collections.abc import Callable

import pytest
from django.test import Client

from cronium_admin.accounts.models import User
from cronium_admin.jobs.concurrency import normalize_concurrency
from cronium_admin.jobs.models import Job
from cronium_admin.runs.launch import launch
from cronium_admin.runs.models import Run
from cronium_admin.runs.overrides import Overrides

pytestmark = pytest.mark.django_db
FORM = {
    **{"name": "Report", "language": "bash", "script": "true", "profile": "small", "timeout_seconds": "60"},
    **{"concurrency_limit": "2", "concurrency_key": " customer.id ", "concurrency_when_full": "skip", "priority": "4"},
}
SETTING = {"limit": 2, "key": "customer.id", "when_full": "skip"}


@pytest.fixture
def editor(client: Client, people: dict[str, User]) -> Client:
    client.force_login(people["editor"])
    return client


class TestEditor:
    def test_it_stores_the_settings(self, editor: Client, job: Job) -> None:
        page = editor.get(f"/jobs/{job.slug}/edit/").content.decode()
        assert '<summary>Concurrency <span class="num wrap-any">no limit</span>' in page
        assert editor.post(f"/jobs/{job.slug}/edit/", FORM).status_code == 302
        job.refresh_from_db()
        assert (job.concurrency, job.concurrency_limit, job.priority) == (SETTING, 2, 4)
        page = editor.get(f"/jobs/{job.slug}/edit/").content.decode()
        words = "at most 2 at once for each customer.id; the new run is not run"
        assert f'<summary>Concurrency <span class="num wrap-any">{words}</span>' in page
        assert 'name="concurrency_when_full" value="skip" checked' in page
        assert '<option value="4" selected>4 (high)</option>' in page
        page = editor.get(f"/jobs/{job.slug}/settings/").content.decode()
        assert f'<dt>Concurrency</dt><dd class="num wrap-any">{words}</dd>' in page
        assert '<dt>Priority</dt><dd class="num">4 (high)</dd>' in page
        emptied = FORM | {"concurrency_limit": "", "concurrency_key": ""}
        assert editor.post(f"/jobs/{job.slug}/edit/", emptied).status_code == 302
        job.refresh_from_db()
        assert (job.concurrency, job.concurrency_limit) == (None, None)
        assert job.revision == 3

    def test_a_form_without_the_group_keeps_them(self, editor: Client, job: Job) -> None:
        Job.objects.update(concurrency=SETTING, concurrency_limit=2, priority=5)
        other = {name: value for name, value in FORM.items() if not name.startswith(("concurrency", "priority"))}
        assert editor.post(f"/jobs/{job.slug}/edit/", other).status_code == 302
        job.refresh_from_db()
        assert (job.concurrency, job.concurrency_limit, job.priority) == (SETTING, 2, 5)

    @pytest.mark.parametrize(
        ("field", "value", "problem"),
        [
            ("concurrency_limit", "many", "Must be a whole number."),
            ("concurrency_limit", "0", "1 run or more; this is 0."),
            ("concurrency_limit", "9" * 5000, "Must be a whole number."),
            ("concurrency_limit", "", "Enter a limit, or remove the key."),
            ("concurrency_key", "customer.", "This is not a JMESPath expression"),
            ("concurrency_key", "a" * 301, "301 characters; at most 300 are allowed."),
            ("concurrency_key", "a\0b", "NUL"),
            ("concurrency_when_full", "later", "Must be one of queue, skip, cancel_oldest."),
            ("priority", "6", "Choose one of the priorities, 1 to 5."),
        ],
    )
    def test_an_error_stands_at_its_field(self, editor: Client, job: Job, field: str, value: str, problem: str) -> None:
        answer = editor.post(f"/jobs/{job.slug}/edit/", FORM | {field: value})
        assert answer.status_code == 422
        page = answer.content.decode()
        at = page.index(f'id="{field}-error"')
        assert problem in page[at : at + 600]
        assert f'href="#id_{field}"' in page
        if field != "priority":
            assert '<details class="more" open><summary>Concurrency' in page
        job.refresh_from_db()
        assert (job.concurrency, job.priority) == (None, 3)

    def test_a_conflict_names_the_fields(self, editor: Client, job: Job) -> None:
        assert editor.post(f"/jobs/{job.slug}/edit/", FORM | {"revision": "1"}).status_code == 302
        mine = FORM | {"revision": "1", "concurrency_limit": "5", "priority": "1"}
        answer = editor.post(f"/jobs/{job.slug}/edit/", mine)
        assert answer.status_code == 409
        page = answer.content.decode()
        assert "Priority" in page[page.index("Different:") :][:200]
        assert "Runs at once" in page[page.index("Different:") :][:200]
        assert "While the limit is reached" not in page[page.index("Different:") :][:200]


class TestKey:
    @pytest.fixture
    def say(self, editor: Client) -> Callable[..., str]:
        def post(expression: str, text: str = "", job: str = "") -> str:
            fields = {"concurrency_key": expression, "input_text": text, "job": job}
            answer = editor.post("/job-key/", fields)
            assert answer.status_code == 200
            return answer.content.decode()

        return post

    def test_of_the_input_in_the_form(self, say: Callable[..., str]) -> None:
        assert say("").strip() == ""
        key = 'For the input of this form the key is <span class="mono wrap-any">{}</span>.'
        assert key.format("eu") in say("region", '{"region": "eu"}')
        assert key.format("[1,2]") in say("ids", '{"ids": [1, 2]}')
        assert "All runs without a value share one key." in say("region", "")
        assert "&lt;b&gt;" in say("region", '{"region": "<b>"}')
        assert "The input of this form is not valid JSON." in say("region", "{")
        assert "It can&#x27;t be computed from the input of this form:" in say("length(n)", '{"n": 1}')
        assert "This is not a JMESPath expression" in say("region.", "{}")
        assert "control character" in say("a\0b", "{}")

    def test_of_the_input_of_the_last_run(self, say: Callable[..., str], job: Job, people: dict[str, User]) -> None:
        assert "last run" not in say("region", '{"region": "eu"}', job.slug)
        run = launch(job, people["operator"], Overrides(input={"region": "us"}))
        text = say("region", '{"region": "eu"}', job.slug)
        assert (
            f'For the input of the last run, #{run.number}, the key is <span class="mono wrap-any">us</span>.' in text
        )
        assert "last run" not in say("region", '{"region": "us"}', job.slug)

    def test_the_editor_shows_it_at_once(self, editor: Client, job: Job) -> None:
        Job.objects.update(concurrency=SETTING, concurrency_limit=2, input={"customer": {"id": 7}})
        assert '<span class="mono wrap-any">7</span>' in editor.get(f"/jobs/{job.slug}/edit/").content.decode()

    def test_only_for_editors_of_the_job(self, client: Client, people: dict[str, User], job: Job) -> None:
        client.force_login(people["operator"])
        assert client.post("/job-key/", {"job": job.slug}).status_code == 403
        client.force_login(people["editor"])
        assert client.post("/job-key/", {"job": "none"}).status_code == 404


class TestRunWith:
    def test_a_priority(self, client: Client, people: dict[str, User], job: Job) -> None:
        client.force_login(people["operator"])
        page = client.get(f"/runs/launch/{job.slug}/form/").content.decode()
        assert "The job's priority: 3 (normal)" in page or "The job&#x27;s priority: 3 (normal)" in page
        dialog = page[page.index('id="with-priority"') :].split("</select>")[0]
        assert '<option value="3">' in dialog
        assert '<option value="4">' not in dialog, "a higher one needs the role Editor"
        url = f"/runs/launch/{job.slug}/"
        assert client.post(url, {"with": "yes", "priority": "1"}).status_code == 302
        run = Run.objects.get()
        assert run.priority == 1
        page = client.get(f"/runs/{run.pk}/").content.decode()
        assert '<dt>Priority</dt><dd class="num">1 (lowest)</dd>' in page
        refused = client.post(url, {"with": "yes", "priority": "5"})
        assert refused.status_code == 422
        assert "needs the role Editor" in refused.content.decode()
        assert Run.objects.count() == 1
        client.force_login(people["editor"])
        assert client.post(url, {"with": "yes", "priority": "5"}).status_code == 302
        assert Run.objects.filter(priority=5).exists()

    @pytest.mark.parametrize(("value", "problem"), [("6", "5 levels at most"), ("high", "Must be a whole number")])
    def test_a_wrong_one_is_refused(
        self, client: Client, people: dict[str, User], job: Job, value: str, problem: str
    ) -> None:
        client.force_login(people["editor"])
        answer = client.post(f"/runs/launch/{job.slug}/", {"with": "yes", "priority": value})
        assert answer.status_code == 422
        page = answer.content.decode()
        assert problem in page[page.index('id="with-priority-error"') :][:300]

    def test_the_key_of_a_run(self, editor: Client, people: dict[str, User], job: Job) -> None:
        job.concurrency = normalize_concurrency({"limit": 1, "key": "region"})
        job.save()
        run = launch(job, people["editor"], Overrides(input={"region": "eu"}))
        page = editor.get(f"/runs/{run.pk}/").content.decode()
        assert '<dt>Concurrency key</dt><dd class="mono wrap-any">eu</dd>' in page
