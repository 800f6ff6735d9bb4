"""The state that the parts of one host's worker share."""

import threading
from dataclasses import dataclass

from cronium_admin.logs.store import LogWriter
from cronium_admin.workers.database_threads import DatabaseThreads
from cronium_admin.workers.images.puller import ImagePuller
from cronium_admin.workers.leadership import Leadership
from cronium_admin.workers.scheduling.capacity import Capacity
from cronium_admin.workers.warm.pool import WarmPool
from executor.docker.protocol import EngineLike
from executor.run.supervisor import Supervisor


@dataclass
class HostContext:
    """`wake` is set when runs may wait for a claim, `closing` when the worker stops."""

    host: str
    instance: str
    engine: EngineLike
    database: DatabaseThreads
    writer: LogWriter
    leadership: Leadership
    supervisor: Supervisor
    capacity: Capacity
    wake: threading.Event
    closing: threading.Event
    pool: WarmPool
    puller: ImagePuller
    is_unsafe: bool = False  # the stored verdict of the isolation check
    is_draining: bool = False
    other_hosts: int = 0  # that are alive; counted by the heartbeat

    @property
    def owner(self) -> str:
        return self.leadership.owner

    @property
    def is_leader(self) -> bool:
        return self.leadership.is_leader
