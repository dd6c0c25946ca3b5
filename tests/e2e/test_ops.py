"""Health and metrics of a worker over HTTP: they say what is the case, and what changes."""

import http.client
import json
import re
import socket
import threading
import time
from urllib.parse import urlsplit

from conftest import wait_until
from prometheus_client.parser import text_string_to_metric_families

SOON = ("--kafka", "session.timeout.ms=3000", "--kafka", "heartbeat.interval.ms=500")


class Worker:
    """A worker that answers over HTTP."""

    def __init__(self, daybook, view, *arguments):
        self.process = daybook.start_worker(view, "--http", "127.0.0.1:0", *SOON, *arguments)
        found = wait_until(lambda: re.search(r"on http://([0-9.:]+)", self.process.output()), "the worker says where")
        self.address = found.group(1)

    def get(self, path, method="GET"):
        connection = http.client.HTTPConnection(self.address, timeout=5)
        connection.request(method, path)
        response = connection.getresponse()
        body = response.read().decode()
        connection.close()
        return response.status, response.getheader("Content-Type"), body

    def samples(self):
        """{name: {labels without the view: value}}, read by Prometheus' own client library."""
        status, kind, text = self.get("/metrics")
        assert (status, kind) == (200, "text/plain; version=0.0.4; charset=utf-8")
        found = {}
        for family in text_string_to_metric_families(text):
            assert family.documentation and family.type != "unknown", family.name
            for sample in family.samples:
                labels = tuple(value for name, value in sorted(sample.labels.items()) if name != "view")
                assert labels not in found.setdefault(sample.name, {}), f"{sample} comes twice"
                found[sample.name][labels] = sample.value
        return found

    def is_ready(self):
        return self.get("/readyz")[0] == 200

    def wait_until_ready(self):
        wait_until(self.is_ready, lambda: f"ready, is {self.get('/readyz')}")

    def wait_until_not_ready(self, word):
        """Until /readyz names the view with a reason that has this word; the problem's entry for the view."""

        def reason():
            status, kind, body = self.get("/readyz")
            if status == 200:
                return None
            assert (status, kind) == (503, "application/problem+json")
            entry = json.loads(body)["views"][0]
            return entry if word in entry["reason"] else None

        return wait_until(reason, lambda: f"not ready because of {word}, is {self.get('/readyz')}")


