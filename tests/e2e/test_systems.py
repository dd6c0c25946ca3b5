"""The systems under schemas/: their simulated traffic, with copies, late and broken messages, through real Kafka, worker and
PostgreSQL. Each view's table and what the reader answers equal a computation from the published messages that has nothing
of Daybook's (tests/systems_reference.py), and the lists that a system is there for are read by an index."""

import gzip
import json
import uuid
from collections import Counter
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from types import SimpleNamespace
from urllib.parse import urlencode

import confluent_kafka
import pytest
from conftest import ROOT
from harness import new_database, new_daybook, wait_until
from readers import Reader
from systems_reference import VIEWS, Log, Reading

TRAFFIC = {
    "live-validation": ["--entities", 10, "--start", "2026-03-02", "--days", 2],
    "schools": ["--entities", 2000, "--start", "2025-12-01", "--days", 145],
    "user-context": ["--entities", 400, "--start", "2026-03-02", "--days", 60],
    # Clocks change in this month in America on the 8th, in Europe on the 29th.
    "labor-daily": ["--entities", 150, "--start", "2026-03-01", "--days", 31],
}
EVENTS = 10000
FAULTS = ["--duplicates", 0.04, "--late", 0.04, "--poison", 0.02, "--seed", 5]

# The lists that issue 6 names: view, the columns of the query, the columns of the order (the key behind it).
LISTS = [
    ("live-validation", "log_entries", ["app_id"], "logged_at", True),
    ("live-validation", "log_entries", ["event_name"], "logged_at", True),
    ("schools", "cases", ["assignee_id", "status"], "opened_at", True),
    ("schools", "alerts", ["assignee_id", "status"], "raised_at", True),
    ("schools", "students", ["classroom_id", "active"], "name", False),
    ("schools", "audit_log", ["user_id"], "at", True),
]


def definitions(system):
    return {file.stem: json.loads(file.read_text()) for file in sorted((ROOT / "schemas" / system / "views").glob("*.json"))}


class Stage:
    """One system's traffic on topics of its own, its views in a database of their own, and a reader."""

    def __init__(self, services, daybook, system, folder):
        self.daybook, self.database, self.system = daybook, daybook.database, system
        prefix = f"test.{uuid.uuid4().hex[:12]}."
        arguments = ["simulate", system, "--events", EVENTS, "--rate", 0, *FAULTS, *TRAFFIC[system]]
        printed = daybook.run(*arguments, "--topic-prefix", prefix, "--create-topics", 3, "--json").stdout
        self.positions = json.loads(printed)["positions"]
        daybook.run(*arguments, "--out", folder / "traffic.ndjson")
        self.records = [(topic.removeprefix(prefix), *rest) for topic, *rest in published(services, self.positions)]
        # What the same seed writes to a file is what went to Kafka, byte for byte.
        lines = (folder / "traffic.ndjson").read_bytes().split(b"\n")[:-1]
        assert Counter(lines) == Counter(value for *_, value in self.records)
        self.log = Log(self.records)
        assert sum(self.log.broken.values()) > EVENTS * 0.008 and len({value for *_, value in self.records}) < EVENTS * 0.98
        daybook.run("migrate")
        self.views = {}
        for name, definition in definitions(system).items():
            del definition["$schema"]
            # Kafka's group is named after the view: it has to differ between runs that share a broker.
            definition["view"] = f"{name}_{prefix.split('.')[1]}"
            for source in definition["sources"]:
                source["topic"] = prefix + source["topic"]
            file = folder / f"{name}.json"
            file.write_text(json.dumps(definition))
            daybook.run("views", "apply", file)
            daybook.run("worker", "--view", file, "--once")
            self.views[name] = SimpleNamespace(name=definition["view"], definition=definition)
        self.database.query("ANALYZE")
        self.reader = Reader(daybook)
        self.reader.wait_until_ready()

    def table(self, name):
        """The rows as dicts; but for updated_at."""
        view = self.views[name]
        columns = [column["name"] for column in view.definition["key"] + view.definition["columns"]]
        found = self.database.query(f"SELECT {', '.join(columns)} FROM {view.name}")
        return [dict(zip(columns, row)) for row in found]

    def key(self, name):
        return [column["name"] for column in self.views[name].definition["key"]]

    def read_list(self, name, **query):
        """All rows of a list, by its links; without updated_at."""
        target = f"/v1/views/{self.views[name].name}?" + urlencode(query | {"limit": 100})
        rows = []
        while target:
            status, headers, body = self.reader.get(target)
            assert status == 200, (target, body)
            page = json.loads(body, parse_float=Decimal)
            assert len(page["rows"]) == 100 or page["next"] is None
            rows += page["rows"]
            target = headers.get("link", "")[1:].partition(">")[0]
        for row in rows:
            del row["updated_at"]
        return rows


