"""Broker and database killed and restarted, disk full, a standby that lags: workers go on by themselves."""

import os
import signal

import pytest
from harness import wait_until
from servers import Postgresql, autocommit, fill, kafka, on_port, small_disk


@pytest.fixture
def broker(services):
    server = kafka(services.run_dir)
    yield server
    if not server.is_running():
        server.start()


@pytest.fixture
def postgresql(services):
    server = Postgresql(services.run_dir)
    yield server
    if not server.is_running():
        server.start()


def test_broker_killed_and_restarted(running, broker):
    broker.kill()
    running.fleet.wait_for_line("kafka:", str(broker.port), "Connection refused")
    broker.start()
    running.fleet.wait_for_progress(3)
    running.check()


def test_database_killed_and_restarted(running, postgresql):
    postgresql.kill_immediately()
    running.fleet.wait_for_line("database:", "Connection refused")
    postgresql.start()
    running.fleet.wait_for_line(running.view.name, "goes on; reads")
    running.check()


def test_a_database_session_that_crashes(running, postgresql):
    """kill -9 of one session's process: the server resets all sessions and recovers."""
    ((pid,),) = running.database.query("SELECT pid FROM pg_stat_activity WHERE application_name = %s LIMIT 1",
                                       f"daybook-worker/{running.view.name}")
    os.kill(pid, signal.SIGKILL)
    wait_until(postgresql.answers, "the server has recovered")
    running.fleet.wait_for_line(running.view.name, "goes on; reads")
    running.check()


def test_disk_full_for_the_database(daybook, database, view, load, make_fleet, postgresql, tmp_path):
    folder = postgresql.service.dir / "small-disk"
    with small_disk(folder, 48) as disk:
        if disk is None:
            pytest.skip("this process may not mount a tmpfs: no small disk to fill")
        autocommit(database.uri, f"CREATE TABLESPACE small LOCATION '{disk}'")
        try:
            slots = database.query("SELECT inhrelid::regclass::text FROM pg_inherits"
                                   " WHERE inhparent = 'daybook.seen'::regclass")
            autocommit(database.uri, f"ALTER TABLE {view.name} SET TABLESPACE small",
                       *(f"ALTER TABLE {slot} SET TABLESPACE small" for (slot,) in slots))
            traffic = load(rate=10000)
            fleet = make_fleet(2)
            fleet.wait_for_progress()
            filler = disk / "filler"
            fill(filler)
            line = fleet.wait_for_line(view.name, "No space left on device")
            assert "going on from the stored positions" in line or "trying again" in line
            assert all(worker.is_running() for worker in fleet.workers)
            filler.unlink()
            fleet.wait_for_progress(2)
            daybook.wait_until_applied(view, traffic.end())
            daybook.verify(view)
        finally:
            for worker in daybook.processes:
                if worker.is_running():
                    worker.kill()
            autocommit(database.uri, f"DROP TABLE {view.name}", "DROP TABLE daybook.seen", "DROP TABLESPACE small")


def test_a_lagging_standby_is_promoted(daybook, view, database, load, make_fleet, postgresql, proxies):
    """Workers go on from ITS positions, and forget the fingerprints of commits that it never saw."""
    traffic = load(rate=10000)
    fleet = make_fleet(2, proxies)
    fleet.wait_until_shared()
    standby = postgresql.standby("standby")
    try:
        fleet.wait_for_progress(2)
        standby.stop_following()
        fleet.wait_for_progress(10)
        lost_from = fleet.seq()
        proxies.database.refuse()
        standby.promote()
        database.uri = on_port(database.uri, standby.port)
        assert fleet.seq() < lost_from, "the standby lags"
        proxies.database.target = standby.port
        proxies.database.heal()
        fleet.wait_for_line(view.name, "goes on; reads")
        fleet.wait_for_progress(3)
        daybook.env["DAYBOOK_DATABASE"] = database.uri
        daybook.wait_until_applied(view, traffic.end())
        daybook.verify(view)
    finally:
        for worker in daybook.processes:
            if worker.is_running():
                worker.kill()
        standby.end()
