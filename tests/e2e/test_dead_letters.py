"""Dead letters as operators handle them: listed, shown, redriven, discarded, copied to a topic; a flood pauses the view.

After whatever was done, the rows equal the log, which `daybook verify` says.
"""

import base64
import json
import os
import pty
import signal
import subprocess
from contextlib import contextmanager

import confluent_kafka
import psycopg2
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic
from conftest import PROGRAM, wait_until

FACILITY = "6f1c7ab0-3d0c-4f5e-9d2b-1f0e5a7c9b42"
STRUCTURED = {"content-type": "application/cloudevents+json"}


def stock(number, quantity, **attributes):
    return {
        "specversion": "1.0", "id": str(number), "source": "/test", "type": "bloodbank.stock.changed",
        "time": "2026-11-23T10:00:00Z", "data": {"facility_id": FACILITY, "quantity": quantity}, **attributes,
    }


def create_topic(services, name, partitions=1, **config):
    admin = AdminClient({"bootstrap.servers": services.brokers})
    admin.create_topics([NewTopic(name, partitions, 1, config=config)])[name].result()


def send(producer, view, event, partition=0, key=None, headers=STRUCTURED):
    value = json.dumps(event) if isinstance(event, dict) else event
    producer.produce(view.topic, value, key=key, partition=partition, headers=headers)


def apply(daybook, view, *arguments):
    daybook.run("worker", "--view", view.file, "--once", *arguments)


def letters(daybook, view, *arguments):
    done = daybook.run("dead-letters", "show", view.name, "--json", "--limit", 1000, *arguments)
    return json.loads(done.stdout)["dead_letters"]


def stocked(database, view):
    return database.query(f"SELECT coalesce(sum(total_stock), 0) FROM {view.name}")[0][0]


@contextmanager
def view_locked(database, view):
    """Holds the lock that every commit and every change of the view's dead letters takes."""
    ((generation,),) = database.query("SELECT id FROM daybook.generation WHERE view = %s", view.name)
    connection = psycopg2.connect(database.uri)
    try:
        connection.cursor().execute("SELECT pg_advisory_xact_lock(1684108395, %s)", (generation,))
        yield
    finally:
        connection.close()


