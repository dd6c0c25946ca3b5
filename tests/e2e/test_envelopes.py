"""Views of topics that are not CloudEvents: Debezium's change events and plain JSON through the real worker and verify;
and what a changed definition may do to a view (`views diff`, `views apply`, the worker's refusal)."""

import json
import uuid

from confluent_kafka.admin import AdminClient, NewTopic
from conftest import apply_view

LOTS = {
    "view": "shop_lots", "kind": "summary",
    "key": [{"name": "shop", "type": "text"}, {"name": "day", "type": "date", "time_zone": "Africa/Nairobi"}],
    "columns": [{"name": "units", "type": "int", "value": "sum"}, {"name": "lots", "type": "bigint", "value": "count"}],
    "sources": [
        {"topic": "", "envelope": "debezium", "event": event,
         "key": {"shop": f"/{side}/shop", "day": {"member": f"/{side}/created_at", "unit": "us"}},
         what: {"units": f"/{side}/units", "lots": 1}}
        for event, what, side in [(["c", "r"], "add", "after"), ("u", "subtract", "before"), ("u", "add", "after"),
                                  ("d", "subtract", "before")]
    ],
}
READINGS = {
    "view": "readings", "kind": "summary",
    "key": [{"name": "meter", "type": "int"}, {"name": "day", "type": "date", "time_zone": "UTC"}],
    "columns": [{"name": "used", "type": "bigint", "value": "sum"}],
    "sources": [{"topic": "", "envelope": {"type": {"is": "reading"}, "time": {"header": "at", "unit": "ms"}},
                 "event": "reading", "key": {"meter": "/meter", "day": {"envelope": "time"}}, "add": {"used": "/kwh"}}],
}
MARCH_7 = 1772900000000  # 2026-03-07T16:13:20Z


def topic_of(services, partitions=2):
    topic = "test." + uuid.uuid4().hex[:12]
    admin = AdminClient({"bootstrap.servers": services.brokers})
    admin.create_topics([NewTopic(topic, partitions, 1)])[topic].result()
    return topic


def make(daybook, tmp_path, services, definition):
    daybook.run("migrate")
    return apply_view(daybook, tmp_path, topic_of(services), json.loads(json.dumps(definition)))


