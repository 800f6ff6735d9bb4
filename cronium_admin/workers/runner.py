"""One host's worker: connects dispatch, heartbeat, takeover, garbage collection and health checks, and runs their
threads."""

import logging
import threading
import time
from collections.abc import Callable
from functools import partial

from django.conf import settings

from cronium_admin.core.wakeup import SCRIPT_CHECKS
from cronium_admin.jobs.validation import DEFAULT_QUEUE
from cronium_admin.logs.seal_orphans import OrphanSealer
from cronium_admin.logs.store import LogWriter
from cronium_admin.workers.announcements import Announcements
from cronium_admin.workers.cancellation import stop_cancelled_runs
from cronium_admin.workers.context import HostContext
from cronium_admin.workers.database_threads import DatabaseThreads
from cronium_admin.workers.dispatch import Dispatcher
from cronium_admin.workers.gc.collector import GarbageCollector
from cronium_admin.workers.health import canary
from cronium_admin.workers.health.scheduler import HealthScheduler
from cronium_admin.workers.heartbeat import Heartbeat
from cronium_admin.workers.image_inventory import ImageReporter
from cronium_admin.workers.images.collector import ImageCollector
from cronium_admin.workers.images.image_tester import ImageTester
from cronium_admin.workers.images.puller import ImagePuller
from cronium_admin.workers.images.task import ImageTask
from cronium_admin.workers.images.update_search import UpdateSearch
from cronium_admin.workers.instance import get_instance_id
from cronium_admin.workers.leadership import Leadership
from cronium_admin.workers.own_engine import make_own_engine
from cronium_admin.workers.scheduling.capacity import Capacity
from cronium_admin.workers.script_checks import ScriptChecker
from cronium_admin.workers.shutdown import (
    HAND_OVER_SECONDS,
    LEAVE_SECONDS,
    STOP_SECONDS,
    compute_seconds_left,
    release_runs,
    run_steps_until,
)
from cronium_admin.workers.status import HostStatus
from cronium_admin.workers.takeover import Takeover
from cronium_admin.workers.warm.arrivals import Arrivals
from cronium_admin.workers.warm.maker import WarmMaker
from cronium_admin.workers.warm.pool import WarmPool
from cronium_admin.workers.warm.status import describe_pool
from executor.docker.protocol import EngineLike
from executor.run.supervisor import Supervisor
from executor.sandbox.subnets import SubnetPool

log = logging.getLogger("cronium.host")
HEARTBEAT_SECONDS = 2.0
STATUS_SECONDS = 3.0  # at the start, to learn the engine's resources
STANDBY_SECONDS = 0.5  # a dead leader is replaced this soon if its lock file shows that it is dead
WARM_SECONDS = 8.0  # at a stop, to remove the waiting sandboxes; at a hand-over they are left to the next process
SWEEP_SECONDS = 5.0  # the delay of a run whose wake-up message was lost


