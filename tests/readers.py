"""Readers under test, and watchers that read random rows of one and notice when a row goes back in time."""

import http.client
import json
import random
import re
import threading
import time
from urllib.parse import urlsplit

from harness import wait_until


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
