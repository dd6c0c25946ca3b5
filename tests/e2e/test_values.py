"""Values that are no whole sums, through Kafka, two workers, PostgreSQL, verify and the reader, beside Python's own count."""

import json
import random
import uuid
from collections import defaultdict
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from urllib.parse import quote

from confluent_kafka.admin import AdminClient, NewTopic
from harness import wait_until
from readers import Reader

DEFINITION = {
    "view": "app_minute",
    "kind": "summary",
    "key": [{"name": "app", "type": "text"}, {"name": "minute", "type": "minute"}],
    "columns": [
        {"name": "requests", "type": "int", "value": "count"},
        {"name": "failed", "type": "int", "value": "count"},
        {"name": "error_rate", "type": "decimal", "scale": 4, "value": "ratio", "of": ["failed", "requests"]},
        {"name": "cost", "type": "decimal", "scale": 6, "value": "sum"},
        {"name": "mean_ms", "type": "decimal", "scale": 3, "value": "avg"},
        {"name": "slowest_ms", "type": "decimal", "scale": 3, "value": "max"},
        {"name": "p95_ms", "type": "decimal", "scale": 3, "value": "quantile", "quantile": 0.95},
        {"name": "p50_ms", "type": "decimal", "scale": 3, "value": "quantile", "quantile": 0.5, "of": ["p95_ms"]},
        {"name": "users", "type": "int", "value": "distinct"},
        {"name": "version", "type": "text", "value": "last"},
        {"name": "seen_at", "type": "timestamp", "value": "max"},
    ],
    "sources": [
        {
            "topic": "t", "event": "request", "key": {"app": "/data/app", "minute": "/time"},
            "add": {"requests": 1, "cost": "/data/cost"},
            "take": {"mean_ms": "/data/ms", "slowest_ms": "/data/ms", "p95_ms": "/data/ms", "users": "/data/user",
                     "version": "/data/version", "seen_at": "/time"},
        },
        {
            "topic": "t", "event": "request", "where": [{"member": "/data/ok", "equals": False}],
            "key": {"app": "/data/app", "minute": "/time"}, "add": {"failed": 1},
        },
    ],
    "reader": {"limit": 7, "filters": ["failed"]},
}


def half_up(value, places):
    """Rounded half away from zero, as the tables are."""
    unit = Decimal(1).scaleb(-places)
    return value.quantize(unit, rounding="ROUND_HALF_UP")


def within(found, exact, share):
    return abs(found - exact) <= share * abs(exact)