class Runner:
    """Call `start`, then `on_wakeup` for each message, and at the end `close` or `hand_over`."""

    def __init__(self, host: str, engine: EngineLike | None = None, queues: tuple[str, ...] = (DEFAULT_QUEUE,)) -> None:
        leadership, instance = Leadership(host), get_instance_id()
        slots = settings.CONFIG.max_concurrent
        engine = engine or make_own_engine(slots)
        wake, closing = threading.Event(), threading.Event()
        subnets = SubnetPool(settings.CONFIG.subnet_pool)
        database = DatabaseThreads()
        supervisor = Supervisor(engine, slots, subnets, wake.set)
        self.host = host
        self.context = context = HostContext(
            *(host, instance, engine, database, LogWriter(), leadership, supervisor, Capacity(queues), wake, closing),
            *(WarmPool(host, Arrivals()), ImagePuller(host, engine, database)),
        )
        self.maker = WarmMaker(context, subnets)
        self.status = HostStatus(engine, closing)
        self.takeover = Takeover(context)
        self.dispatcher = Dispatcher(context)
        self.heartbeat = Heartbeat(
            context, self.status, self.takeover.schedule_sweep, lambda: describe_pool(self.maker)
        )
        self._pause = SWEEP_SECONDS  # of the dispatch thread
        self.announcements = Announcements(context)
        self.gc = GarbageCollector(
            *(host, instance, engine, database, supervisor.list_active, self._is_leader, closing)
        )
        self.canary = canary.CanaryTask(*(engine, host, subnets, database, self._is_leader, self.gc.cleared, closing))
        tester = ImageTester(*(host, engine, subnets, database, context.puller, self.gc.cleared, closing))
        self.checker = ScriptChecker(context, subnets, self.gc.cleared, self._is_leader)
        self.tasks = [
            self.gc,
            HealthScheduler(host, database, self._is_leader, closing),
            OrphanSealer(closing),
            ImageReporter(host, engine, database, self._is_leader, closing),
            ImageCollector(*(host, instance, engine, database, context.puller, queues, self._is_leader, closing)),
            ImageTask(
                *(host, engine, database, context.puller, tester.make_requested_test, self.checker.start_requested),
                *(lambda: queues, self._is_leader, closing),
            ),
            UpdateSearch(database, self._is_leader, closing),
            *([self.canary] if settings.CONFIG.canary == "on" else ()),
            self.maker,
        ]
        self.dispatch_thread = threading.Thread(
            target=self._run_loop, args=(self.dispatch, self._wait_for_wakeup), name="dispatch", daemon=True
        )
        self.heartbeat_thread = threading.Thread(
            target=self._run_loop, args=(self.heartbeat.beat, self._wait_for_heartbeat), name="heartbeat", daemon=True
        )

    def start(self) -> None:
        self.status.start()
        self.status.is_known.wait(STATUS_SECONDS)  # the capacity must be known before runs are claimed
        self.heartbeat.acquire_leadership()
        self.heartbeat_thread.start()  # before anything that waits for the engine: the host's lease is short
        if self.context.is_leader:
            self.takeover.adopt_runs()
            self.gc.collect_at_start()
        self.context.is_unsafe = self.context.database.call(canary.is_unsafe, self.context.host)
        for thread in (self.dispatch_thread, self.announcements, *self.tasks):
            thread.start()

    def on_wakeup(self, run_id: str, *, is_for_all: bool = False) -> None:
        """`is_for_all`: all hosts of the queue got the message; see `Announcements`."""
        if run_id == SCRIPT_CHECKS:
            self.checker.start_requested()
        elif run_id in self.context.supervisor.list_active():
            stop_cancelled_runs(self.context)
        elif is_for_all:
            self.announcements.add(run_id)
        else:
            self.context.wake.set()

    def dispatch(self) -> None:
        # A new run does not wait for the periodic sweep. A new leader first adopts the runs that hold its slots.
        if not self.takeover.is_scheduled:
            self.dispatcher.claim_waiting()
        if self.takeover.sweep():
            self.dispatcher.claim_waiting()
        if not self.context.wake.is_set():
            self._pause = self.dispatcher.find_pause(SWEEP_SECONDS)

    def close(self, seconds: float = STOP_SECONDS) -> bool:
        """Claim no more runs and stop the active ones. False if that was not done in time.

        Runs that are active after `seconds`, or after `hand_over_now`, are handed over. Returns at most LEAVE_SECONDS
        later.
        """
        self._stop_loops()
        end = time.monotonic() + seconds
        is_done = self.context.supervisor.close(seconds)
        self.maker.join(min(WARM_SECONDS, compute_seconds_left(end)))
        now = time.monotonic()
        self._join_threads(now + LEAVE_SECONDS / 3)
        return self._release_leases(now + LEAVE_SECONDS) and is_done

    def hand_over_now(self) -> None:
        self.context.supervisor.release(0)

    def hand_over(self, seconds: float = HAND_OVER_SECONDS) -> bool:
        """Claim no more runs and release the active ones: their scripts continue, and the next process adopts them.

        Returns after at most `seconds`, even if the database or the engine hangs: then False, and the next process
        adopts the runs when their leases have expired.
        """
        end = time.monotonic() + seconds
        self._stop_loops()
        self.context.supervisor.release(0)  # the active runs at once; below, runs that were claimed a moment ago
        self._join_threads(end - 2 * seconds / 3)
        is_done = self.context.supervisor.release(compute_seconds_left(end - seconds / 3))
        return self._release_leases(end) and is_done

    def _is_leader(self) -> bool:
        return self.context.is_leader

    def _stop_loops(self) -> None:
        self.context.closing.set()
        self.context.wake.set()
        self.announcements.close()
        self.canary.cancel()
        self.context.puller.close()
        self.maker.stop()

    def _join_threads(self, end: float) -> None:
        for thread in (
            *(self.dispatch_thread, self.heartbeat_thread, self.announcements.thread),
            *(task.thread for task in self.tasks),
            *self.checker.threads,
        ):
            if thread.is_alive():
                thread.join(compute_seconds_left(end))

    def _release_leases(self, end: float) -> bool:
        context = self.context
        steps: list[Callable[[], object]] = [partial(context.database.call, release_runs, context.owner)]
        steps += [partial(context.database.call, context.leadership.release)] if context.is_leader else []
        is_done = run_steps_until(end, *steps, context.writer.close)
        context.database.close(compute_seconds_left(end))
        return is_done

    def _run_loop(self, step: Callable[[], None], wait: Callable[[], None]) -> None:
        while not self.context.closing.is_set():
            try:
                step()
            except Exception:
                log.exception("an error in the %s loop; it continues", threading.current_thread().name)
            wait()

    def _wait_for_wakeup(self) -> None:
        self.context.wake.wait(self._pause)
        self.context.wake.clear()
        self._pause = SWEEP_SECONDS

    def _wait_for_heartbeat(self) -> None:
        self.context.closing.wait(HEARTBEAT_SECONDS if self.context.is_leader else STANDBY_SECONDS)
