"""The worker on real parts: after whatever happened to it, the rows equal the log, which `daybook verify` says."""

import json
import signal
import socket
import time

from conftest import wait_until

# A killed or frozen worker's partitions go to the others after this; the default is long for a test.
SOON = ("--kafka", "session.timeout.ms=3000", "--kafka", "heartbeat.interval.ms=500")


def stock_change(event_id, quantity, facility="0b0e5ee9-93b4-4a5a-9d0c-4f1d1b1c1a01", when="2026-03-01T09:00:00Z"):
    return json.dumps(
        {
            "specversion": "1.0", "id": event_id, "source": "/test", "type": "bloodbank.stock.changed", "time": when,
            "data": {"facility_id": facility, "quantity": quantity},
        }
    )


def owners(database, view):
    """How many partitions each worker holds."""
    return dict(
        database.query(
            "SELECT p.owner, count(*) FROM daybook.position p JOIN daybook.generation g ON g.id = p.generation"
            " WHERE g.view = %s GROUP BY p.owner",
            view.name,
        )
    )


def are_shared_by_two(database, view):
    held = owners(database, view)
    return len(held) == 2 and "" not in held


def total_stock(database, view):
    return database.query(f"SELECT coalesce(sum(total_stock), 0) FROM {view.name}")[0][0]


def test_rows_equal_the_log(daybook, database, view):
    positions = daybook.simulate(view, "--duplicates", 0.05, "--late", 0.05, "--poison", 0.01)
    worker = daybook.start_worker(view)
    daybook.wait_until_applied(view, positions)
    daybook.verify(view)
    columns = database.query("SELECT column_name FROM information_schema.columns WHERE table_name = %s"
                             " ORDER BY ordinal_position", view.name)
    assert [name for (name,) in columns] == [
        "facility_id", "date", "total_stock", "total_transferred", "total_requests", "updated_at"]
    assert worker.terminate() == 0


def test_two_workers_share_the_partitions(daybook, database, view):
    first = daybook.simulate(view, "--duplicates", 0.05, events=2000)
    for _ in range(2):
        daybook.start_worker(view, *SOON)
    daybook.wait_until_applied(view, first)
    wait_until(lambda: are_shared_by_two(database, view), lambda: f"two owners, have {owners(database, view)}")
    positions = daybook.simulate(view, "--duplicates", 0.05, "--seed", 2, events=50000)
    daybook.wait_until_applied(view, positions)
    daybook.verify(view)


def test_a_killed_worker_loses_and_repeats_nothing(daybook, database, view):
    positions = daybook.simulate(view, "--duplicates", 0.05, "--poison", 0.0005, events=300000)
    began = {}
    for _ in range(5):
        worker = daybook.start_worker(view, *SOON)
        wait_until(lambda: database.positions(view.name) != began or database.has_applied(view.name, positions),
                   "the worker moves a position")
        worker.kill()
        began = database.positions(view.name)
    daybook.start_worker(view, *SOON)
    daybook.wait_until_applied(view, positions)
    daybook.verify(view)


def test_copies_on_partitions_of_two_workers_count_once(daybook, database, view, producer):
    daybook.simulate(view, events=100)
    for _ in range(2):
        daybook.start_worker(view, *SOON)
    wait_until(lambda: are_shared_by_two(database, view), lambda: f"two owners, have {owners(database, view)}")
    before = total_stock(database, view)
    ends = {}

    def delivered(error, message):
        assert error is None, error
        ends[f"{view.topic}/{message.partition()}"] = message.offset() + 1

    facility = "0b0e5ee9-93b4-4a5a-9d0c-4f1d1b1c1a99"
    for number in range(500):
        for partition in range(4):
            producer.produce(view.topic, stock_change(f"copy-{number}", 1, facility), partition=partition, callback=delivered)
    assert producer.flush(30) == 0
    daybook.wait_until_applied(view, ends)
    assert database.query(f"SELECT total_stock FROM {view.name} WHERE facility_id = %s", facility) == [(500,)]
    assert total_stock(database, view) >= before
    daybook.verify(view)


def test_duplicates_are_dropped_after_a_restart(daybook, database, view):
    daybook.start_worker(view)
    daybook.wait_until_applied(view, daybook.simulate(view, "--start", "2026-01-01", events=5000))
    assert daybook.processes[-1].terminate() == 0
    rows = database.query(f"SELECT facility_id, date, total_stock, total_transferred, total_requests FROM {view.name} ORDER BY 1, 2")
    again = daybook.simulate(view, "--start", "2026-01-01", events=5000)  # the same seed: the same ids
    daybook.start_worker(view)
    daybook.wait_until_applied(view, again)
    assert rows == database.query(
        f"SELECT facility_id, date, total_stock, total_transferred, total_requests FROM {view.name} ORDER BY 1, 2")
    daybook.verify(view)


