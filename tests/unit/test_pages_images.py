"""The tab Images: the images in use, where they are, why runs with them fail, and the acts that mend it."""

import re
from typing import Any

import pytest
from django.test import Client

from cronium_admin.accounts.models import User
from cronium_admin.image_builds.launch import start_build
from cronium_admin.image_pages.host_summary import summarize_hosts
from cronium_admin.image_pages.image_row import ImageRow
from cronium_admin.image_pages.keeping import collect_verdicts, describe_differences, summarize_keeping
from cronium_admin.image_pages.rows import build_rows
from cronium_admin.images import disk, inventory, pulls
from cronium_admin.images.inventory import HostPresence, Presence
from cronium_admin.images.models import HostDisk, ImageOverride, ImageVersion, OwnImage, PulledImage, PullState
from cronium_admin.registries.models import ImagePolicy
from cronium_admin.registries.service import add_registry
from tests.custom_images import make_ready_image
from tests.users import get_admin

TOOLS = "ghcr.io/acme/tools:9"


@pytest.fixture
def client(people: dict[str, User]) -> Client:
    client = Client()
    client.force_login(people["admin"])
    return client


def report(host: str, *references: str) -> None:
    images = [inventory.ReportedImage(f"sha256:{index:064}", (name,), 10**8) for index, name in enumerate(references)]
    inventory.store_report(host, images)


def find_row(shown: str) -> ImageRow:
    return next(row for row in build_rows(get_admin()) if row.shown == shown)


def presence(**hosts: bool | None) -> Presence:
    return Presence("x", [HostPresence(name, None, value) for name, value in hosts.items()])  # type: ignore[arg-type]


def pull(host: str, state: str, done: int = 0, total: int = 0) -> PulledImage:
    return PulledImage(host=host, reference="x", state=state, done_bytes=done, total_bytes=total, message="refused")


@pytest.mark.parametrize(
    ("hosts", "pulling", "words", "state"),
    [
        ({}, [], "not known", "unknown"),
        ({"a": True}, [], "on this host", "everywhere"),
        ({"a": True, "b": True, "c": True}, [], "all 3 hosts", "everywhere"),
        ({"a": True, "b": None}, [], "not known for all", "unknown"),
        ({"a": False}, [], "not on this host", "missing"),
        ({"a": False, "b": False}, [], "none of 2 hosts", "missing"),
        ({"a": True, "b": False, "c": False}, [], "1 of 3, not on b, c", "missing"),
        ({"a": True, "b": False, "c": False, "d": False}, [], "1 of 4, not on 3 hosts", "missing"),
        ({"a": True, "b": False}, [pull("b", "pulling", 64, 100)], "1 of 2, b at 64 %", "pulling"),
        ({"a": False}, [pull("a", "pulling")], "a pulls it", "pulling"),
        (
            {"a": False, "b": False},
            [pull("a", "pulling"), pull("b", "requested")],
            "0 of 2, 2 hosts pull it",
            "pulling",
        ),
        ({"a": True, "b": False}, [pull("b", "failed")], "1 of 2, not on b", "broken"),
        ({"a": True}, [pull("gone", "pulling")], "on this host", "everywhere"),
    ],
)
def test_hosts_are_summed_up(hosts: dict[str, Any], pulling: list[PulledImage], words: str, state: str) -> None:
    summary = summarize_hosts(presence(**hosts), pulling, is_pulled=True)
    assert (summary.words, summary.state) == (words, state)


def test_without_a_pull_a_missing_image_breaks_runs() -> None:
    assert summarize_hosts(presence(a=False), [], is_pulled=False).state == "broken"
    title = summarize_hosts(presence(a=False, b=True), [pull("a", "failed")], is_pulled=True).title
    assert title == "a: does not have it (the last pull failed: refused)\nb: has it"


def at(host: str, image_id: str) -> HostPresence:
    return HostPresence(host, None, True, f"sha256:{image_id * 64}")  # type: ignore[arg-type]


