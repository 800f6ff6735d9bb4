"""Two processes with one host name: a leader and a standby, which becomes the leader when the first is killed."""

import signal
import time

from tests.engine.hosts.conftest import Pair
from tests.engine.scaled import Scaled


def test_the_second_process_takes_over_when_the_lease_of_a_dead_one_is_over(cluster: Scaled, pair: Pair) -> None:
    """It has another data folder, so only the lease shows that the first process is dead."""
    cluster.until(lambda: "adopted" in cluster.kinds(pair.run_id), 120)
    adopted = pair.adopted_after(pair.killed_at)
    noticed = pair.noticed_after(pair.killed_at)
    print(f"another data folder: noticed after {noticed:.1f} s, adopted after {adopted:.1f} s")
    assert 5 < noticed < 60  # twenty seconds, less the two since it was renewed
    assert 5 < adopted < 90
    assert cluster.kinds(pair.run_id) == ["queued", "claimed", "started", "adopted"]


def test_the_third_takes_over_at_once_where_a_lock_tells_of_the_death(cluster: Scaled, pair: Pair) -> None:
    """It shares the data folder with the second process, and so the lock file."""
    cluster.until(lambda: "adopted" in cluster.kinds(pair.run_id), 120)
    time.sleep(1)  # the new process is idle, and is not the one that was just seen to start
    acting = pair.acting()
    began = cluster.now()
    cluster.stop_worker(acting, signal.SIGKILL)
    cluster.until(lambda: cluster.kinds(pair.run_id).count("adopted") == 2, 45)
    adopted = pair.adopted_after(began)
    print(f"the same data folder: adopted after {adopted:.1f} s")
    assert 0 < adopted < 10  # half a second and a little, and not the lease
    cluster.let_go(pair.run_id)
    cluster.check_once(pair.run_id, adopted=2)
    assert cluster.stop_worker(pair.acting()) == 0