class Gate:
    """A TCP proxy that can be shut: connections break, new ones are refused."""

    def __init__(self, host, port):
        self.target = (host, port)
        self.port = 0
        self.open()

    def open(self):
        self.listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self.listener.getsockname()[1]
        self.sockets = []
        threading.Thread(target=self.accept, args=(self.listener, self.sockets), daemon=True).start()

    def shut(self):
        for one in [self.listener, *self.sockets]:
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # it was gone already
            one.close()

    def accept(self, listener, sockets):
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            far = socket.create_connection(self.target)
            sockets += [near, far]
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self.copy, args=(source, sink), daemon=True).start()

    @staticmethod
    def copy(source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # shut


def test_metrics_add_up_with_the_log_and_the_database(daybook, database, view, producer):
    positions = daybook.simulate(view, "--duplicates", 0.05, events=20000)
    for value in (b"{", b"\xff", b'{"specversion": "2.0"}'):
        producer.produce(view.topic, value, partition=0, headers={"content-type": "application/cloudevents+json"})
    assert producer.flush(30) == 0
    positions[f"{view.topic}/0"] += 3
    records = sum(positions.values())
    worker = Worker(daybook, view)
    daybook.wait_until_applied(view, positions)

    def read():
        samples = worker.samples()
        outcomes = ("events_applied", "duplicates", "events_passed_over", "dead_letters")
        return samples if records == sum(sum(samples[f"daybook_{name}_total"].values()) for name in outcomes) else None

    samples = wait_until(read, lambda: f"{records} records accounted for: {worker.get('/metrics')[2]}")
    value = {name: values[()] for name, values in samples.items() if () in values}
    letters = dict(database.query("SELECT code, count(*) FROM daybook.dead_letter GROUP BY code"))
    assert letters == {"malformed": 2, "envelope": 1} == {code: n for (code,), n in samples["daybook_dead_letters_total"].items() if n > 0}
    assert {f"{topic}/{number}": n for (number, topic), n in samples["daybook_next_offset"].items()} == positions
    assert set(samples["daybook_lag_records"].values()) == {0} and len(samples["daybook_lag_records"]) == 4
    assert value["daybook_commit_events_sum"] == value["daybook_events_applied_total"] == value["daybook_fingerprints"]
    for histogram in ("commit_duration_seconds", "commit_events", "commit_rows"):
        assert value[f"daybook_{histogram}_count"] == value["daybook_commits_total"] > 0
    assert 0 < value["daybook_commit_duration_seconds_sum"] < 60
    assert value["daybook_commit_rows_sum"] >= database.query(f"SELECT count(*) FROM {view.name}")[0][0]
    assert value["daybook_ready"] == value["daybook_database_connected"] == 1 and value["daybook_paused"] == 0
    assert 0 <= value["daybook_deduplication_window_seconds"] <= time.time() - value["process_start_time_seconds"] + 1
    assert worker.get("/livez")[0] == 200 and worker.is_ready()
    assert worker.get("/metrics", "HEAD")[2] == "" and worker.get("/", "GET")[0] == 404

    idle = http.client.HTTPConnection(worker.address, timeout=5)  # an open connection keeps nobody
    idle.request("GET", "/livez")
    idle.getresponse().read()
    assert worker.process.terminate(deadline=5) == 0
    told = re.search(r"worker ends; (\d+) events applied in (\d+) commits, (\d+) duplicates, (\d+) dead letters, (\d+) passed",
                     worker.process.output())
    assert [int(number) for number in told.groups()] == [
        value["daybook_events_applied_total"], value["daybook_commits_total"], value["daybook_duplicates_total"],
        sum(samples["daybook_dead_letters_total"].values()), value["daybook_events_passed_over_total"]]


def test_readyz_tells_a_pause_and_its_end(daybook, view):
    first = daybook.simulate(view, events=100)
    worker = Worker(daybook, view)
    daybook.wait_until_applied(view, first)
    worker.wait_until_ready()
    daybook.run("views", "pause", view.name, "--reason", "maintenance until \"noon\"")
    positions = daybook.simulate(view, "--seed", 2, events=100)
    entry = worker.wait_until_not_ready("maintenance")
    assert entry == {"view": view.name, "state": "paused", "reason": "maintenance until \"noon\""}
    assert worker.samples()["daybook_paused"] == {(): 1}
    assert worker.get("/livez")[0] == 200  # a restart would mend nothing
    daybook.run("views", "resume", view.name)
    daybook.wait_until_applied(view, positions)
    worker.wait_until_ready()
    assert worker.samples()["daybook_paused"] == {(): 0}


def test_readyz_tells_an_absent_database_and_its_return(daybook, database, view):
    target = urlsplit(database.uri)
    gate = Gate(target.hostname, target.port)
    first = daybook.simulate(view, events=100)
    login = target.netloc.rpartition("@")[0]
    worker = Worker(daybook, view, "--database",
                    target._replace(netloc=f"{login}@127.0.0.1:{gate.port}" if login else f"127.0.0.1:{gate.port}").geturl())
    daybook.wait_until_applied(view, first)
    worker.wait_until_ready()
    gate.shut()
    entry = worker.wait_until_not_ready("database")
    assert entry["state"] == "waiting"
    assert worker.samples()["daybook_database_connected"] == {(): 0}
    assert worker.get("/livez")[0] == 200
    positions = daybook.simulate(view, "--seed", 2, events=100)
    gate.open()
    daybook.wait_until_applied(view, positions)
    worker.wait_until_ready()
    assert worker.samples()["daybook_database_connected"] == {(): 1}
    gate.shut()


def test_readyz_tells_an_absent_broker(daybook, view):
    with socket.create_server(("127.0.0.1", 0)) as probe:
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    worker = Worker(daybook, view, "--brokers", address)
    entry = worker.wait_until_not_ready("none can be reached")
    assert entry["state"] == "waiting" and address in entry["reason"]


def test_a_worker_without_partitions_is_ready_to_take_over(daybook, view):
    positions = daybook.simulate(view, events=100, partitions=1)
    workers = [Worker(daybook, view), Worker(daybook, view)]
    daybook.wait_until_applied(view, positions)

    def states():
        return sorted(json.loads(worker.get("/healthz")[2])["views"][0]["state"] for worker in workers)

    wait_until(lambda: states() == ["reading", "standby"], lambda: f"one reads and one stands by, are {states()}")
    assert all(worker.is_ready() for worker in workers)

    readers = [worker for worker in workers if worker.samples().get("daybook_next_offset")]
    assert len(readers) == 1
    readers[0].process.kill()
    workers.remove(readers[0])
    daybook.wait_until_applied(view, daybook.simulate(view, "--seed", 2, events=100, partitions=1))
    wait_until(lambda: states() == ["reading"], lambda: f"the other one took over, is {states()}")


def test_an_address_that_can_not_be_had_is_refused_before_anything_starts(daybook, view):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = daybook.run("worker", "--view", view.file, "--http", f"127.0.0.1:{port}", status=2)
        assert str(port) in done.stderr and "in use" in done.stderr and "worker started" not in done.stderr
    done = daybook.run("worker", "--view", view.file, "--http", "0.0.0.0:0", status=2)
    assert "--http-anywhere" in done.stderr
    done = daybook.run("worker", "--view", view.file, "--http", "9464", status=2)
    assert "127.0.0.1:9464" in done.stderr


def test_other_machines_are_let_in_when_it_is_said(daybook, view):
    worker = daybook.start_worker(view, "--http", "0.0.0.0:0", "--http-anywhere")
    wait_until(lambda: "http://0.0.0.0:" in worker.output(), "it listens everywhere")
    assert worker.terminate() == 0
