"""Deduplication on real parts: partitions that are added while workers run, copies that land on other partitions,
rebalances, ids that are used again."""

from confluent_kafka.admin import AdminClient, NewPartitions

from conftest import wait_until
from test_worker import SOON, are_shared_by_two, owners, stock_change

FACILITY = "0b0e5ee9-93b4-4a5a-9d0c-4f1d1b1c1a99"
SEES_PARTITIONS_SOON = ("--kafka", "topic.metadata.refresh.interval.ms=500")


def send(producer, view, events):
    """Publishes (event, partition) pairs; returns the positions after them."""
    ends = {}

    def delivered(error, message):
        assert error is None, error
        place = f"{view.topic}/{message.partition()}"
        ends[place] = max(ends.get(place, 0), message.offset() + 1)

    for value, partition in events:
        producer.produce(view.topic, value, partition=partition, callback=delivered)
    assert producer.flush(30) == 0
    return ends


def stock(database, view):
    return database.query(f"SELECT total_stock FROM {view.name} WHERE facility_id = %s", FACILITY)


def test_copies_on_added_partitions_count_once_and_rebalances_read_no_set_again(daybook, database, view, producer, services):
    daybook.simulate(view, events=500, partitions=2)
    first = daybook.start_worker(view, *SOON, *SEES_PARTITIONS_SOON)
    events = [stock_change(f"moved-{number}", 1, FACILITY) for number in range(400)]
    daybook.wait_until_applied(view, send(producer, view, [(event, n % 2) for n, event in enumerate(events)]))

    admin = AdminClient({"bootstrap.servers": services.brokers})
    for future in admin.create_partitions([NewPartitions(view.topic, 6)]).values():
        future.result(30)
    producer.list_topics(view.topic, timeout=10)
    # The keys moved: every event comes again, on a partition that is new.
    copies = send(producer, view, [(event, 2 + n % 4) for n, event in enumerate(events)])
    daybook.wait_until_applied(view, copies)
    assert stock(database, view) == [(400,)]

    # A second worker joins and leaves: two rebalances for the first.
    second = daybook.start_worker(view, *SOON, *SEES_PARTITIONS_SOON)
    wait_until(lambda: are_shared_by_two(database, view), lambda: f"two owners, have {owners(database, view)}")
    again = send(producer, view, [(event, n % 6) for n, event in enumerate(events)])
    daybook.wait_until_applied(view, again)
    assert second.terminate() == 0
    wait_until(lambda: len(owners(database, view)) == 1, "the first worker has all partitions")
    last = send(producer, view, [(event, 5 - n % 6) for n, event in enumerate(events)])
    daybook.wait_until_applied(view, last)
    assert stock(database, view) == [(400,)]
    daybook.verify(view)
    # It began with an empty store; the second one read the set when it started, once.
    assert "fingerprints loaded" not in first.output()
    assert second.output().count("fingerprints loaded") == 1


def test_an_id_used_again_is_reported_with_its_place(daybook, database, view, producer):
    daybook.simulate(view, events=1, partitions=1)
    worker = daybook.start_worker(view)
    events = [(stock_change("unique", 5, FACILITY), 0)]
    events += [(stock_change("unique", 7, FACILITY), 0)] * 3
    ends = send(producer, view, events)
    daybook.wait_until_applied(view, ends)
    assert stock(database, view) == [(5,)]
    place = f"{view.topic}/0@{ends[f'{view.topic}/0'] - 3}, source /test, id unique"
    wait_until(lambda: place in worker.output(), f"the log says {place}")