def waits_for_lock(database, application):
    return database.query("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                          " AND application_name = %s AND wait_event_type = 'Lock'", application)[0][0] > 0


def no_differences(daybook, view):
    assert daybook.verify(view).stdout.endswith(" 0 differences\n")


def read_topic(services, topic, partitions=1):
    """All records that a topic has, in the order of partition and offset."""
    consumer = confluent_kafka.Consumer({"bootstrap.servers": services.brokers, "group.id": "unused",
                                         "enable.partition.eof": True})
    consumer.assign([confluent_kafka.TopicPartition(topic, p, 0) for p in range(partitions)])
    records, ends = [], set()

    def take():
        message = consumer.poll(0.1)
        if message is not None and message.error():
            ends.add(message.partition())
        elif message is not None:
            records.append(message)
        return len(ends) == partitions

    wait_until(take, f"the end of {topic}")
    consumer.close()
    return sorted(records, key=lambda record: (record.partition(), record.offset()))


def test_list_and_show(daybook, database, services, view, producer):
    create_topic(services, view.topic, 2)
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    send(producer, view, stock("many", "many", traceparent=trace), key=b"k\xff")
    send(producer, view, stock("good", 1))
    send(producer, view, b"\xffnot text\x1b[2J", partition=1, headers={"x": b"\xfe", "y": "z"})
    send(producer, view, stock("\x1b[31mred", None), partition=1)
    producer.flush()
    apply(daybook, view)

    listed = daybook.run("dead-letters", "list", view.name).stdout
    assert listed.endswith("3 new dead letters (malformed 1, member 2), 3 shown\n")
    assert f"{view.topic}/0@0" in listed and 'many: member /data/quantity is the string "many"; expected' in listed
    assert "\x1b" not in listed and "\\x1b[31mred: " in listed
    report = json.loads(daybook.run("dead-letters", "list", view.name, "--json").stdout)
    assert (report["total"], report["by_code"]) == (3, {"malformed": 1, "member": 2})

    # Each filter alone.
    ids = [one["id"] for one in report["dead_letters"]]
    for filters, expected in [
        (["--code", "malformed"], [1]), (["--code", "malformed", "--code", "member"], [0, 1, 2]),
        (["--topic", view.topic], [0, 1, 2]), (["--topic", "other"], []), (["--partition", "1"], [1, 2]),
        (["--offset", "0"], [0, 1]), (["--offset", "1.."], [2]), (["--offset", "..0"], [0, 1]), (["--offset", "0..1"], [0, 1, 2]),
        (["--since", "2026-01-01T00:00:00Z"], [0, 1, 2]), (["--until", "2020-01-01T00:00:00Z"], []),
        (["--since", "2999-01-01T00:00:00Z"], []), (["--event-id", "many"], [0]), (["--source", "/test"], [0, 2]),
        (["--type", "bloodbank.stock.changed"], [0, 2]), (["--id", ids[1]], [1]), (["--state", "discarded"], []),
        (["--limit", "2"], [0, 1]),
    ]:
        found = json.loads(daybook.run("dead-letters", "list", view.name, "--json", *filters).stdout)["dead_letters"]
        assert [one["id"] for one in found] == [ids[i] for i in expected], filters
    for wrong in (["--offset", "1-2"], ["--since", "yesterday"], ["--code", "unheard"], ["--state", "old"]):
        daybook.run("dead-letters", "list", view.name, *wrong, status=2)
    assert "daybook views apply" in daybook.run("dead-letters", "list", "unheard_of", status=4).stderr

    # All of the record, exactly.
    shown = letters(daybook, view)
    assert (shown[0]["value"], shown[0]["traceparent"]) == (json.dumps(stock("many", "many", traceparent=trace)), trace)
    assert base64.b64decode(shown[0]["key_base64"]) == b"k\xff"
    assert shown[0]["headers"] == [{"name": "content-type", "value": STRUCTURED["content-type"]}]
    assert base64.b64decode(shown[1]["value_base64"]) == b"\xffnot text\x1b[2J"
    assert shown[1]["headers"] == [{"name": "x", "value_base64": base64.b64encode(b"\xfe").decode()}, {"name": "y", "value": "z"}]
    text = daybook.run("dead-letters", "show", view.name, "--id", ids[0]).stdout
    assert f"  position     {view.topic}/0@0\n" in text and f"  traceparent  {trace}\n" in text and shown[0]["value"] in text
    raw = subprocess.run([PROGRAM, "dead-letters", "show", view.name, "--raw", "--id", str(ids[1])], env=daybook.env, capture_output=True)
    assert raw.stdout == b"\xffnot text\x1b[2J"
    daybook.run("dead-letters", "show", view.name, "--raw", status=2)


def test_redriven_events_count_once_for_this_view_in_the_order_of_their_keys(daybook, database, services, make_view, producer):
    view = make_view()
    other = make_view()  # another view of the same topic
    create_topic(services, view.topic, 2)
    for number in range(40):
        send(producer, view, stock(number, "many"), partition=number % 2, key=f"key-{number % 6}")
    event = stock("binary", "many")
    attributes = {"ce_" + name: event[name] for name in ("specversion", "id", "source", "type", "time")}
    send(producer, view, json.dumps(event["data"]), headers={**attributes, "mine": "kept"}, key="b")
    for value in (b"{", json.dumps({**stock(1, 1), "id": ""})):
        send(producer, view, value)
    producer.flush()
    for one in (view, other):
        apply(daybook, one)

    refused = daybook.run("dead-letters", "redrive", view.name, status=2).stderr
    assert "nothing was done: give --yes to publish 43 dead letters" in refused
    done = daybook.run("dead-letters", "redrive", view.name, "--yes", "--set", "/data/quantity=3", "--json", status=1)
    report = json.loads(done.stdout)
    assert (report["redriven"], report["refused"], report["left"]) == (41, 2, 0)
    assert "it is malformed" in done.stderr and "attribute id is missing" in done.stderr
    for one in (view, other):
        apply(daybook, one)
        no_differences(daybook, one)
    assert (stocked(database, view), stocked(database, other)) == (41 * 3, 0)

    # Where each was published: the same partition, key and headers, and in the order of the originals.
    settled = letters(daybook, view, "--state", "redriven")
    records = {(r.partition(), r.offset()): r for r in read_topic(services, view.topic, 2)}
    for one in settled:
        original = records[one["partition"], one["offset"]]
        again = records[one["redriven_partition"], one["redriven_offset"]]
        assert (again.partition(), again.key()) == (original.partition(), original.key())
        assert again.headers() == original.headers() + ([("ce_daybookredrive", view.name.encode())] if one["event_id"] == "binary" else [])
    for partition in (0, 1):
        offsets = [one["redriven_offset"] for one in settled if one["partition"] == partition]
        assert len(offsets) == len(set(offsets)) and offsets == sorted(offsets)
    # What can't be redriven stays; nothing is published twice.
    again = daybook.run("dead-letters", "redrive", view.name, "--yes", "--json", status=1)
    assert json.loads(again.stdout)["redriven"] == 0
    assert len(letters(daybook, view, "--state", "new")) == 2
    assert len(letters(daybook, other, "--state", "new")) == 43


def test_a_crash_between_publishing_and_recording_counts_no_event_twice(daybook, database, services, view, producer):
    create_topic(services, view.topic)
    for number in range(5):
        send(producer, view, stock(number, 2**31 - 1 if number else -5), key="k")  # after the first, INT overflows
    producer.flush()
    apply(daybook, view)
    assert [one["code"] for one in letters(daybook, view)] == ["range"] * 3
    before = stocked(database, view)
    first = json.loads(daybook.run("dead-letters", "redrive", view.name, "--yes", "--set", "/data/quantity=1", "--json").stdout)
    # What a crash leaves: published, and still new.
    database.query("UPDATE daybook.dead_letter SET state = 'new', redriven_partition = NULL, redriven_offset = NULL")
    daybook.run("dead-letters", "redrive", view.name, "--yes", "--set", "/data/quantity=1")
    assert len(read_topic(services, view.topic)) == 5 + 2 * 3 and first["redriven"] == 3
    apply(daybook, view)
    assert stocked(database, view) == before + 3
    no_differences(daybook, view)


def test_two_redrives_at_once_publish_each_event_once(daybook, database, services, view, producer):
    create_topic(services, view.topic, 2)
    for number in range(40):
        send(producer, view, stock(number, "many"), partition=number % 2, key=f"key-{number % 5}")
    producer.flush()
    apply(daybook, view)
    redrive = ("dead-letters", "redrive", view.name, "--yes", "--set", "/data/quantity=2", "--json")

    # The first one is in the midst of its work: it published, and waits for the view's lock to record that.
    with view_locked(database, view):
        first = daybook.start(*redrive)
        wait_until(lambda: waits_for_lock(database, "daybook-redrive"), "the first redrive waits for the lock")
        refused = daybook.run(*redrive, status=4)
        assert f"another `daybook dead-letters redrive {view.name}` is under way: wait for its end" in refused.stderr
    assert first.popen.wait(30) == 0
    assert json.loads(first.output())["redriven"] == 40

    # Without a hand in their order.
    for number in range(40, 80):
        send(producer, view, stock(number, "many"), partition=number % 2, key=f"key-{number % 5}")
    producer.flush()
    apply(daybook, view)
    both = [daybook.start(*redrive) for _ in range(2)]
    statuses = sorted(one.popen.wait(30) for one in both)
    assert statuses in ([0, 0], [0, 4]), [one.output() for one in both]

    assert [one["state"] for one in letters(daybook, view)] == ["redriven"] * 80
    assert len(read_topic(services, view.topic, 2)) == 80 + 80
    apply(daybook, view)
    assert stocked(database, view) == 80 * 2
    no_differences(daybook, view)


def test_a_redriven_event_that_fails_again_is_a_new_dead_letter(daybook, database, services, view, producer):
    create_topic(services, view.topic)
    send(producer, view, stock("wrong", "many"))
    producer.flush()
    for attempt in range(3):
        apply(daybook, view)
        assert [one["state"] for one in letters(daybook, view)] == ["redriven"] * attempt + ["new"]
        daybook.run("dead-letters", "redrive", view.name, "--yes")
    apply(daybook, view)
    values = [one["value"] for one in letters(daybook, view)]
    assert len(set(values[1:])) == 1 and json.loads(values[1])["daybookredrive"] == view.name
    no_differences(daybook, view)


def test_discarded_ones_stay_out_and_can_be_redriven_after_all(daybook, database, services, view, producer):
    create_topic(services, view.topic)
    for number in range(3):
        send(producer, view, stock(number, "many"))
    producer.flush()
    apply(daybook, view)
    refused = daybook.run("dead-letters", "discard", view.name, "--yes", status=2)
    assert "--reason" in refused.stderr
    assert daybook.run("dead-letters", "discard", view.name, "--limit", 2, "--reason", "it's a test", "--yes").stdout == "2 discarded\n"
    assert [(one["state"], one["reason"]) for one in letters(daybook, view)] == [("discarded", "it's a test")] * 2 + [("new", None)]
    no_differences(daybook, view)
    daybook.run("dead-letters", "redrive", view.name, "--state", "discarded", "--event-id", 1, "--set", "/data/quantity=4", "--yes")
    apply(daybook, view)
    assert stocked(database, view) == 4
    assert [one["state"] for one in letters(daybook, view)] == ["discarded", "redriven", "new"]
    no_differences(daybook, view)
    assert daybook.run("dead-letters", "discard", view.name, "--state", "new", "--reason", "x", status=2)  # no such option


def test_a_malformed_one_is_mended_by_hand(daybook, database, services, view, producer):
    create_topic(services, view.topic)
    send(producer, view, json.dumps(stock(1, 6))[:-1])
    producer.flush()
    apply(daybook, view)
    event = daybook.run("dead-letters", "show", view.name, "--offset", 0, "--raw").stdout
    daybook.run("publish", "--topic", view.topic, stdin=event + "}\n")
    daybook.run("dead-letters", "discard", view.name, "--offset", 0, "--reason", "published anew", "--yes")
    apply(daybook, view)
    assert stocked(database, view) == 6
    no_differences(daybook, view)


def test_a_terminal_is_asked(daybook, services, view, producer):
    create_topic(services, view.topic)
    send(producer, view, stock("wrong", "many"))
    producer.flush()
    apply(daybook, view)
    for answer, status, state in ((b"no\n", 2, "new"), (b"yes\n", 0, "discarded")):
        ours, theirs = pty.openpty()
        process = subprocess.Popen([PROGRAM, "dead-letters", "discard", view.name, "--reason", "x"],
                                   env=daybook.env, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        os.write(ours, answer)
        out, err = process.communicate(timeout=30)
        os.close(ours), os.close(theirs)
        assert f"Going to discard 1 dead letter of {view.name} (member 1). Type yes to go on: ".encode() in err
        assert process.returncode == status, (out, err)
        assert letters(daybook, view)[0]["state"] == state


def test_a_topic_gets_copies_and_its_absence_stops_nothing(daybook, database, services, view, producer):
    create_topic(services, view.topic)
    topic = view.topic + ".dead"
    assert "reads it" in daybook.run("worker", "--view", view.file, "--dead-letter-topic", view.topic, status=2).stderr
    send(producer, view, stock("early", "many"), key="k")
    producer.flush()
    worker = daybook.start_worker(view, "--dead-letter-topic", topic, "--kafka", "topic.metadata.propagation.max.ms=100",
                                  "--kafka", "topic.metadata.refresh.interval.ms=500")
    wait_until(lambda: "are not copied" in worker.output(), "the worker says that there is no such topic")
    send(producer, view, stock("good", 1))
    send(producer, view, b"{", headers={"x": "y"})
    producer.flush()
    daybook.wait_until_applied(view, {f"{view.topic}/0": 3})  # the view goes on
    create_topic(services, topic)
    wait_until(lambda: database.query("SELECT count(*) FROM daybook.dead_letter WHERE copied_at IS NULL") == [(0,)], "both are copied")
    assert worker.output().count("are not copied") == 1
    assert worker.terminate() == 0
    copies = read_topic(services, topic)
    details = [one["detail"] for one in letters(daybook, view)]
    assert [(copy.key(), json.loads(copy.value()) if i == 0 else copy.value()) for i, copy in enumerate(copies)] == [
        (b"k", stock("early", "many")), (None, b"{")]
    for copy, original, code, offset, detail in zip(copies, (STRUCTURED, {"x": "y"}), ("member", "malformed"), (0, 2), details):
        headers = {name: value.decode() for name, value in copy.headers()}
        assert headers.pop("daybook_time").startswith("20")
        assert headers == {**original, "daybook_view": view.name, "daybook_topic": view.topic, "daybook_partition": "0",
                           "daybook_offset": str(offset), "daybook_code": code, "daybook_detail": detail}
    # At its end a worker copies what is there by then.
    send(producer, view, b"[")
    producer.flush()
    apply(daybook, view, "--dead-letter-topic", topic)
    assert [copy.value() for copy in read_topic(services, topic)][2:] == [b"["]


def test_a_copy_that_is_too_large_comes_without_what_makes_it_so(daybook, database, services, view, producer):
    create_topic(services, view.topic)
    topic = view.topic + ".dead"
    create_topic(services, topic, **{"max.message.bytes": "3000"})
    large_value, large_key, large_header = b"{" + b"v" * 4000, b"k" * 4000, b"h" * 4000
    send(producer, view, b"{small", key="a", headers={"x": "y"})
    send(producer, view, large_value, key="b", headers={"x": "y"})
    send(producer, view, b"{key", key=large_key, headers={"x": "y"})
    send(producer, view, b"{header", key="d", headers={"x": large_header})
    send(producer, view, b"{small too", key="e", headers={"x": "y"})
    producer.flush()
    apply(daybook, view, "--flood-share", 1, "--dead-letter-topic", topic)
    assert database.query("SELECT count(*), count(copied_at) FROM daybook.dead_letter") == [(5, 5)]

    copies = {}
    for copy in read_topic(services, topic):
        headers = dict(copy.headers())
        assert headers["daybook_code"] == b"malformed" and headers["daybook_view"] == view.name.encode()
        size = headers.get("daybook_value_bytes")
        copies[int(headers["daybook_offset"])] = (copy.key(), copy.value(), headers.get("x"), size and int(size))
    assert copies == {
        0: (b"a", b"{small", b"y", None),
        1: (b"b", b"", b"y", len(large_value)),
        2: (None, b"", None, len(b"{key")),
        3: (None, b"", None, len(b"{header")),
        4: (b"e", b"{small too", b"y", None),
    }
    # The table has all of it.
    assert [one["value"].encode() for one in letters(daybook, view, "--offset", "1..1")] == [large_value]


def test_what_is_too_large_to_be_redriven_holds_up_no_other(daybook, database, services, view, producer):
    create_topic(services, view.topic)
    for number, padding in enumerate((0, 4000, 0)):
        send(producer, view, stock(number, "many", note="x" * padding), key=f"key-{number}")
    producer.flush()
    apply(daybook, view)
    admin = AdminClient({"bootstrap.servers": services.brokers})
    smaller = ConfigResource(ConfigResource.Type.TOPIC, view.topic, incremental_configs=[
        ConfigEntry("max.message.bytes", "3000", incremental_operation=AlterConfigOpType.SET)])
    admin.incremental_alter_configs([smaller])[smaller].result()
    done = daybook.run("dead-letters", "redrive", view.name, "--yes", "--set", "/data/quantity=5", "--json", status=1)
    assert done.stderr.count("not redriven") == 1 and f"{view.topic}/0@1 (id" in done.stderr
    assert "it is too large for the topic" in done.stderr
    assert {name: json.loads(done.stdout)[name] for name in ("redriven", "refused", "left")} == {
        "redriven": 2, "refused": 1, "left": 0}
    assert [one["state"] for one in letters(daybook, view)] == ["redriven", "new", "redriven"]
    apply(daybook, view)
    assert stocked(database, view) == 10
    no_differences(daybook, view)


def test_a_flood_pauses_its_view_only(daybook, database, services, make_view, producer):
    flooded = make_view()
    # The other one of the same process reads other events of the same topic: to it nothing is broken.
    calm = make_view(columns=flooded.definition["columns"][:1],
                     sources=[{"topic": flooded.topic, "event": "calm", "key": {"facility_id": "/data/facility_id", "date": "/time"},
                               "add": {"total_stock": "/data/quantity"}}])
    assert calm.topic == flooded.topic
    create_topic(services, flooded.topic)
    limit = ("--flood-records", 20, "--flood-share", 0.5)
    worker = daybook.start("worker", "--view", flooded.file, "--view", calm.file, *limit)
    for number in range(11):
        send(producer, flooded, stock(number, "many"))
    for number in range(100, 105):
        send(producer, flooded, stock(number, 1))
        send(producer, flooded, stock(number, 1, type="calm"))
    producer.flush()
    daybook.wait_until_applied(calm, {f"{flooded.topic}/0": 21})
    assert stocked(database, calm) == 5

    said = f"{flooded.name}: paused: 11 of the last 20 events can't be applied"
    wait_until(lambda: said in worker.output(), "the worker says that the view is paused")
    assert database.query("SELECT paused FROM daybook.generation WHERE view = %s", flooded.name)[0][0].startswith("11 of the last 20")
    # It may have gone on a few records: they are decoded in groups of 16.
    paused_at = database.positions(flooded.name)
    assert 11 <= paused_at[f"{flooded.topic}/0"] <= 16
    assert f"`daybook dead-letters list {flooded.name}`" in worker.output()
    # The others go on meanwhile.
    send(producer, flooded, stock(105, 1, type="calm"))
    producer.flush()
    daybook.wait_until_applied(calm, {f"{flooded.topic}/0": 22})
    assert database.positions(flooded.name) == paused_at

    daybook.run("dead-letters", "discard", flooded.name, "--reason", "a broken release", "--yes")
    daybook.run("views", "resume", flooded.name)
    daybook.wait_until_applied(flooded, {f"{flooded.topic}/0": 22})
    assert stocked(database, flooded) == 5
    assert worker.output().count("paused: ") == 1
    worker.send(signal.SIGTERM)
    assert worker.popen.wait(10) == 0
    for view in (flooded, calm):
        no_differences(daybook, view)