def pulled(host: str, digest: str) -> PulledImage:
    return PulledImage(host=host, reference="x", state="present", digest=f"reg.example/x@sha256:{digest * 64}")


@pytest.mark.parametrize(
    ("present", "pulls", "says"),
    [
        ([at("a", "1")], [], ""),
        ([at("a", "1"), at("b", "1")], [], ""),
        ([at("a", "1"), at("b", "2"), at("c", "1")], [], "1 of 3 hosts has another build: b 222222222222"),
        (
            [at(name, str(index)) for index, name in enumerate("abcd")],
            [],
            "3 of 4 hosts have another build: b 111111111111, c 222222222222 and 1 more",
        ),
        # Two image stores name one image differently.
        ([at("a", "1"), at("b", "2")], [pulled("a", "9"), pulled("b", "9")], ""),
        ([at("a", "1"), at("b", "2"), at("c", "2")], [pulled("a", "9"), pulled("b", "9")], ""),
        (
            [at("a", "1"), at("b", "2")],
            [pulled("a", "9"), pulled("b", "8")],
            "1 of 2 hosts has another build: b 222222222222",
        ),
    ],
)
def test_hosts_with_another_build(present: list[HostPresence], pulls: list[PulledImage], says: str) -> None:
    assert describe_differences(present, pulls) == says


def decide(host: str, why: str, *, removable: bool = False) -> HostDisk:
    return HostDisk(host=host, verdicts=[{"reference": "x", "why": why, "removable": removable, "size": 1}])


@pytest.mark.parametrize(
    ("disks", "words", "may_go"),
    [
        ([], "", False),
        ([decide("gone", "because")], "", False),
        ([decide("a", "the job x uses it")], "stays: the job x uses it", False),
        ([decide("a", "old", removable=True), decide("b", "needed")], "on a it may go: old", True),
        ([decide("a", "old", removable=True), decide("b", "old", removable=True)], "may go: old", True),
    ],
)
def test_why_it_stays_or_goes(disks: list[HostDisk], words: str, may_go: bool) -> None:
    keeping = summarize_keeping("x", [at("a", "1"), at("b", "1")], collect_verdicts(disks))
    assert (keeping.words, keeping.may_go) == (words, may_go)


