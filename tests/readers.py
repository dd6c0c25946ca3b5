"""Readers under test, and watchers that read random rows of one and notice when a row goes back in time."""

import http.client
import json
import random
import re
import threading
import time
import uuid
from contextlib import contextmanager
from datetime import date, datetime, timezone
from types import SimpleNamespace

import confluent_kafka
from confluent_kafka.admin import AdminClient, NewTopic
from harness import apply_view, new_daybook, new_database, wait_until


class Reader:
    """`daybook reader` on a port of its own, which a restart takes again."""

    def __init__(self, daybook, *arguments):
        self.daybook = daybook
        self.arguments = arguments
        self.port = 0
        self.start()

    def start(self):
        self.process = self.daybook.start("reader", "--listen", f"127.0.0.1:{self.port}", *self.arguments)
        found = wait_until(lambda: re.search(r"http://127\.0\.0\.1:(\d+)", self.process.output()) or not self.process.is_running(),
                           self.process.output, 30)
        assert found is not True, self.process.output()
        self.port = int(found[1])
        self.address = f"http://127.0.0.1:{self.port}"

    def restart(self):
        assert self.process.terminate() == 0
        self.start()

    def get(self, path, headers={}, method="GET"):
        """Status, headers (lower case) and body of one request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=40)
        try:
            connection.request(method, path, headers=headers)
            response = connection.getresponse()
            return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
        finally:
            connection.close()

    def row(self, view, *key, **query):
        text = "&".join(f"{name}={value}" for name, value in query.items())
        status, headers, body = self.get(f"/v1/views/{view}/" + "/".join(map(str, key)) + ("?" + text if text else ""))
        return status, headers, json.loads(body)

    def wait_until_ready(self):
        wait_until(lambda: self.process.is_running() and self.get("/readyz")[0] == 200, "the reader is ready")


class Watcher:
    """Reads random ones of `keys` until it is stopped. `column` only grows; a smaller value than one seen before is a fault."""

    def __init__(self, reader, view, keys, column, seed):
        self.reader, self.view, self.keys, self.column = reader, view, keys, column
        self.random = random.Random(seed)
        self.seen = {}
        self.faults = []
        self.reads = self.refusals = self.lost = 0
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        connection = None
        while not self.stopping.is_set():
            key = self.random.choice(self.keys)
            try:
                if connection is None:
                    connection = http.client.HTTPConnection("127.0.0.1", self.reader.port, timeout=40)
                connection.request("GET", f"/v1/views/{self.view}/" + "/".join(map(str, key)))
                response = connection.getresponse()
                body = response.read()
            except (OSError, http.client.HTTPException):
                connection = None
                self.stopping.wait(0.01)
                continue
            if response.status == 503:
                self.refusals += 1
                continue
            self.lost += response.getheader("Daybook-Feed") == "lost"
            value = json.loads(body)[self.column] if response.status == 200 else 0
            self.reads += 1
            if value < self.seen.get(key, 0):
                self.faults.append((time.time(), key, self.seen[key], value))
            self.seen[key] = max(value, self.seen.get(key, 0))

    def stop(self):
        self.stopping.set()
        self.thread.join(45)
        return self


def differences(reader, database, view, keys, columns):
    """Rows that a reader answers otherwise than the database."""
    found = []
    for facility, date in keys:
        rows = database.query(f"SELECT {', '.join(columns)} FROM {view} WHERE facility_id = %s AND date = %s", facility, date)
        status, _, body = reader.row(view, facility, date)
        answered = tuple(body[column] for column in columns) if status == 200 else None
        if rows and answered != rows[0]:
            found.append((facility, date, rows[0], answered))
    return found


class EventStream:
    """One client of a view's changes. Reads when it is asked to."""

    def __init__(self, reader, path, headers={}):
        self.connection = http.client.HTTPConnection("127.0.0.1", reader.port, timeout=20)
        self.connection.request("GET", path, headers={"Accept": "text/event-stream", **headers})
        self.response = self.connection.getresponse()
        self.status = self.response.status
        self.id = ""  # of the last event that had one, as a browser keeps it

    def next(self, wanted=lambda event: True):
        """The next event for which `wanted` holds: {event, id, data, comment}, only what was there."""
        end = time.monotonic() + 40
        while True:
            assert time.monotonic() < end, "no such event after 40 s, only others"
            event = {}
            while line := self.response.readline().decode().rstrip("\n"):
                name, _, value = line.partition(":")
                event[name or "comment"] = value.strip()
            if not event:
                assert not self.response.isclosed(), "the stream ended"
                continue
            self.id = event.get("id", self.id)
            if wanted(event):
                return event

    def row(self):
        """The next row that changed."""
        return json.loads(self.next(lambda event: event.get("event") == "row")["data"])

    def close(self):
        self.connection.close()


