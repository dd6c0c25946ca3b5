"""`latest` and `log` views as users run them: events through Kafka and the worker, rows beside a plain computation, verify,
and what the reader answers; `daybook archive`."""

import csv
import gzip
import io
import json
import random
import uuid
from datetime import datetime, timedelta, timezone
from urllib.parse import urlsplit

import confluent_kafka
import pytest
from confluent_kafka.admin import AdminClient
from conftest import wait_until
from readers import EventStream, Reader

CASES = {
    "view": "cases",
    "kind": "latest",
    "key": [{"name": "case_id", "type": "uuid"}],
    "columns": [
        {"name": "owner", "type": "text"}, {"name": "status", "type": "text"}, {"name": "due", "type": "timestamp"},
        {"name": "cost", "type": "decimal", "scale": 2}, {"name": "open", "type": "boolean"},
        {"name": "labels", "type": "json"}, {"name": "risk", "type": "int"},
    ],
    "sources": [
        {"topic": "t", "event": "case", "key": {"case_id": "/data/id"}, "version": "/time",
         "set": {"owner": "/data/owner", "status": "/data/status", "due": "/data/due", "cost": "/data/cost",
                 "open": "/data/open", "labels": "/data/labels"}},
        {"topic": "t", "event": "risk", "key": {"case_id": "/data/id"}, "version": "/time", "set": {"risk": "/data/risk"}},
        {"topic": "t", "event": "closed", "key": {"case_id": "/data/id"}, "version": "/time", "delete": True},
    ],
    "reader": {"filters": ["owner", "open", "cost"], "order": {"by": ["due"], "descending": True}, "limit": 1000},
}
AUDIT = {
    "view": "audit",
    "kind": "log",
    "key": [{"name": "user_id", "type": "int"}, {"name": "at", "type": "timestamp"}, {"name": "id", "type": "text"}],
    "columns": [{"name": "action", "type": "text", "required": True}, {"name": "detail", "type": "json"}],
    "partition": "day",
    "keep_days": 30,
    "sources": [{"topic": "t", "event": "done", "key": {"user_id": "/data/user", "at": "/time", "id": "/id"},
                 "set": {"action": "/data/action", "detail": "/data/detail"}}],
    "reader": {"filters": ["action"]},
}
NAMES = [str(uuid.UUID(int=n)) for n in range(40)]


@pytest.fixture
def user_of(database):
    """Makes database users who have one of Daybook's roles only; what the environment of a command then is."""
    made = []

    def make(role):
        made.append(f"{role}_{uuid.uuid4().hex[:8]}")
        database.query(f"CREATE ROLE {made[-1]} LOGIN; GRANT {role} TO {made[-1]}")
        parts = urlsplit(database.uri)
        return {"DAYBOOK_DATABASE": parts._replace(netloc=f"{made[-1]}@{parts.hostname}:{parts.port}").geturl()}

    yield make
    for name in made:
        database.query(f"DROP ROLE {name}")


def event(number, kind, moment, **data):
    return {"specversion": "1.0", "id": str(number), "source": "test", "type": kind,
            "time": moment.isoformat().replace("+00:00", "Z"), "data": data}


def send(services, view, events, seed, partitions=3):
    """Publishes to random partitions, each event once or twice and what is text already once; the positions after it."""
    chance = random.Random(seed)
    admin = AdminClient({"bootstrap.servers": services.brokers})
    if view.topic not in admin.list_topics().topics:
        admin.create_topics([confluent_kafka.admin.NewTopic(view.topic, partitions, 1)])[view.topic].result()
    producer = confluent_kafka.Producer({"bootstrap.servers": services.brokers, "acks": "all"})
    ends = {}

    def delivered(error, message):
        assert error is None, error
        place = f"{message.topic()}/{message.partition()}"
        ends[place] = max(ends.get(place, 0), message.offset() + 1)

    for one in events:
        # Both copies to one partition, as a producer that tries again does.
        partition = chance.randrange(partitions)
        for _ in range(1 if isinstance(one, str) else 1 + (chance.random() < 0.2)):
            producer.produce(view.topic, one if isinstance(one, str) else json.dumps(one), partition=partition,
                             on_delivery=delivered)
    producer.flush()
    return ends


def newest(events):
    """What the rows of `cases` have to be: the newest of each kind by time, which differs from event to event."""
    parts = {}
    for one in sorted(events, key=lambda e: datetime.fromisoformat(e["time"].replace("Z", "+00:00"))):
        row = parts.setdefault(one["data"]["id"], {})
        if one["type"] == "closed":
            row.clear()
        else:
            row[one["type"]] = one["data"]
    rows = {}
    for name, row in parts.items():
        if row:
            case, risk = row.get("case", {}), row.get("risk", {})
            rows[name] = {column: case.get(column) for column in ("owner", "status", "due", "cost", "open", "labels")}
            rows[name]["risk"] = risk.get("risk")
    return rows


