"""`daybook verify` finds what is wrong, and only that: rows changed by hand, dead letters lost, a log that was cut."""

import json

import confluent_kafka
from confluent_kafka.admin import AdminClient
from conftest import wait_until

FACILITY = "6f1c7ab0-3d0c-4f5e-9d2b-1f0e5a7c9b42"


def stock(number, quantity, day="2026-11-23"):
    return {
        "specversion": "1.0", "id": str(number), "source": "test", "type": "bloodbank.stock.changed",
        "time": f"{day}T10:00:00Z", "data": {"facility_id": FACILITY, "quantity": quantity},
    }


def send(producer, view, event, partition=0, **options):
    value = json.dumps(event) if isinstance(event, dict) else event
    producer.produce(view.topic, value, partition=partition, **options)


def create_topic(services, view, partitions):
    admin = AdminClient({"bootstrap.servers": services.brokers})
    new = confluent_kafka.admin.NewTopic(view.topic, partitions, 1)
    admin.create_topics([new])[view.topic].result()
    return admin


def apply(daybook, view):
    daybook.run("worker", "--view", view.file, "--once")


def details(daybook, view, status):
    report = json.loads(daybook.run("verify", view.name, "--json", status=status).stdout)
    return report, report["details"]


def test_rows_and_dead_letters_changed_by_hand(daybook, database, services, view, producer):
    create_topic(services, view, 2)
    for day in range(1, 29):
        send(producer, view, stock(day, day, f"2026-02-{day:02}"), partition=day % 2)
        send(producer, view, stock(day, day, f"2026-02-{day:02}"), partition=day % 2)
    send(producer, view, stock("wrong", "many"))
    send(producer, view, b"{", partition=1)
    send(producer, view, None)
    producer.flush()
    apply(daybook, view)
    assert daybook.verify(view).stdout.endswith(
        f"verify {view.name}: 28 rows, 58 events, 28 duplicates, 2 dead letters, 0 differences\n"
    )

    database.query(f"UPDATE {view.name} SET total_stock = total_stock + 1 WHERE date = '2026-02-05'")
    database.query(f"DELETE FROM {view.name} WHERE date = '2026-02-10'")
    database.query(f"INSERT INTO {view.name} VALUES ('{FACILITY}', '2027-01-01', 7, 0, 0, now())")
    database.query("DELETE FROM daybook.dead_letter WHERE code = 'malformed'")
    printed = daybook.verify(view, status=1).stdout
    assert f"differs: facility_id {FACILITY}, date 2026-02-05: total_stock table 16, log 15\n" in printed
    assert "date 2026-02-10: only in the log: total_stock log 55;" in printed
    assert "date 2027-01-01: only in the table: total_stock table 7;" in printed
    assert f"{view.topic}/1 offset " in printed and "but there is no dead letter" in printed
    assert printed.endswith("4 differences\n")

    report, found = details(daybook, view, status=1)
    assert (report["rows"], report["events"], report["differences"], report["uncertain_rows"]) == (28, 58, 4, 0)
    assert [one["kind"] for one in found] == ["values", "only_in_log", "only_in_table", "dead_letter_missing"]
    assert found[0]["columns"] == {"total_stock": {"table": "16", "log": "15"}}
    assert len(json.loads(daybook.run("verify", view.name, "--json", "--limit", 1, status=1).stdout)["details"]) == 2


def test_binary_mode_and_transactions(daybook, services, view):
    create_topic(services, view, 1)
    producer = confluent_kafka.Producer({"bootstrap.servers": services.brokers, "transactional.id": view.name})
    producer.init_transactions()
    event = stock("binary", 100)
    attributes = [("ce_" + name, event[name]) for name in ("specversion", "id", "source", "type", "time")]
    producer.begin_transaction()
    send(producer, view, stock("structured", 1))
    send(producer, view, event["data"], headers=attributes)
    producer.commit_transaction()
    producer.begin_transaction()
    send(producer, view, stock("aborted", 10))
    producer.abort_transaction()
    apply(daybook, view)
    # The log ends in markers and aborted records: the position is behind the last record that can be read.
    assert daybook.verify(view).stdout.endswith("1 row, 2 events, 0 duplicates, 0 dead letters, 0 differences\n")


def test_events_redriven_for_another_view_are_passed_over(daybook, services, view, producer):
    create_topic(services, view, 1)
    send(producer, view, {**stock("ours", 1), "daybookredrive": view.name})
    send(producer, view, {**stock("theirs", 10), "daybookredrive": "another_view"})
    producer.flush()
    apply(daybook, view)
    report, _ = details(daybook, view, status=0)
    assert (report["contributing"], report["redriven_elsewhere"]) == (1, 1)


def test_log_that_was_cut(daybook, services, view, producer):
    admin = create_topic(services, view, 1)
    for number in range(10):
        send(producer, view, stock(number, 1))
    producer.flush()
    apply(daybook, view)
    daybook.verify(view)
    cut = confluent_kafka.TopicPartition(view.topic, 0, 5)
    for done in admin.delete_records([cut]).values():
        done.result()
    consumer = confluent_kafka.Consumer({"bootstrap.servers": services.brokers, "group.id": "unused"})
    wait_until(lambda: consumer.get_watermark_offsets(cut)[0] == 5, "the log starts at 5")
    consumer.close()
    refused = daybook.verify(view, status=5)
    assert "the first offset is 5, the view began at 0" in refused.stderr


def test_nothing_to_verify(daybook, view):
    assert "daybook views apply" in daybook.run("verify", "unheard_of", status=4).stderr
    # Applied, and no worker has ever run.
    assert daybook.verify(view).stdout.endswith("0 rows, 0 events, 0 duplicates, 0 dead letters, 0 differences\n")


def test_no_schema(daybook, database):
    assert "daybook migrate" in daybook.run("verify", "unheard_of", status=4).stderr