# A view without dates, in the order of a value, with a column that is called like a parameter of lists.
SHELVES = {
    "view": "shelves",
    "kind": "summary",
    "description": "What lies on the shelves of each hospital.",
    "key": [{"name": "hospital", "type": "text"}, {"name": "shelf", "type": "int"}],
    "columns": [{"name": "units", "type": "bigint", "value": "sum"}, {"name": "wait", "type": "int", "value": "count"}],
    "updated_at": "timestamptz",
    "sources": [{"topic": "", "event": "test.shelved", "key": {"hospital": "/data/hospital", "shelf": "/data/shelf"},
                 "add": {"units": "/data/units", "wait": 1}}],
    "reader": {"filters": ["units", "wait"], "order": {"by": ["units"]}, "limit": 7, "cache_control": "max-age=5",
               "routes": ["/shelves/{hospital}/{shelf}", "/shelves/{hospital}", "/shelves"]},
}


class Site:
    """Views on one topic of four partitions, a worker of each, and what publishes to them."""

    def __init__(self, daybook, folder, services):
        self.daybook, self.folder, self.database = daybook, folder, daybook.database
        self.topic = "test." + uuid.uuid4().hex[:12]
        self.producer = confluent_kafka.Producer({"bootstrap.servers": services.brokers, "acks": "all", "enable.idempotence": True,
                                                  "linger.ms": 0})
        self.positions = {}
        self.lock = threading.Lock()
        daybook.run("migrate")
        admin = AdminClient({"bootstrap.servers": services.brokers})
        admin.create_topics([NewTopic(self.topic, 4, 1)])[self.topic].result(30)

    def add_view(self, *source, worker=(), **changes):
        view = apply_view(self.daybook, self.folder, self.topic, *source, **changes)
        self.daybook.start_worker(view, *worker)
        return view

    def delivered(self, error, message):
        assert error is None, error
        with self.lock:
            partition = f"{message.topic()}/{message.partition()}"
            self.positions[partition] = max(self.positions.get(partition, 0), message.offset() + 1)

    def send(self, kind, data, key, time="2026-01-01T12:00:00+03:00"):
        event = {"specversion": "1.0", "id": str(uuid.uuid4()), "source": "/test", "type": kind, "time": time, "data": data}
        self.producer.produce(self.topic, json.dumps(event).encode(), key.encode(), on_delivery=self.delivered)
        self.producer.poll(0)

    def stock(self, facility, day, quantity):
        self.send("bloodbank.stock.changed", {"facility_id": facility, "quantity": quantity}, facility, f"{day}T12:00:00+03:00")

    def request(self, facility, day):
        created = f"{day}T12:00:00+03:00"
        self.send("bloodbank.request.created", {"facility_id": facility, "created_at": created}, facility, created)

    def shelve(self, hospital, shelf, units):
        self.send("test.shelved", {"hospital": hospital, "shelf": shelf, "units": units}, hospital)

    def settle(self, *views):
        """Waits until all that was sent is in the views' tables; returns it as a parameter of requests."""
        assert self.producer.flush(30) == 0
        for view in views:
            self.daybook.wait_until_applied(view, self.positions)
        return "&".join(f"after={partition}@{offset}" for partition, offset in self.positions.items())

    def rows(self, view):
        """The table's rows as the reader has to show them."""
        columns = [column["name"] for column in view.definition["key"] + view.definition["columns"]] + ["updated_at"]

        def shown(value):
            if isinstance(value, datetime):
                return value.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            return value.isoformat() if isinstance(value, date) else value

        found = self.database.query(f"SELECT {', '.join(chr(34) + name + chr(34) for name in columns)} FROM {view.name}")
        return [dict(zip(columns, map(shown, row))) for row in found]


@contextmanager
def own_site(services, folder):
    """A site with a database of its own, for the tests of a module or for one."""
    with new_database(services) as database, new_daybook(services, database, folder) as daybook:
        yield Site(daybook, folder, services)
