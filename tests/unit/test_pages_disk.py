"""The tab Disk: how full the disks are, and why each pulled image stays or goes."""

from typing import Any

import pytest
from django.test import Client

from cronium_admin.accounts.models import User
from cronium_admin.images.disk import store_disk
from cronium_admin.images.models import HostDisk

GB = 10**9
STAYS = {"reference": "ghcr.io/acme/tools:9", "size": GB, "why": "a job names it", "removable": False}
GOES = {"reference": "ghcr.io/acme/old:1", "size": 2 * GB, "why": "nothing needs it", "removable": True}


@pytest.fixture
def client(people: dict[str, User]) -> Client:
    client = Client()
    client.force_login(people["viewer"])
    return client


def test_without_a_measurement(client: Client) -> None:
    assert "No host has measured its disk yet" in client.get("/images/disk/").content.decode()


def test_disks_and_why_images_stay_or_go(client: Client) -> None:
    store_disk("east", 100 * GB, 62 * GB, [STAYS, GOES], [{**GOES, "reference": "ghcr.io/acme/older:1"}])
    store_disk("west", 100 * GB, 91 * GB, [], note="Every other pulled image is needed.")
    store_disk("far", None, None, [])
    page = client.get("/images/disk/").content.decode()
    for shown in (
        "62 % of",
        "a job names it",
        "may go",
        "stays",
        "older:1",
        "can be removed",
        "nothing can be removed",
    ):
        assert shown in page
    assert 'class="bar amber"><i class="w-p91"' in page
    assert 'class="bar"><i class="w-p62"' in page
    assert "Every other pulled image is needed." in page
    assert "can&#x27;t be measured" in page or "can't be measured" in page


@pytest.mark.parametrize("at", [None, 7, "soon", "2026-01-01T00:00:00+00:00"])
def test_odd_rows_are_shown(client: Client, at: Any) -> None:
    HostDisk.objects.create(host="odd", measured_at="2026-01-01T00:00:00Z", removed=[{"at": at}], verdicts=[{}])
    assert client.get("/images/disk/").status_code == 200


def test_without_clean_up(client: Client, settings: Any) -> None:
    settings.CONFIG = settings.CONFIG.model_copy(update={"image_disk_high": 0})
    assert "CRONIUM_IMAGE_DISK_HIGH is 0" in client.get("/images/disk/").content.decode()