def case_events(chance, count, start, number=0):
    events = []
    for i in range(count):
        moment = start + timedelta(milliseconds=250 * i)
        name = chance.choice(NAMES)
        kind = chance.choice(["case"] * 5 + ["risk"] * 2 + ["closed"])
        data = {"id": name.upper()}
        if kind == "case":
            data |= {"owner": chance.choice(["ann", "bob", "größe \"x\"", None]), "status": chance.choice(["new", "done"]),
                     "open": chance.choice([True, False, None]), "labels": chance.choice([None, ["a", {"b": 1}], {"x": "y"}]),
                     "cost": chance.choice([None, 12.5, "0.10", 99])}
            if chance.random() < 0.7:
                data["due"] = f"2026-12-{chance.randrange(1, 29):02}T10:00:00.25+01:00"
        elif kind == "risk":
            data["risk"] = chance.randrange(100)
        events.append(event(number + i, kind, moment, **data))
    chance.shuffle(events)
    return events


def answered(row):
    """A row of the reader in the words of the events."""
    return {name: value for name, value in row.items() if name not in ("case_id", "updated_at")}


def expected_answer(row):
    values = dict(row)
    if values["due"] is not None:
        values["due"] = values["due"].replace("T10:00:00.25+01:00", "T09:00:00.250000Z")
    if values["cost"] is not None:
        values["cost"] = float(values["cost"])
    return values


def all_pages(reader, path):
    rows = []
    while path:
        status, headers, body = reader.get(path)
        assert status == 200, body
        rows += json.loads(body)["rows"]
        link = headers.get("link", "")
        path = link[1 : link.index(">")] if link else None
    return rows


def test_latest_view(services, daybook, database, make_view, user_of):
    seed = random.randrange(1 << 30)
    print("seed", seed)
    chance = random.Random(seed)
    view = make_view(CASES)
    start = datetime(2026, 11, 1, tzinfo=timezone.utc)
    events = case_events(chance, 600, start)
    refused = [event("x1", "case", start, id=NAMES[0], cost=1.001), event("x2", "risk", start, id=NAMES[0], risk=1 << 40)]
    ends = send(services, view, events + [json.dumps(one) for one in refused], seed)
    writer = user_of("daybook_write")
    workers = [daybook.start_worker(view, env=writer), daybook.start_worker(view, env=writer)]
    reader = Reader(daybook)
    reader.wait_until_ready()
    daybook.wait_until_applied(view, ends)
    assert daybook.verify(view).stdout.endswith(" 2 dead letters, 0 differences\n")

    def check(events):
        rows = newest([one | {"data": one["data"] | {"id": one["data"]["id"].lower()}} for one in events])
        expected = {name: expected_answer(row) for name, row in rows.items()}
        found = {row["case_id"]: answered(row) for row in all_pages(reader, f"/v1/views/{view.name}?limit=7")}
        assert found == expected
        for name in NAMES:
            status, _, body = reader.row(view.name, name)
            assert status == (200 if name in expected else 404)
            if status == 200:
                assert answered(body) == expected[name]
        return expected

    after = "&".join(f"after={place}@{offset}" for place, offset in ends.items())
    assert reader.get(f"/v1/views/{view.name}?{after}&wait=5000")[0] == 200
    rows = check(events)
    # The newest first; those without a time are beyond all times.
    order = [row["due"] for row in all_pages(reader, f"/v1/views/{view.name}?limit=3")]
    assert order == sorted(order, key=lambda due: due or "9999", reverse=True) and None in order
    for query, holds in [("owner=ann", lambda row: row["owner"] == "ann"), ("open=false", lambda row: row["open"] is False),
                         ("cost.from=12.50&cost.below=99", lambda row: row["cost"] == 12.5)]:
        found = {row["case_id"] for row in all_pages(reader, f"/v1/views/{view.name}?limit=4&{query}")}
        assert found == {name for name, row in rows.items() if holds(row)}, query
    assert reader.get(f"/v1/views/{view.name}?cost=1.001")[0] == 400
    assert reader.get(f"/v1/views/{view.name}?open=maybe")[0] == 400

    # A row that goes: the stream says so, its answer is a 404, and a version from before does not bring it back.
    gone = next(name for name, row in rows.items() if row["owner"] is not None)
    stream = EventStream(reader, f"/v1/views/{view.name}/changes?case_id={gone}")
    stream.next(lambda told: told.get("event") == "reset")
    later = start + timedelta(days=1)
    more = [event("y1", "closed", later, id=gone), event("y2", "case", start - timedelta(days=1), id=gone, owner="late")]
    ends = send(services, view, more, seed)
    told = stream.next(lambda told: "data" in told)
    assert told["event"] == "gone" and json.loads(told["data"]) == {"case_id": gone}
    daybook.wait_until_applied(view, ends)
    after = "&".join(f"after={place}@{offset}" for place, offset in ends.items())
    assert reader.get(f"/v1/views/{view.name}/{gone}?{after}&wait=5000")[0] == 404
    events += more
    check(events)
    status, _, body = reader.get("/openapi.json")
    schema = json.loads(body)["components"]["schemas"][view.name]["properties"]
    assert schema["cost"] == {"type": ["number", "null"]} and schema["due"]["format"] == "date-time"
    assert daybook.verify(view).stdout.endswith(" 0 differences\n")
    # What verify has to find.
    database.query(f"UPDATE {view.name} SET labels = '[1.0]' WHERE case_id = (SELECT min(case_id::text)::uuid FROM {view.name})")
    assert "labels table [1e0], log " in daybook.verify(view, status=1).stdout
    for worker in workers:
        assert worker.terminate() == 0


