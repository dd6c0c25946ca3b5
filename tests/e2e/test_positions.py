"""What people do to positions, and what pauses a view until they did."""

import json

import confluent_kafka
import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from conftest import wait_until


@pytest.fixture
def admin(services):
    return AdminClient({"bootstrap.servers": services.brokers})


def done(futures):
    for future in futures.values():
        future.result(20)


def is_paused(database, view):
    (reason,) = database.query("SELECT paused FROM daybook.generation WHERE view = %s", view.name)[0]
    return reason


def cut(admin, view, positions):
    """Removes what lies before these offsets, as retention does."""
    done(admin.delete_records([
        confluent_kafka.TopicPartition(view.topic, int(name.rsplit("/", 1)[1]), offset) for name, offset in positions.items()]))


def test_show_tells_position_and_lag(daybook, view):
    positions = daybook.simulate(view, events=1000)
    daybook.run("worker", "--view", view.file, "--once")
    daybook.simulate(view, "--seed", 2, events=500)
    report = json.loads(daybook.run("positions", "show", view.name, "--json").stdout)
    assert report["paused"] is None
    assert {f"{p['topic']}/{p['partition']}": p["next"] for p in report["partitions"]} == positions
    assert sum(p["lag"] for p in report["partitions"]) == 500
    assert all(p["start"] == p["log_begin"] == 0 and ":" in p["owner"] for p in report["partitions"])
    text = daybook.run("positions", "show", view.name).stdout
    assert "4 partitions, lag 500" in text


def test_skipped_records_are_missing_and_verify_knows(daybook, database, view):
    daybook.simulate(view, events=1000)
    daybook.run("worker", "--view", view.file, "--once")
    end = daybook.simulate(view, "--seed", 2, events=1000)
    rows = f"SELECT sum(total_stock), sum(total_transferred), sum(total_requests) FROM {view.name}"
    before = database.query(rows)
    refused = daybook.run("positions", "move", view.name, "--to", "latest", status=2)
    assert "offsets are skipped" in refused.stdout and "--yes" in refused.stderr
    daybook.run("positions", "move", view.name, "--to", "latest", "--yes")
    assert database.positions(view.name) == end
    daybook.run("worker", "--view", view.file, "--once")
    assert database.query(rows) == before
    daybook.verify(view)
    # Back again: what is read a second time is known, what was skipped is applied.
    daybook.run("positions", "move", view.name, "--to", "earliest", "--yes")
    daybook.run("worker", "--view", view.file, "--once")
    assert database.query(rows) != before
    daybook.verify(view)


def test_moving_by_time_offset_and_partition(daybook, database, view, producer):
    daybook.simulate(view, events=10, partitions=2)
    for number in range(20):  # a day apart
        producer.produce(view.topic, b"{", partition=1, timestamp=1_600_000_000_000 + number * 86_400_000)
    assert producer.flush(20) == 0
    daybook.run("worker", "--view", view.file, "--once")
    stored = database.positions(view.name)
    one = f"{view.topic}/1"
    daybook.run("positions", "move", view.name, "--to", 3, "--partition", one, "--yes")
    assert database.positions(view.name) == stored | {one: 3}
    # 1_600_000_000 is 2020-09-13T12:26:40Z: the fifth of these records is that of the 17th.
    daybook.run("positions", "move", view.name, "--to", "2020-09-17T00:00:00Z", "--partition", one, "--yes")
    records_before = stored[one] - 20
    # The simulated ones, written now, lie before them and are later in time: the first at or after it is offset 0.
    assert database.positions(view.name)[one] == (0 if records_before > 0 else 4)
    for wrong in (("--to", "yesterday"), ("--to", 10**9), ("--to", "earliest", "--partition", f"{view.topic}/7")):
        daybook.run("positions", "move", view.name, *wrong, "--yes", status=2)


def test_retention_that_overtook_the_view(daybook, database, view, admin):
    daybook.simulate(view, events=1000)
    daybook.run("worker", "--view", view.file, "--once")
    end = daybook.simulate(view, "--seed", 2, events=1000)
    cut(admin, view, {name: offset - 10 for name, offset in end.items()})
    stopped = daybook.run("worker", "--view", view.file, "--once", status=4)
    assert "is to be read next, but the log begins at" in stopped.stderr
    assert "positions move" in is_paused(database, view)
    daybook.run("positions", "move", view.name, "--to", "earliest", "--yes")
    assert is_paused(database, view) is None
    daybook.run("worker", "--view", view.file, "--once")
    assert database.has_applied(view.name, end)
    daybook.verify(view, status=5)


