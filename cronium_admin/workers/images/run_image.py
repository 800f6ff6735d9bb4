"""The image of one run: provides it before the sandbox is built, and notices a name that points to another image."""

from collections.abc import Callable

from django.db.models import QuerySet

from cronium_admin.core.database.compiled import CompiledQuery
from cronium_admin.jobs.models import Job
from cronium_admin.runs import state_machine
from cronium_admin.runs.models import Run
from cronium_admin.workers.database_threads import DatabaseThreads
from cronium_admin.workers.images.puller import ImagePuller, Waiter, choose_digest
from executor.spec import RunSpec

PULL = "image_pull"  # kind of the event whose message shows the progress
MOVED = "image_moved"
REMOVED = "image_removed"
REMOVED_MESSAGE = "The image was removed from the host before the run's container was created; pulling it again"


def _select_earlier_image(job: int, number: int, image: str) -> "QuerySet[Run, tuple[int, str, str]]":
    earlier = Run.objects.filter(job=job, number__lt=number, image=image).exclude(image_digest="")
    return earlier.order_by("-created_at", "-id").values_list("number", "image_digest", "image_resolved")[:1]


_FIND_EARLIER_IMAGE = CompiledQuery(
    _select_earlier_image,
    job=Job._meta.pk,
    number=Run._meta.get_field("number"),
    image=Run._meta.get_field("image"),
)


def _find_earlier_image(job: int, number: int, image: str) -> tuple[int, str, str] | None:
    """Number, `image_digest` and `image_resolved` of the job's last run with this image name that began."""
    rows = _FIND_EARLIER_IMAGE.fetch(job=job, number=number, image=image)
    return rows[0] if rows else None


class RunImage:
    """For `DatabaseRunHandler`."""

    def __init__(self, run: Run, puller: ImagePuller, database: DatabaseThreads) -> None:
        self._run_id, self._job_id, self._number = run.pk, run.job_id, run.number
        self._reference, self._policy = run.image, run.pull_policy
        self._is_rerun, self._resolved = bool(run.image_digest), run.image_resolved
        self._puller, self._database = puller, database

    def provide(
        self, spec: RunSpec, is_wanted: Callable[[], bool], *, is_prepared: bool = False, is_again: bool = False
    ) -> bool:
        """As `RunHandler.provide_image`. Returns whether the run waited for a pull."""
        waiter = Waiter(is_wanted, self._report_again if is_again else self._report, self._show)
        return self._puller.provide(spec, self._policy, waiter, is_prepared=is_prepared)

    def describe_start(self, image_id: str, digests: tuple[str, ...]) -> tuple[str, str]:
        """The run's `image_resolved`, and the message of the event `image_moved`; empty if nothing moved.

        Needs the database.
        """
        resolved = choose_digest(self._reference, digests) or self._resolved
        if self._is_rerun or "@" in self._reference or self._job_id is None:
            return resolved, ""
        earlier = _find_earlier_image(self._job_id, self._number, self._reference)
        if earlier is None:
            return resolved, ""
        number, was_id, was_resolved = earlier
        # Two image stores name one image differently; the registry's digest is the same in both.
        before, now = (was_resolved, resolved) if was_resolved and resolved else (was_id, image_id)
        if before == now:
            return resolved, ""
        names = f"{_shorten(now)} now, {_shorten(before)} in run #{number}"
        return resolved, f"{self._reference} is another image than in the job's last run with it: {names}"

    def note_use(self) -> None:
        self._puller.note_use(self._reference)

    def _report(self, kind: str, text: str) -> None:
        self._database.call(state_machine.record_note, self._run_id, kind, text)

    def _report_again(self, kind: str, text: str) -> None:
        if kind == PULL:
            self._report(REMOVED, REMOVED_MESSAGE)
        self._report(kind, text)

    def _show(self, text: str) -> None:
        self._database.call(state_machine.replace_note, self._run_id, PULL, text)


def _shorten(digest: str) -> str:
    return digest.rpartition("@")[2][:19]  # sha256: and twelve digits