def published(services, positions):
    """All records of these topics: (topic, partition, offset, value)."""
    consumer = confluent_kafka.Consumer({"bootstrap.servers": services.brokers, "group.id": uuid.uuid4().hex,
                                         "enable.auto.commit": False})
    try:
        found = {}
        ends = {(place.rpartition("/")[0], int(place.rpartition("/")[2])): end for place, end in positions.items()}
        consumer.assign([confluent_kafka.TopicPartition(*place, 0) for place in ends])

        def all_read():
            for message in consumer.consume(1000, 1.0):
                assert message.error() is None, message.error()
                found[message.topic(), message.partition(), message.offset()] = message.value() or b""
            return len(found) == sum(ends.values())

        wait_until(all_read, "all records were read", 60)
        return [(*place, value) for place, value in sorted(found.items())]
    finally:
        consumer.close()


@pytest.fixture(scope="module")
def stage_of(services, tmp_path_factory):
    """Makes each system's stage when it is first asked for."""
    from contextlib import ExitStack

    stages = {}
    with ExitStack() as stack:
        def stage(system):
            if system not in stages:
                folder = tmp_path_factory.mktemp(system)
                database = stack.enter_context(new_database(services))
                daybook = stack.enter_context(new_daybook(services, database, folder))
                stages[system] = Stage(services, daybook, system, folder)
            return stages[system]

        yield stage


EVERY_VIEW = [(system, view) for system, views in VIEWS.items() for view in views]


def shown(value):
    """As the reader writes it."""
    if isinstance(value, datetime):
        return value.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return value.isoformat() if isinstance(value, date) else value


def all_shown(row):
    # Hours and minutes are written without a fraction.
    return {column: shown(value).replace(".000000Z", "Z") if column in ("hour", "minute") else shown(value)
            for column, value in row.items()}


def test_every_view_has_a_reference_and_reads_events_that_have_a_schema():
    """The definitions and event schemas of a system fit: topics, types and members are those that the schemas declare."""
    for system, views in VIEWS.items():
        schemas = [json.loads(file.read_text()) for file in (ROOT / "schemas" / system / "events").glob("*.json")]
        declared = {schema["x-daybook"]["type"]: schema for schema in schemas}
        found = definitions(system)
        assert set(found) == set(views)
        read = set()
        for definition in found.values():
            for source in definition["sources"]:
                schema = declared[source["event"]]
                read.add(source["event"])
                assert schema["x-daybook"]["topic"] == source["topic"]
                for pointer in pointers(source):
                    part = schema
                    for step in pointer.split("/")[1:]:
                        assert step in part["properties"], (definition["view"], source["event"], pointer)
                        part = part["properties"][step]
        assert read == set(declared)


def pointers(source):
    for name in ("key", "set", "take", "add", "subtract"):
        yield from (value for value in source.get(name, {}).values() if isinstance(value, str))
    yield from (condition["member"] for condition in source.get("where", []))
    if "version" in source:
        yield source["version"]


@pytest.mark.parametrize("system,name", EVERY_VIEW)
def test_tables_equal_the_reference(stage_of, system, name):
    stage = stage_of(system)
    reading = Reading(stage.log)
    expected = list(VIEWS[system][name](reading))
    columns = {column["name"] for column in stage.views[name].definition["key"] + stage.views[name].definition["columns"]}
    key = stage.key(name)
    by_key = {tuple(row[column] for column in key): {column: row[column] for column in row if column in columns} for row in expected}
    table = {tuple(row[column] for column in key): row for row in stage.table(name)}
    assert len(by_key) == len(expected) > 5 and set(table) == set(by_key)
    wrong = [(place, column, table[place][column], value) for place, row in by_key.items() for column, value in row.items()
             if table[place][column] != value]
    assert all(set(row) == columns for row in by_key.values()) and not wrong, (len(wrong), wrong[:10])
    verified = json.loads(stage.daybook.run("verify", stage.views[name].name, "--json").stdout)
    print(verified)
    assert verified["differences"] == 0 and verified["rows"] == len(expected)
    assert verified["dead_letters"] == reading.dead_letters()


