"""`manage.py web`: the dashboard and API without an executor."""

from typing import Any

from django.core.management.base import BaseCommand

from cronium_admin.core import broker_wakeup  # noqa: F401 - loads Celery now, not in the first launch
from cronium_admin.expectations.judge import ExpectationJudge
from cronium_admin.logs.maintenance import LogMaintenance
from cronium_admin.logs.seal_orphans import OrphanSealer
from cronium_admin.retention.ends import apply_rules
from cronium_admin.schedules.ticker import ScheduleTicker
from cronium_admin.web import lifespan
from cronium_admin.web.management.commands.serve import run_server
from cronium_admin.workers import abandoned, preflight


class Command(BaseCommand):
    help = "The dashboard and API without an executor. Needs CRONIUM_DATABASE_URL and CRONIUM_REDIS_URL."

    def handle(self, *args: Any, **options: Any) -> None:
        preflight.refuse_single_process_parts()
        preflight.refuse_unusable_database()
        tasks = (abandoned.AbandonedRunSweeper(), OrphanSealer(), LogMaintenance(apply_rules))
        for task in (*tasks, ScheduleTicker(), ExpectationJudge()):
            lifespan.on_start.append(task.start)
            lifespan.on_stop.append(task.stop)
        run_server()
