"""kill -9 of a worker at each named point of a commit's way, while another worker of the view goes on."""

import signal
import subprocess

import psycopg2
import pytest
from fleet import FAILPOINT_WORKER as PROGRAM
from harness import wait_until

WORKERS = 1  # and the one that is killed
NAMES = subprocess.run([PROGRAM, "list"], check=True, capture_output=True, encoding="utf-8").stdout.split()
# A moment in the work, not in the start, where the point is passed often.
PASS = {"commit.before": 3, "commit.during": 3, "commit.after": 3, "answer.given": 3}


def killed_at(fleet, failpoint, delay_ms=0):
    """A worker that kills itself there."""
    return fleet.add(program=PROGRAM, env={"DAYBOOK_FAILPOINT": f"{failpoint}:{PASS.get(failpoint, 1)}",
                                           "DAYBOOK_FAILPOINT_DELAY_MS": str(delay_ms)})


@pytest.mark.parametrize("failpoint", NAMES)
def test_a_kill_at_a_failpoint_loses_and_repeats_nothing(failpoint, running):
    victim = killed_at(running.fleet, failpoint)
    assert victim.popen.wait(60) == -signal.SIGKILL
    assert f"failpoint {failpoint}: SIGKILL" in victim.output()
    running.check()  # the others go on with all partitions


def test_a_worker_killed_while_its_call_waits_in_the_database(daybook, database, view, load, make_fleet):
    """The server does not notice that the client is gone: the call happens later, when others go on already."""
    traffic = load()
    fleet = make_fleet(0)
    daybook.simulate(view, "--seed", 7, events=100)  # the topic is there
    connection = psycopg2.connect(database.uri)
    with connection.cursor() as cursor:
        cursor.execute(f"LOCK TABLE {view.name} IN SHARE ROW EXCLUSIVE MODE")  # a commit waits for it
        victim = fleet.add(program=PROGRAM, env={"DAYBOOK_FAILPOINT": "commit.during:1",
                                                 "DAYBOOK_FAILPOINT_DELAY_MS": "100"})
        assert victim.popen.wait(60) == -signal.SIGKILL
        waiting = database.query("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
                                 " AND application_name = %s", f"daybook-worker/{view.name}")
        assert waiting == [(1,)], "the killed worker's call still waits in the database"
        assert fleet.seq() == 0
        fleet.add()
    connection.close()  # and the lock is free
    fleet.wait_for_progress(2)
    daybook.wait_until_applied(view, traffic.end())
    daybook.verify(view)


def test_a_worker_frozen_before_its_commit_is_fenced_when_it_wakes(running):
    """The call of a batch that others have committed meanwhile goes out late."""
    fleet = running.fleet
    frozen = fleet.add(program=PROGRAM, env={"DAYBOOK_FAILPOINT": "commit.before:3", "DAYBOOK_FAILPOINT_SIGNAL": "STOP"})
    wait_until(lambda: "failpoint commit.before: SIGSTOP" in frozen.output(), frozen.output)
    wait_until(lambda: len(fleet.owners()) == 1, lambda: f"one owner, have {fleet.owners()}")
    fleet.wait_for_progress(5)
    frozen.send(signal.SIGCONT)
    wait_until(lambda: "fenced" in frozen.output() or "session timed out" in frozen.output(), frozen.output)
    running.check()
    assert frozen.is_running()
