"""Broker and database killed and restarted, disk full, a standby that lags: workers go on by themselves."""

import json
import os
import signal

import psycopg2
import pytest
from harness import wait_until
from servers import Postgresql, autocommit, create_topic, fill, kafka, on_port, small_disk


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


def test_broker_killed_during_a_redrive(daybook, database, view, admin, broker, producer):
    """What arrived is recorded, the rest stays as it is, and the command done once more completes it."""
    create_topic(admin, view.topic, 1)
    count = 20
    for number in range(count):
        event = {"specversion": "1.0", "id": str(number), "source": "/test", "type": "bloodbank.stock.changed",
                 "time": "2026-11-23T10:00:00Z", "data": {"facility_id": "6f1c7ab0-3d0c-4f5e-9d2b-1f0e5a7c9b42",
                                                          "quantity": "many"}}
        # Of one key the next is sent once the one before has arrived and is recorded.
        producer.produce(view.topic, json.dumps(event), key="k", headers={"content-type": "application/cloudevents+json"})
    producer.flush()
    daybook.run("worker", "--view", view.file, "--once")
    redrive = ("dead-letters", "redrive", view.name, "--yes", "--set", "/data/quantity=3")

    lock = psycopg2.connect(database.uri)
    ((generation,),) = database.query("SELECT id FROM daybook.generation WHERE view = %s", view.name)
    lock.cursor().execute("SELECT pg_advisory_xact_lock(1684108395, %s)", (generation,))
    first = daybook.start(*redrive, "--kafka", "delivery.timeout.ms=2000")
    wait_until(lambda: database.query("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                                      " AND application_name = 'daybook-redrive' AND wait_event_type = 'Lock'") == [(1,)],
               "the redrive has published one and waits for the view's lock to record it")
    broker.kill()
    lock.close()
    assert first.popen.wait(30) == 3
    said = first.output()
    assert f"not all were published, the rest stays as it is: {view.topic}/0: " in said, said
    assert f"1 redriven, {count - 1} left" in said, said
    states = "SELECT state, count(*) FROM daybook.dead_letter GROUP BY state ORDER BY state"
    assert database.query(states) == [("new", count - 1), ("redriven", 1)]
    away = daybook.run(*redrive, status=3)
    assert f"broker 127.0.0.1:{broker.port} does not answer within 10 s: nothing was redriven" in away.stderr
    assert database.query(states) == [("new", count - 1), ("redriven", 1)]

    broker.start()
    assert daybook.run(*redrive).stdout == f"{count - 1} redriven\n"
    assert database.query(states) == [("redriven", count)]
    daybook.run("worker", "--view", view.file, "--once")
    assert database.query(f"SELECT sum(total_stock) FROM {view.name}") == [(3 * count,)]
    assert database.positions(view.name) == {f"{view.topic}/0": 2 * count}  # each went out once
    daybook.verify(view)


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