def test_values_equal_an_independent_count(daybook, database, make_view, producer, services):
    view = make_view(DEFINITION)
    admin = AdminClient({"bootstrap.servers": services.brokers})
    admin.create_topics([NewTopic(view.topic, 4)])[view.topic].result()
    seed = 20261125
    print("seed", seed)
    rng = random.Random(seed)
    begin = datetime(2026, 3, 10, 8, 0, tzinfo=timezone.utc)
    rows = defaultdict(list)
    ends = {}

    def delivered(error, message):
        assert error is None
        place = f"{view.topic}/{message.partition()}"
        ends[place] = max(ends.get(place, 0), message.offset() + 1)

    for i in range(6000):
        at = begin + timedelta(microseconds=rng.randrange(8 * 60 * 10**6))
        ms = f"{rng.lognormvariate(3, 1):.3f}"
        cost = f"{rng.randrange(10**9)}.{rng.randrange(10**6):06}"
        event = {"app": f"app{rng.randrange(3)}", "ok": rng.random() < 0.9, "user": rng.randrange(400), "version": f"v{i}"}
        members = json.dumps(event)[:-1] + f', "ms": {ms}, "cost": {cost if i % 2 else json.dumps(cost)}}}'
        value = (
            f'{{"specversion": "1.0", "id": "{i}", "source": "/s", "type": "request", "time": "{at.isoformat()}", "data": {members}}}'
        )
        rows[(event["app"], at.replace(second=0, microsecond=0))].append((at, Decimal(ms), Decimal(cost), event))
        partition = rng.randrange(4)
        for _ in range(2 if i % 9 == 0 else 1):  # with copies
            producer.produce(view.topic, value, partition=partition, on_delivery=delivered)
    producer.flush()

    workers = [daybook.start_worker(view), daybook.start_worker(view)]
    daybook.wait_until_applied(view, ends, deadline=120)
    names = [column["name"] for column in DEFINITION["columns"]]
    table = database.query(f"SELECT app, minute, {', '.join(names)} FROM {view.name}")
    assert {(app, minute) for app, minute, *_ in table} == set(rows)
    for app, minute, *values in table:
        events = rows[(app, minute)]
        row = dict(zip(names, values))
        times = sorted(ms for _, ms, _, _ in events)
        assert row["requests"] == len(events)
        assert row["failed"] == sum(not event["ok"] for *_, event in events)
        assert row["error_rate"] == half_up(Decimal(row["failed"]) / len(events), 4)
        assert row["cost"] == sum(cost for _, _, cost, _ in events)
        assert row["mean_ms"] == half_up(sum(times) / len(times), 3)
        assert row["slowest_ms"] == times[-1]
        assert within(row["p95_ms"], times[int(0.95 * (len(times) - 1))], Decimal("0.01"))
        assert within(row["p50_ms"], times[int(0.5 * (len(times) - 1))], Decimal("0.01"))
        assert within(row["users"], len({event["user"] for *_, event in events}), 0.05)
        newest = max(events, key=lambda event: event[0])
        assert row["version"] == newest[3]["version"]
        assert row["seen_at"] == newest[0]
    done = daybook.verify(view).stdout
    assert done.endswith(" 0 dead letters, 0 differences\n"), done

    # The reader: a row, a list in pages, as CSV, and a change as it happens.
    reader = Reader(daybook)
    reader.wait_until_ready()
    app, minute = sorted(rows)[0]
    path = minute.strftime("%Y-%m-%dT%H:%M:%SZ")
    status, _, row = reader.row(view.name, app, quote(path))
    assert status == 200 and row["minute"] == path and row["requests"] == len(rows[(app, minute)])
    status, _, body = reader.get(f"/v1/views/{view.name}/{app}/{quote(path)}", {"Accept": "text/csv"})
    expected = database.query(f"SELECT cost::text FROM {view.name} WHERE app = %s AND minute = %s", app, minute)
    assert expected[0][0] in body.decode().split("\r\n")[1].split(",")
    seen, cursor = [], ""
    while cursor is not None:
        status, _, body = reader.get(f"/v1/views/{view.name}?app={app}&minute.from={quote(path)}" + (f"&cursor={cursor}" if cursor else ""))
        assert status == 200, body
        page = json.loads(body)
        seen += [row["minute"] for row in page["rows"]]
        cursor = page["next"]
    assert seen == sorted((m.strftime("%Y-%m-%dT%H:%M:%SZ") for a, m in rows if a == app), reverse=True)
    assert reader.get(f"/v1/views/{view.name}?app={app}&minute={quote('2026-03-10T10:00:00+02:00')}")[0] == 200
    assert reader.get(f"/v1/views/{view.name}/{app}/2026-03-10")[0] in (400, 404)
    late = {"specversion": "1.0", "id": uuid.uuid4().hex, "source": "/s", "type": "request", "time": path,
            "data": {"app": app, "ok": True, "user": 1, "version": "late", "ms": 1, "cost": 0}}
    producer.produce(view.topic, json.dumps(late), partition=0)
    producer.flush()
    wait_until(lambda: reader.row(view.name, app, quote(path))[2]["requests"] == len(rows[(app, minute)]) + 1, "the change is shown")
    for worker in workers:
        assert worker.terminate() == 0