def test_log_view_and_archive(services, daybook, database, make_view, user_of, tmp_path):
    seed = random.randrange(1 << 30)
    print("seed", seed)
    chance = random.Random(seed)
    view = make_view(AUDIT)
    first = datetime(2026, 9, 28, tzinfo=timezone.utc)
    events = []
    for i in range(400):
        moment = first + timedelta(hours=chance.randrange(24 * 8), microseconds=chance.randrange(1_000_000))
        events.append(event(i, "done", moment, user=chance.randrange(4), action=chance.choice(["read", "wrote", "a\nb,\"c\""]),
                            detail=chance.choice([None, {"n": 0.10}])))
    ends = send(services, view, events + [json.dumps(event("x", "done", first, user=1))], seed)
    worker = daybook.start_worker(view, env=user_of("daybook_write"))
    daybook.wait_until_applied(view, ends)
    assert daybook.verify(view).stdout.endswith(" 1 dead letter, 0 differences\n")

    def key(one):
        moment = datetime.fromisoformat(one["time"].replace("Z", "+00:00")).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        return moment, one["data"]["user"], one["id"]

    reader = Reader(daybook)
    reader.wait_until_ready()
    rows = all_pages(reader, f"/v1/views/{view.name}?limit=9")
    assert [(row["at"], row["user_id"], row["id"]) for row in rows] == sorted(map(key, events), reverse=True)
    of_user = all_pages(reader, f"/v1/views/{view.name}?user_id=2&at.from=2026-10-01T00:00:00Z&limit=5")
    assert [(row["at"], row["user_id"], row["id"]) for row in of_user] == sorted(
        (place for place in map(key, events) if place[1] == 2 and place[0] >= "2026-10-01"), reverse=True)
    moment, user, name = key(events[0])
    status, _, row = reader.row(view.name, user, moment, name)
    assert status == 200 and row["action"] == events[0]["data"]["action"] and row["detail"] == events[0]["data"]["detail"]

    # Thirty days before 1 November is 2 October: what is whole before that goes.
    arguments = ["archive", view.name, "--to", tmp_path, "--now", "2026-11-01T12:00:00Z"]
    planned = json.loads(daybook.run(*arguments, "--dry-run", "--json").stdout)
    assert not list(tmp_path.glob("*.gz"))
    done = json.loads(daybook.run(*arguments, "--json").stdout)
    assert [part["from"] for part in done["archived"]] == [part["from"] for part in planned["archived"]]
    assert [part["from"][:10] for part in done["archived"]] == ["2026-09-28", "2026-09-29", "2026-09-30", "2026-10-01"]
    in_files = []
    for part in done["archived"]:
        text = gzip.open(part["file"], "rt", newline="").read()
        lines = list(csv.DictReader(io.StringIO(text)))
        assert len(lines) == part["rows"]
        in_files += [(line["id"], line["action"]) for line in lines]
    old = [one for one in events if key(one)[0] < "2026-10-02"]
    assert sorted(in_files) == sorted((one["id"], one["data"]["action"]) for one in old)
    assert json.loads(daybook.run(*arguments, "--json").stdout)["archived"] == []
    assert database.query(f"SELECT count(*) FROM {view.name}")[0][0] == len(events) - len(old)

    # Readers do not show them any more, late events of that time make no rows, and verify knows.
    left = sorted((key(one) for one in events if one not in old), reverse=True)
    wait_until(lambda: len(all_pages(reader, f"/v1/views/{view.name}?limit=100")) == len(left), "the reader forgot what was archived")
    late = [event("late", "done", first, user=1, action="late"), event("new", "done", first + timedelta(days=40), user=1, action="new")]
    daybook.wait_until_applied(view, send(services, view, late, seed))
    assert database.query(f"SELECT id FROM {view.name} WHERE id IN ('late', 'new')") == [("new",)]
    assert daybook.verify(view).stdout.endswith(" 1 dead letter, 0 differences\n")

    # A run that was interrupted between the two steps is completed by the next one.
    generation = database.query("SELECT id FROM daybook.generation WHERE view = %s", view.name)[0][0]
    database.query("SELECT daybook.detach_partition(%s, '2026-10-02T00:00:00Z')", generation)
    again = json.loads(daybook.run(*arguments, "--json").stdout)
    assert [part["from"][:10] for part in again["archived"]] == ["2026-10-02"]
    assert database.query("SELECT to_regclass('daybook.log_" + str(generation) + "_20261002')") == [(None,)]
    assert worker.terminate() == 0


def test_archive_of_what_is_no_log(daybook, view, tmp_path):
    assert "is no log" in daybook.run("archive", view.name, "--to", tmp_path, status=2).stderr