@pytest.mark.django_db
class TestRows:
    def test_the_page_says_what_the_tab_disk_says(self, client: Client, make_job: Any) -> None:
        make_job(image=TOOLS)
        add_registry({"address": "ghcr.io"}, get_admin())
        report("east", TOOLS)
        assert find_row(TOOLS).keeping.words == "stays: Cronium did not pull it"
        pulls.store_present("east", TOOLS, f"ghcr.io/acme/tools@sha256:{'1' * 64}", f"sha256:{0:064}")
        assert find_row(TOOLS).keeping.words == ""
        verdict = {"reference": TOOLS, "size": 1, "why": "the job <x> uses it", "removable": False}
        disk.store_disk("east", 10, 1, [verdict])
        page = client.get("/images/").content.decode()
        assert "stays: the job &lt;x&gt; uses it" in page
        assert f'aria-label="Pull a newer {TOOLS}"' in page
        inventory.store_report("west", [inventory.ReportedImage(f"sha256:{'2' * 64}", (TOOLS,), 1)])
        difference = "1 of 2 hosts has another build: west 222222222222. A pull evens them out."
        assert difference in client.get("/images/").content.decode()

    def test_own_images_are_not_pulled(self, client: Client) -> None:
        report("east", "cronium/runner:bash-alpine")
        inventory.store_report("west", [inventory.ReportedImage("sha256:2", ("cronium/runner:bash-alpine",), 1)])
        row = find_row("cronium/runner:bash-alpine")
        assert (row.keeping.words, row.can_pull_newer) == ("never removed: the image of Bash jobs", False)
        assert row.difference.endswith("Build it once, and copy it with images push and images pull.")

    def test_a_custom_image_can_be_rebuilt_and_others_not(self, client: Client, make_job: Any) -> None:
        image = make_ready_image("finance-py")
        make_job(image=TOOLS)
        page = client.get("/images/").content.decode()
        assert re.findall(r'aria-label="(Rebuild [^"]+)"', page) == ["Rebuild cronium/custom/finance-py"]
        assert f'href="/images/builds/{image.pk}/"' in page
        start_build(image, get_admin())
        assert "Rebuild cronium" not in client.get("/images/").content.decode()

    def test_a_custom_image_in_a_registry_breaks_no_run(self) -> None:
        make_ready_image("finance-py")
        report("east", "other:1")
        row = find_row("cronium/custom/finance-py")
        expected = "On no host: runs with it fail, because no registry has it. Choose one for this image, and build it"
        assert row.problem == f"{expected} again."
        exact = f"ghcr.io/acme/finance-py@sha256:{'1' * 64}"
        ImageVersion.objects.update(pushed_digests={"ghcr.io/acme": exact})
        add_registry({"address": "ghcr.io/acme"}, get_admin())
        row = find_row("cronium/custom/finance-py")
        assert (row.problem, row.hosts.state, row.can_pull) == ("", "missing", False)

    def test_jobs_are_counted_and_linked(self, client: Client, make_job: Any) -> None:
        make_job(), make_job(image="cronium/runner:bash-alpine"), make_job(image=TOOLS), make_job(image=TOOLS)
        assert [(row.label, row.job_count) for row in build_rows(get_admin()) if row.job_count] == [
            *[("Bash", 2)],
            ("tools", 2),
        ]
        page = client.get("/images/").content.decode()
        assert "/jobs/?q=image%3Aghcr.io/acme/tools%3A9" in page
        listed = client.get("/jobs/", {"q": f"image:{TOOLS}"}).content.decode()
        assert "2 of 4 jobs" in listed
        assert "1 of 4 jobs" in client.get("/jobs/", {"q": "image:default language:bash"}).content.decode()

    def test_an_override_says_who_set_it(self) -> None:
        ImageOverride.objects.create(language="node", reference="corp/node:1", updated_by=get_admin())
        assert find_row("corp/node:1").why == "set here by admin"

    def test_a_custom_image_shows_its_newest_ready_version(self, make_job: Any) -> None:
        image = make_ready_image("finance-py", (1, 2), recipe={"base": "python", "python": ["pandas"]})
        make_job(image="cronium/custom/finance-py:1"), make_job(image="cronium/custom/finance-py")
        row = find_row("cronium/custom/finance-py")
        assert (row.why, row.job_count) == ("version 2 · python + pandas", 2)
        assert row.reference == f"cronium/custom/{image.project_id}/finance-py:2"
        image.versions.all().delete()
        assert "No version is ready" in find_row("cronium/custom/finance-py").problem

    def test_a_failed_pull_is_told_in_the_row(self, make_job: Any) -> None:
        make_job(image=TOOLS)
        report("east", "other:1")
        add_registry({"address": "ghcr.io"}, get_admin())
        row = find_row(TOOLS)
        assert (row.problem, row.can_pull, row.hosts.state) == ("", True, "missing")
        text = f"{TOOLS} could not be pulled: the registry refused the credentials. The engine said: 401."
        pulls.store_failure("east", TOOLS, "image_pull_unauthorized", text)
        row = find_row(TOOLS)
        assert row.problem == "The pull on east failed: the registry refused the credentials."
        assert row.whole_problem == f"east: {text}"
        report("east", TOOLS)
        assert find_row(TOOLS).problem == ""

    @pytest.mark.parametrize(
        ("registry", "says"),
        [
            (None, "because ghcr.io is not among the registries."),
            ({"may_pull": False}, "because hosts may not pull from ghcr.io."),
            ({"policy": "never"}, "because its pull policy is never."),
        ],
    )
    def test_why_nobody_pulls_it(self, registry: Any, says: str, make_job: Any) -> None:
        make_job(image=TOOLS)
        report("east", "other:1")
        if registry:
            add_registry({"address": "ghcr.io", **registry}, get_admin())
        row = find_row(TOOLS)
        assert row.problem == f"On no host: runs with it fail, {says}"
        assert not row.can_pull

    def test_the_number_of_queries_does_not_grow(
        self, client: Client, make_job: Any, django_assert_max_num_queries: Any
    ):
        for number in range(10):
            add_registry({"address": f"r{number}.example"}, get_admin())
            make_job(image=f"r{number}.example/x:1")
            make_ready_image(f"own-{number}")
        with django_assert_max_num_queries(40):
            client.get("/images/")