class Table:
    """A table of lots as Debezium's PostgreSQL connector tells of it, and what a summary of it has to be."""

    def __init__(self, producer, topic):
        self.producer, self.topic, self.lsn, self.rows = producer, topic, 24_000_000, {}

    def write(self, op, id, before, after, schemas, repeated):
        self.lsn += 120
        source = {"version": "2.5.4.Final", "connector": "postgresql", "name": "shop", "ts_ms": MARCH_7, "snapshot": "false",
                  "db": "shop", "sequence": f'["{self.lsn - 60}","{self.lsn}"]', "schema": "public", "table": "lots",
                  "txId": self.lsn // 1000, "lsn": self.lsn, "xmin": None}
        for copy in range(1 + repeated):
            key, value = {"id": id}, {"before": before, "after": after, "source": source, "op": op, "ts_ms": MARCH_7 + copy,
                                      "transaction": None}
            if schemas:
                key, value = {"schema": {"type": "struct"}, "payload": key}, {"schema": {"type": "struct"}, "payload": value}
            self.producer.produce(self.topic, json.dumps(value), key=json.dumps(key), partition=id % 2)

    def put(self, id, shop, units, op=None, schemas=False, repeated=False):
        before = self.rows.get(id)
        row = {"id": id, "shop": shop, "units": units, "created_at": (MARCH_7 + id * 3_600_000) * 1000}
        self.write(op or ("u" if before else "c"), id, before, row, schemas, repeated)
        self.rows[id] = row

    def delete(self, id, schemas=False):
        self.write("d", id, self.rows.pop(id), None, schemas, False)
        key = {"schema": {"type": "struct"}, "payload": {"id": id}} if schemas else {"id": id}
        self.producer.produce(self.topic, None, key=json.dumps(key), partition=id % 2)

    def summary(self, days):
        found = {}
        for row in self.rows.values():
            one = found.setdefault((row["shop"], days[row["id"]]), [0, 0])
            one[0] += row["units"]
            one[1] += 1
        return found


def test_change_events_keep_a_summary_equal_to_the_table(daybook, database, services, tmp_path, producer):
    view = make(daybook, tmp_path, services, LOTS)
    table = Table(producer, view.topic)
    # Created 1 hour apart from 19:13 Nairobi time on: the fifth is of the next day.
    days = {id: "2026-03-07" if id < 5 else "2026-03-08" for id in range(1, 13)}
    for id in range(1, 13):
        table.put(id, f"shop{id % 3}", 10 * id, op="r" if id < 4 else None, schemas=id % 2 == 0, repeated=id % 5 == 0)
    for id in range(2, 10):
        table.put(id, f"shop{id % 2}", 10 * id + 1, schemas=id % 4 == 0, repeated=id % 3 == 0)
    for id in (3, 6, 7):
        table.delete(id, schemas=id == 6)
    producer.produce(view.topic, '{"schema": null, "payload": null}', key='{"id": 99}', partition=1)
    broken = {"op": "u", "before": None, "after": table.rows[1], "source": {"lsn": 1}}
    producer.produce(view.topic, json.dumps(broken), key='{"id": 98}', partition=0)
    producer.flush()
    daybook.run("worker", "--view", view.file, "--once")

    stored = {(shop, str(day)): [units, lots] for shop, day, units, lots in
              database.query(f"SELECT shop, day, units, lots FROM {view.name} WHERE lots > 0")}
    assert stored == table.summary(days)
    assert database.query(f"SELECT count(*) FROM {view.name} WHERE lots < 0 OR lots = 0 AND units <> 0") == [(0,)]
    assert "1 dead letter, 0 differences" in daybook.verify(view).stdout
    shown = daybook.run("dead-letters", "list", view.name).stdout
    assert "member /before/shop is nothing" in shown and "REPLICA IDENTITY FULL" in shown
    # Corrected, it is applied once, by this view only.
    correction = f'/before={json.dumps(table.rows[1])}'
    daybook.run("dead-letters", "redrive", view.name, "--yes", "--set", correction)
    daybook.run("worker", "--view", view.file, "--once")
    assert "0 differences" in daybook.verify(view).stdout
    assert database.query(f"SELECT sum(lots) FROM {view.name}") == [(9,)]


def test_plain_json_without_ids_counts_each_record_and_a_redriven_one_once(daybook, database, services, tmp_path, producer):
    view = make(daybook, tmp_path, services, READINGS)
    for number in range(20):
        producer.produce(view.topic, json.dumps({"meter": number % 2, "kwh": 1}), partition=number % 2,
                         headers=[("at", str(MARCH_7))])
    producer.produce(view.topic, json.dumps({"meter": 7, "kwh": "many"}), partition=1, headers=[("at", str(MARCH_7))])
    producer.produce(view.topic, json.dumps({"meter": 7, "kwh": 1}), partition=1, headers=[("at", "noon")])
    producer.produce(view.topic, b"[]", partition=0, headers=[("at", str(MARCH_7))])
    producer.flush()
    daybook.run("worker", "--view", view.file, "--once")
    rows = f"SELECT meter, day::text, used FROM {view.name} ORDER BY meter"
    assert database.query(rows) == [(0, "2026-03-07", 10), (1, "2026-03-07", 10)]
    assert "3 dead letters, 0 differences" in daybook.verify(view).stdout

    ids = {one["code"] + one["detail"][:10]: one["id"] for one in
           json.loads(daybook.run("dead-letters", "show", view.name, "--json").stdout)["dead_letters"]}
    many = ids["membermember /kw"]
    redrive = ["dead-letters", "redrive", view.name, "--yes", "--set", "/kwh=5", "--id", many]
    daybook.run(*redrive)
    # As after a crash between publishing and noting it: the copy is published a second time.
    database.query("UPDATE daybook.dead_letter SET state = 'new' WHERE id = %s", many)
    daybook.run(*redrive)
    daybook.run("worker", "--view", view.file, "--once")
    assert database.query(rows)[2] == (7, "2026-03-07", 5)
    assert "0 differences" in daybook.verify(view).stdout
    refused = daybook.run("dead-letters", "redrive", view.name, "--yes", "--code", "envelope", status=1)
    assert "it is no event: the record is no JSON object" in refused.stderr


def test_a_changed_definition(daybook, database, services, tmp_path, producer):
    view = make(daybook, tmp_path, services, READINGS)

    def changed(**members):
        view.file.write_text(json.dumps(view.definition | members))

    def diff(status):
        (entry,) = json.loads(daybook.run("views", "diff", "--json", view.file, status=status).stdout)
        return entry["meaning"], {one["pointer"]: one["in_place"] for one in entry["changes"]}

    assert diff(0) == ("same", {})
    changed(view="never_applied")
    assert diff(0) == ("new", {})
    assert ": new: `daybook views apply`" in daybook.run("views", "diff", view.file).stdout

    changed(deduplication_window_events=5000, description="Another")
    assert diff(0) == ("compatible in place", {"/deduplication_window_events": True, "/description": True})
    refused = daybook.run("worker", "--view", view.file, "--once", status=4)
    assert "in nothing that its rows depend on: run `daybook views apply`" in refused.stderr
    assert daybook.run("views", "apply", view.file).stdout == f"changed in place: view {view.name}\n"
    assert diff(0) == ("same", {})
    producer.produce(view.topic, json.dumps({"meter": 1, "kwh": 1}), headers=[("at", str(MARCH_7))])
    producer.flush()
    daybook.run("worker", "--view", view.file, "--once")
    assert "1 row, 1 event" in daybook.verify(view).stdout

    changed(max_future_seconds=60, description="Another", reader={"limit": 5})
    assert diff(1) == ("needs a replay", {"/deduplication_window_events": False, "/max_future_seconds": False, "/reader": True})
    printed = daybook.run("views", "diff", view.file, status=1).stdout
    assert f"view {view.name}: needs a replay: give it a new view name" in printed
    assert "  /max_future_seconds: new: 60 (needs a replay)\n" in printed
    told = "/deduplication_window_events: is 20000000, was 5000 (and 1 more: `daybook views diff` shows them)"
    for command in (["views", "apply", view.file], ["worker", "--view", view.file, "--once"]):
        refused = daybook.run(*command, status=4).stderr
        assert told in refused and "give the changed definition a new view name and run `daybook views apply`" in refused
    assert "0 differences" in daybook.verify(view).stdout
    changed(kind="other")
    daybook.run("views", "diff", view.file, status=2)