@pytest.mark.parametrize("system,name", EVERY_VIEW)
def test_the_reader_answers_with_the_rows_of_the_table(stage_of, system, name):
    stage = stage_of(system)
    key = stage.key(name)
    table = {tuple(row[column] for column in key): row for row in map(all_shown, stage.table(name))}
    rows = stage.read_list(name)
    assert len(rows) == len(table)
    assert {tuple(row[column] for column in key): row for row in rows} == table
    for place in list(table)[:: max(1, len(table) // 25)]:
        status, _, body = stage.reader.row(stage.views[name].name, *place)
        assert status == 200
        body = json.loads(json.dumps(body), parse_float=Decimal)
        assert {column: body[column] for column in table[place]} == table[place]
    print(f"{name}: {len(rows)} rows")


@pytest.mark.parametrize("system,name,columns,order,descending", LISTS)
def test_lists_are_read_by_an_index(stage_of, system, name, columns, order, descending):
    stage = stage_of(system)
    table = stage.table(name)
    counts = Counter(tuple(row[column] for column in columns) for row in table)
    some = sorted(counts, key=lambda values: (-counts[values], str(values)))[:: max(1, len(counts) // 6)][:6]
    places = [order] + [column for column in stage.key(name) if column != order]
    for values in some:
        query = dict(zip(columns, values))
        wanted = [row for row in table if all(row[column] == value for column, value in query.items())]
        wanted.sort(key=lambda row: [row[c].encode() if isinstance(row[c], str) else row[c] for c in places], reverse=descending)
        rows = stage.read_list(name, **{column: json.dumps(value) if isinstance(value, bool) else value for column, value in query.items()})
        assert rows == list(map(all_shown, wanted))
    # As the reader asks (reader/loader.cpp, sql/templates/reader_list.sql).
    view = stage.views[name]
    types = dict(stage.database.query("SELECT column_name, udt_name FROM information_schema.columns WHERE table_name = %s", view.name))
    conditions = " AND ".join(f"t.{column} = %s::{types[column]}" for column in columns)
    ordered = ", ".join(f"t.{column}{' DESC' if descending else ''}" for column in places)
    statement = f"EXPLAIN (FORMAT JSON) SELECT * FROM {view.name} t WHERE {conditions} ORDER BY {ordered} LIMIT 101"
    plan = list(plan_nodes(stage.database.query(statement, *some[0])[0][0][0]["Plan"]))
    print(json.dumps(plan))
    kinds = [node["Node Type"] for node in plan]
    assert any("Index" in kind for kind in kinds) and "Seq Scan" not in kinds
    # The index gives the order, too: a page costs the same however long the list is. (Of a short one PostgreSQL may rather
    # sort all rows; so it is asked what it can do without.)
    plan = plan_nodes(stage.database.query("SET enable_sort = off; SET enable_incremental_sort = off; " + statement, *some[0])[0][0][0]["Plan"])
    assert "Sort" not in [node["Node Type"] for node in plan]


def plan_nodes(node):
    yield node
    for inner in node.get("Plans", []):
        yield from plan_nodes(inner)


def test_a_list_of_the_last_days_reads_only_their_partitions(stage_of):
    """Of four months of audit entries a list of the newest 30 days touches one or two."""
    stage = stage_of("schools")
    view = stage.views["audit_log"]
    newest = max(row["at"] for row in stage.table("audit_log"))
    months = stage.database.query("SELECT count(*) FROM pg_inherits WHERE inhparent = %s::regclass", view.name)[0][0]
    plan = stage.database.query(
        f"EXPLAIN (FORMAT JSON) SELECT * FROM {view.name} t WHERE t.at >= %s::timestamptz - interval '30 days' ORDER BY t.at DESC LIMIT 101",
        newest)[0][0]
    touched = {node["Relation Name"] for node in plan_nodes(plan[0]["Plan"]) if "Relation Name" in node}
    print(months, touched)
    assert months >= 4 and 1 <= len(touched) <= 2


def test_the_audit_is_kept_90_days(stage_of, tmp_path):
    """The last one to ask the stage of schools: what is older goes to files, the rest is as it was."""
    stage = stage_of("schools")
    view = stage.views["audit_log"]
    before = stage.table("audit_log")
    newest = max(row["at"] for row in before)
    printed = stage.daybook.run("archive", view.name, "--to", tmp_path, "--now", newest.isoformat(), "--json").stdout
    archived = json.loads(printed)["archived"]
    after = stage.table("audit_log")
    bound = (newest - timedelta(days=90)).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    key = lambda row: row["entry_id"]
    assert archived and sorted(after, key=key) == sorted((row for row in before if row["at"] >= bound), key=key) and 0 < len(after) < len(before)
    lines = sum(len(gzip.decompress(file.read_bytes()).splitlines()) - 1 for file in tmp_path.glob("*.csv.gz"))
    assert lines == len(before) - len(after)
    assert json.loads(stage.daybook.run("verify", view.name, "--json").stdout)["differences"] == 0
    wait_until(lambda: len(stage.read_list("audit_log")) == len(after), "the reader forgot what was archived")
