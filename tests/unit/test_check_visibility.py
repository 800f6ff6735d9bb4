"""The lint rule finds every way by which a module that answers requests could read all rows."""

from pathlib import Path

import pytest

from scripts import check_visibility


@pytest.mark.parametrize(
    "source",
    [
        "Job.objects.filter(slug=slug)",
        "Job.objects.all().visible_to(user)",
        "rows = Job.objects",
        "models.Job.objects.get(pk=1)",
        "Job._default_manager.all()",
        "Job._meta.default_manager.all()",
        "Job._meta.base_manager.all()",
        "getattr(Job, 'objects').all()",
        "ProjectQuerySet(Job).all()",
        "QuerySet(model=Job)",
        "connection.cursor().execute('SELECT * FROM jobs_job')",
        "get_object_or_404(Job, pk=pk)",
        "shortcuts.get_object_or_404(models.Job, pk=pk)",
        "get_list_or_404(klass=Job)",
        "get_object_or_404(Job.objects, pk=pk)",
        "get_object_or_404(Job.objects.only('pk'), pk=pk)",
        "apps.get_model('jobs', 'Job')",
        "async def view():\n    return await Run.objects.aget(pk=1)",
    ],
)
def test_finds_a_read_of_all_rows(source: str) -> None:
    assert list(check_visibility.find_problems(source))


@pytest.mark.parametrize(
    "source",
    [
        "Job.objects.visible_to(user).filter(slug=slug)",
        "rows = Run.objects.visible_to(request.user, Permission.EDIT)",
        "get_object_or_404(rows, pk=pk)",
        "get_object_or_404(Run.objects.visible_to(user), pk=pk)",
        "get_object_or_404(people.select_people(), pk=pk)",
    ],
)
def test_allows_visible_rows(source: str) -> None:
    assert not list(check_visibility.find_problems(source))


@pytest.mark.parametrize(
    "name",
    [
        *(
            "jobs/job_views.py",
            "runs/run_views.py",
            "accounts/people_views.py",
            "runs/api.py",
            "accounts/tokens_api.py",
            "web/frame.py",
        ),
        *("logs/live/consumers.py", "logs/live/http_stream.py", "logs/templatetags/lastlines.py", "jobs/forms.py"),
    ],
)
def test_covers_modules_that_answer_requests(name: str) -> None:
    assert check_visibility.answers_requests(Path("cronium_admin") / name)
    assert (check_visibility.ROOT / "cronium_admin" / name).exists()


def test_leaves_out_services() -> None:
    assert not check_visibility.answers_requests(Path("cronium_admin/jobs/service.py"))


def test_the_application_is_clean(capsys: pytest.CaptureFixture[str]) -> None:
    assert check_visibility.main() == 0, capsys.readouterr().err