@pytest.mark.django_db
class TestActs:
    @pytest.fixture(autouse=True)
    def rows(self, make_job: Any) -> None:
        make_job(image=TOOLS)
        report("east", "other:1")
        add_registry({"address": "ghcr.io"}, get_admin())

    def test_pull_asks_the_hosts(self, client: Client) -> None:
        assert f'aria-label="Pull {TOOLS}"' in client.get("/images/").content.decode()
        page = client.post("/images/pull/", {"reference": TOOLS}, follow=True).content.decode()
        assert f"east pulls {TOOLS}." in page
        assert PulledImage.objects.get().state == PullState.REQUESTED
        assert "<span>east begins to pull it</span>" in page
        url = page.partition('hx-get="/images/presence/')[2].partition('"')[0]
        assert client.get(f"/images/presence/{url}").status_code == 204
        pulls.start_pull("east", TOOLS)
        pulls.store_progress("east", TOOLS, 64, 100, 0, 1)
        assert "<span>east at 64 %</span>" in client.get(f"/images/presence/{url}").content.decode()

    def test_a_wrong_name_is_refused(self, client: Client) -> None:
        assert (
            "Not an image name"
            in client.post("/images/pull/", {"reference": "two words"}, follow=True).content.decode()
        )
        assert not PulledImage.objects.exists()

    def test_the_pull_policy_is_set_and_removed(self, client: Client) -> None:
        form = {"image": TOOLS, "policy": "never", "version": "0"}
        page = client.post("/images/policy/", form, follow=True).content.decode()
        assert "The pull policy of ghcr.io/acme/tools is saved." in page
        assert ">never pulled<" in page
        assert client.post("/images/policy/", form).status_code == 409
        client.post("/images/policy/", {"image": TOOLS, "policy": "registry", "version": "1"})
        assert not ImagePolicy.objects.exists()
        odd = client.post("/images/policy/", {"image": TOOLS, "policy": "always"})
        assert odd.status_code == 422
        assert "Choose one of missing, newer, never." in odd.content.decode()

    def test_viewers_see_no_act(self, people: dict[str, User]) -> None:
        viewer = Client()
        viewer.force_login(people["viewer"])
        page = viewer.get("/images/").content.decode()
        assert "pulled if missing" in page
        for hidden in ("<dialog", "/images/pull/", "Edit…"):
            assert hidden not in page[page.index("<main") : page.index("</main>")]


@pytest.mark.django_db
def test_updates_are_shown_once_they_are_known(client: Client) -> None:
    assert "Updates since" not in client.get("/images/").content.decode()
    updates = [{"name": "libssl3", "installed": "1", "candidate": "2", "is_security": True}]
    updates.append({"name": "jq", "installed": "1.7", "candidate": "1.8", "is_security": False})
    own = {"reference": "cronium/runner:bash-alpine", "image_id": "sha256:1", "size": 1}
    image = OwnImage.objects.create(**own, updates=updates)
    page = client.get("/images/").content.decode()
    assert "<span>2 · 1 security</span>" in page
    assert "jq 1.7 -&gt; 1.8" in page
    OwnImage.objects.filter(pk=image.pk).update(updates=[])
    assert "<span>none</span>" in client.get("/images/").content.decode()
