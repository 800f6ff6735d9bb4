"""Tests of images before they are chosen: their rows, the host that makes them, and the page."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from ipaddress import ip_network
from typing import Any

import pytest
from django.db import connections
from django.test import Client

from cronium_admin.accounts.models import User
from cronium_admin.core.database.clock import database_now
from cronium_admin.images import image_tests, inventory
from cronium_admin.images.image_tests import describe_test, request_test, store_test, take_test
from cronium_admin.images.models import ImageTest
from cronium_admin.registries.models import Registry
from cronium_admin.workers.database_threads import DatabaseThreads
from cronium_admin.workers.images import image_tester
from cronium_admin.workers.images.image_tester import ImageTester
from cronium_admin.workers.images.puller import ImagePuller
from executor.checks.smoke import SmokeCheck, SmokeResult
from executor.docker.errors import EngineError
from executor.sandbox.subnets import SubnetPool
from tests.fakes.engine import FakeEngine

IMAGE = "corp/bash:1"


def report(host: str, *references: str) -> None:
    images = [inventory.ReportedImage(f"sha256:{index:064}", (name,), 1) for index, name in enumerate(references)]
    inventory.store_report(host, images)


def reload(test: ImageTest) -> ImageTest:
    return ImageTest.objects.get(pk=test.pk)


@pytest.mark.django_db
class TestRows:
    def test_one_host_makes_a_test(self) -> None:
        test = request_test("bash", IMAGE)
        assert request_test("bash", IMAGE) == test
        assert describe_test(reload(test)).state == "requested"
        taken = take_test("east")
        assert taken == test
        assert take_test("west") is None
        assert describe_test(reload(test)).state == "running"
        store_test(taken, [{"name": "start", "passed": True, "found": ""}], "")
        assert describe_test(reload(test)).state == "passed"
        assert request_test("bash", IMAGE) != test

    def test_a_host_with_the_image_comes_first(self) -> None:
        report("east", "other:1")
        report("west", IMAGE)
        request_test("bash", IMAGE)
        assert take_test("east") is None
        assert take_test("west") is not None

    @pytest.mark.parametrize(
        ("checks", "state"),
        [
            ([], "failed"),
            ([("start", False)], "failed"),
            ([("start", True), ("helper", False)], "failed"),
            ([("start", True), ("setuid", False)], "passed"),
        ],
    )
    def test_setuid_files_are_a_note(self, checks: list[tuple[str, bool]], state: str) -> None:
        test = request_test("bash", IMAGE)
        taken = take_test("east")
        assert taken is not None
        store_test(taken, [{"name": name, "passed": passed, "found": ""} for name, passed in checks], "says why")
        assert describe_test(reload(test)).state == state

    def test_a_test_that_no_host_makes_ends(self) -> None:
        test = request_test("bash", IMAGE)
        ImageTest.objects.update(requested_at=database_now() - image_tests.TAKE_TIME - timedelta(seconds=1))
        assert describe_test(reload(test)).state == "no_host"
        assert take_test("east") is None
        ImageTest.objects.update(requested_at=database_now() - image_tests.KEEP_TIME - timedelta(seconds=1))
        request_test("bash", IMAGE)
        assert ImageTest.objects.count() == 1


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
class TestHost:
    @pytest.fixture
    def tester(self, transactional_db: None) -> Iterator[ImageTester]:
        database, engine, cleared = DatabaseThreads(1), FakeEngine(), threading.Event()
        cleared.set()
        puller = ImagePuller("east", engine, database)
        subnets = SubnetPool(ip_network("10.213.0.0/16"))
        yield ImageTester("east", engine, subnets, database, puller, cleared, threading.Event())
        database._pool.submit(connections.close_all).result()
        database.close()
        engine.close()

    def run(self, tester: ImageTester) -> ImageTest:
        request_test("bash", IMAGE)
        tester.make_requested_test()
        return ImageTest.objects.get()

    def test_its_result_is_stored(self, tester: ImageTester, monkeypatch: pytest.MonkeyPatch) -> None:
        tested: list[Any] = []

        def run_smoke_test(engine: Any, image: str, language: str, *rest: Any) -> SmokeResult:
            tested.append((image, language))
            return SmokeResult((SmokeCheck("start", False, "no bash"),), "bash does not start in the image.")

        monkeypatch.setattr(image_tester, "run_smoke_test", run_smoke_test)
        monkeypatch.setattr(tester, "_provide", lambda reference: None)
        test = self.run(tester)
        assert tested == [(IMAGE, "bash")]
        assert test.checks == [{"name": "start", "passed": False, "found": "no bash"}]
        assert (describe_test(test).state, describe_test(test).message) == (
            "failed",
            "bash does not start in the image.",
        )

    def test_an_image_that_may_not_be_pulled_says_so(self, tester: ImageTester) -> None:
        Registry.objects.all().delete()
        assert "no registry may be asked for it" in self.run(tester).message

    def test_an_engine_error_is_told(self, tester: ImageTester, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: Any) -> None:
            raise EngineError("The engine does not answer.")

        monkeypatch.setattr(tester, "_provide", fail)
        assert self.run(tester).message == "The engine does not answer."


@pytest.mark.django_db
def test_the_page_tests_before_it_saves(people: dict[str, User]) -> None:
    client = Client()
    client.force_login(people["admin"])
    page = client.post("/images/bash/override/", {"reference": IMAGE, "confirmed": "test"}).content.decode()
    assert "Testing …" in page
    assert "Use this image" in page or "Use it anyway" in page
    url = f"/images/tests/{ImageTest.objects.get().pk}/"
    assert f'hx-get="{url}?v=requested"' in page
    assert client.get(f"{url}?v=requested").status_code == 204
    taken = take_test("east")
    assert taken is not None
    assert "Testing on east …" in client.get(f"{url}?v=requested").content.decode()
    checks = [{"name": "start", "passed": True, "found": ""}, {"name": "helper", "passed": False, "found": "<b>"}]
    store_test(taken, checks, "The image failed.")
    shown = client.get(f"{url}?v=running").content.decode()
    for words in ("The test failed on east", "The image failed.", "starts Bash", "loads the helper cronium: no"):
        assert words in shown
    assert "<b>" not in shown
    assert "hx-get" not in shown