def test_poison_ends_as_dead_letters_and_the_partition_goes_on(daybook, database, make_view, producer):
    view = make_view(max_future_seconds=86400)
    daybook.simulate(view, events=1)
    broken = {
        "malformed": [b"", b"{", b"\xff\xfe", b'{"specversion": "1.0", "specversion": "1.0"}', b"[" * 100000],
        "envelope": [b"{\"specversion\": \"2.0\"}", stock_change("", 1).encode()],
        "member": [stock_change("p1", None).encode(), stock_change("p2", 2**63).encode(), stock_change("p3", "7").encode(),
                   stock_change("p4", 1, facility="not-a-uuid").encode(), stock_change("p5", 1, when="yesterday").encode()],
        "future": [stock_change("p6", 1, when="2999-01-01T00:00:00Z").encode()],
        "range": [stock_change("p7", 2**31).encode()],
    }
    header = {"headers": {"content-type": "application/cloudevents+json"}, "partition": 0}
    expected = []
    for code, values in broken.items():
        for value in values:
            expected.append((code, value))
            producer.produce(view.topic, value, **header)
            producer.produce(view.topic, stock_change(f"good-{len(expected)}", 1).encode(), **header)
    producer.produce(view.topic, None, key=b"tombstone", **header)
    ends = {}
    producer.produce(view.topic, stock_change("last", 1).encode(), **header,
                     callback=lambda _, message: ends.update({f"{view.topic}/0": message.offset() + 1}))
    assert producer.flush(30) == 0
    daybook.start_worker(view)
    daybook.wait_until_applied(view, ends)
    letters = database.query("SELECT code, record_value FROM daybook.dead_letter ORDER BY record_offset")
    assert [(code, bytes(value)) for code, value in letters] == expected
    facility = json.loads(stock_change("x", 1))["data"]["facility_id"]
    good = database.query(f"SELECT total_stock FROM {view.name} WHERE facility_id = %s", facility)
    assert good == [(len(expected) + 1,)]
    daybook.verify(view)


def test_a_frozen_worker_changes_nothing_when_it_wakes(daybook, database, view):
    positions = daybook.simulate(view, events=200000)
    frozen = daybook.start_worker(view, *SOON)
    wait_until(lambda: database.positions(view.name), "the first worker moves a position")
    frozen.send(signal.SIGSTOP)
    daybook.start_worker(view, *SOON)
    daybook.wait_until_applied(view, positions)
    frozen.send(signal.SIGCONT)
    more = daybook.simulate(view, "--seed", 2, events=20000)
    daybook.wait_until_applied(view, more)
    daybook.verify(view)


def test_sigterm_ends_a_busy_worker_with_0_within_5_seconds(daybook, database, view):
    daybook.simulate(view, events=300000)
    worker = daybook.start_worker(view)
    wait_until(lambda: database.positions(view.name), "the worker moves a position")
    began = time.monotonic()
    assert worker.terminate() == 0
    assert time.monotonic() - began < 5
    daybook.verify(view)


def closed_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_a_missing_broker_is_said_in_one_clear_line(daybook, view):
    address = f"127.0.0.1:{closed_port()}"
    worker = daybook.start_worker(view, "--brokers", address)
    wait_until(lambda: address in worker.output(), "the worker names the broker")
    assert worker.is_running()  # it goes on trying
    assert worker.terminate() == 0


def test_a_missing_database_is_said_in_one_clear_line(daybook, view):
    daybook.simulate(view, events=1)
    port = closed_port()
    worker = daybook.start_worker(view, "--database", f"postgresql://daybook@127.0.0.1:{port}/daybook")
    wait_until(lambda: str(port) in worker.output(), "the worker names the database")
    assert worker.is_running()
    assert worker.terminate() == 0


def test_a_wrong_definition_is_refused_before_anything_starts(daybook, view, tmp_path):
    file = tmp_path / "wrong.json"
    file.write_text(json.dumps(view.definition | {"kind": "sumary", "surprise": 1}))
    done = daybook.run("worker", "--view", file, status=2)
    assert "/kind" in done.stderr and "/surprise" in done.stderr