def test_a_topic_that_was_made_again_pauses_the_view(daybook, database, view, admin):
    daybook.simulate(view, events=1000)
    daybook.run("worker", "--view", view.file, "--once")
    rows = database.query(f"SELECT * FROM {view.name} ORDER BY 1, 2")
    stored = database.positions(view.name)
    done(admin.delete_topics([view.topic]))
    wait_until(lambda: view.topic not in admin.list_topics(timeout=10).topics, "the topic is gone")
    done(admin.create_topics([NewTopic(view.topic, 4)]))
    daybook.simulate(view, "--seed", 7, events=5000)
    worker = daybook.start_worker(view)
    wait_until(lambda: is_paused(database, view), worker.output)
    assert "was deleted and made again" in is_paused(database, view)
    wait_until(lambda: "paused:" in worker.output(), worker.output)
    assert database.query(f"SELECT * FROM {view.name} ORDER BY 1, 2") == rows
    assert database.positions(view.name) == stored
    assert "is paused" in daybook.run("positions", "show", view.name).stdout
    assert worker.is_running()
    daybook.run("positions", "move", view.name, "--to", "current", "--yes")
    wait_until(lambda: not is_paused(database, view) and database.positions(view.name) != stored, worker.output)
    assert worker.terminate() == 0


def test_a_person_pauses_and_resumes(daybook, database, view):
    daybook.start_worker(view)
    daybook.wait_until_applied(view, daybook.simulate(view, events=1000))
    assert "is paused" in daybook.run("views", "pause", view.name, "--reason", "moving house").stdout
    assert "was paused already" in daybook.run("views", "pause", view.name).stdout
    stored = database.positions(view.name)
    end = daybook.simulate(view, "--seed", 2, events=1000)
    worker = daybook.processes[-1]
    wait_until(lambda: "paused: moving house" in worker.output(), worker.output)
    assert database.positions(view.name) == stored
    daybook.run("views", "resume", view.name)
    daybook.wait_until_applied(view, end)
    assert "was not paused" in daybook.run("views", "resume", view.name).stdout
    daybook.verify(view)


def test_dead_letters_of_a_former_log_neither_hide_nor_excuse_new_ones(daybook, database, view, admin, producer):
    def publish(*values):
        for value in values:
            producer.produce(view.topic, value, partition=0)
        assert producer.flush(20) == 0

    done(admin.create_topics([NewTopic(view.topic, 1)]))
    publish(b"{ of the first log", b"[")
    daybook.run("worker", "--view", view.file, "--once")
    done(admin.delete_topics([view.topic]))
    wait_until(lambda: view.topic not in admin.list_topics(timeout=10).topics, "the topic is gone")
    done(admin.create_topics([NewTopic(view.topic, 1)]))
    wait_until(lambda: view.topic in admin.list_topics(timeout=10).topics, "the topic is there again")
    event = {"specversion": "1.0", "id": "1", "source": "/test", "type": "bloodbank.stock.changed", "time": "2026-03-01T09:00:00Z",
             "data": {"facility_id": "0b0e5ee9-93b4-4a5a-9d0c-4f1d1b1c1a01", "quantity": 5}}
    publish(b"{ of the second log", json.dumps(event))
    daybook.run("worker", "--view", view.file, "--once", status=4)
    daybook.run("positions", "move", view.name, "--to", "earliest", "--yes")
    daybook.run("worker", "--view", view.file, "--once")
    letters = database.query("SELECT record_offset, superseded_by > 0, convert_from(record_value, 'UTF8')"
                             " FROM daybook.dead_letter ORDER BY 2 DESC, 1")
    assert letters == [(0, True, "{ of the first log"), (1, True, "["), (0, False, "{ of the second log")]
    assert database.query(f"SELECT total_stock FROM {view.name}") == [(5,)]
    daybook.verify(view)
