"""A reader under load and abuse: stampedes, ten thousand streams, slow clients, want of memory and of sessions, and its end."""

import json
import random
import re
import resource
import select
import socket
import threading
import time
import uuid
from types import SimpleNamespace

import psycopg2
import pytest
from harness import ROOT, wait_until
from prometheus_client.parser import text_string_to_metric_families
from readers import SHELVES, EventStream, Reader, own_site

SEED = 9
FACILITY = str(uuid.UUID(int=0xB1))
WIDE = "w" * 990  # with it a row takes more than a kilobyte
ROWS = 1000
CLIENTS = 10_000
CLIENT_KIB = 4  # resident memory that a client of a stream may take; 1.2 was measured


@pytest.fixture(scope="module")
def stage(services, tmp_path_factory):
    print("seed", SEED)
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    with own_site(services, tmp_path_factory.mktemp("load")) as site:
        days, shelves = site.add_view(), site.add_view(SHELVES)
        for day in range(1, 29):
            site.stock(FACILITY, f"2026-03-{day:02}", 1)
        for shelf in range(ROWS):
            site.shelve(WIDE, shelf, shelf)
        site.settle(days, shelves)
        yield SimpleNamespace(site=site, days=days, shelves=shelves, row=f"/v1/views/{days.name}/{FACILITY}/2026-03-{{:02}}".format)


@pytest.fixture
def start(stage):
    """Starts a reader that this test alone has; it ends with the test."""
    readers = []

    def start_one(*arguments):
        readers.append(Reader(stage.site.daybook, *arguments))
        readers[-1].wait_until_ready()
        return readers[-1]

    yield start_one
    for reader in readers:
        if reader.process.is_running():
            assert reader.process.terminate(20) == 0
    stage.site.daybook.processes[:] = [process for process in stage.site.daybook.processes if process.is_running()]


@pytest.fixture
def lock(stage):
    """Locks a view's table, so that loads wait, until .rollback() or the test's end."""
    connections = []

    def make(view):
        connections.append(psycopg2.connect(stage.site.database.uri))
        connections[-1].cursor().execute(f"LOCK TABLE {view.name} IN ACCESS EXCLUSIVE MODE")
        return connections[-1]

    yield make
    for connection in connections:
        connection.close()


def samples(reader):
    """{(name, view or other label): value} of /metrics, read by Prometheus' own client library."""
    status, headers, body = reader.get("/metrics")
    assert (status, headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    found = {}
    for family in text_string_to_metric_families(body.decode()):
        assert family.documentation and family.type != "unknown", family.name
        for sample in family.samples:
            key = (sample.name, *(value for _, value in sorted(sample.labels.items())))
            assert key not in found, key
            found[key] = sample.value
    return found


def send(reader, text):
    client = socket.create_connection(("127.0.0.1", reader.port), timeout=30)
    client.sendall(text.encode())
    return client


def request(path):
    return f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"


def answers_of(data):
    """The whole answers in these bytes, as (status, body), and what is left: the beginning of one that was cut."""
    found = []
    while (end := data.find(b"\r\n\r\n")) >= 0:
        head = data[:end].decode()
        length = int(re.search(r"(?i)content-length: (\d+)", head)[1])
        if len(data) < end + 4 + length:
            break
        found.append((int(head.split()[1]), data[end + 4 : end + 4 + length]))
        data = data[end + 4 + length :]
    return found, data


def receive_answers(client, count):
    data, found = b"", []
    while len(found) < count:
        more = client.recv(1 << 16)
        assert more, f"{len(found)} of {count} answers came, then the end"
        whole, data = answers_of(data + more)
        found += whole
    assert data == b""
    return found


def test_ten_thousand_misses_of_one_row_are_one_query(stage, start, lock):
    reader = start("--warm-rows", 0)
    before = samples(reader)
    locked = lock(stage.days)
    clients = [send(reader, request(stage.row(1)) * 50) for _ in range(CLIENTS // 50)]

    def grown(name):
        return samples(reader)[(name, stage.days.name)] - before[(name, stage.days.name)]

    joined = "daybook_reader_joined_loads_total"
    wait_until(lambda: grown(joined) == CLIENTS - 1, lambda: f"all wait for one load, {grown(joined)} do")
    locked.rollback()
    bodies = {answer for client in clients for answer in receive_answers(client, 50)}
    assert len(bodies) == 1 and bodies.pop()[0] == 200
    assert grown("daybook_reader_load_queries_total") == grown("daybook_reader_loaded_rows_total") == 1
    assert grown("daybook_reader_cache_misses_total") == CLIENTS
    for client in clients:
        client.close()


def test_slow_requests_are_in_the_log(stage, start, lock):
    """A row that one request loads and another one waits for, and a list, of a table that is locked for 0.3 s."""
    reader = start("--warm-rows", 0, "--slow", 200)
    in_use, joined = ("daybook_reader_pool_in_use",), ("daybook_reader_joined_loads_total", stage.days.name)
    locked = lock(stage.days)
    listed = f"/v1/views/{stage.days.name}?facility_id={FACILITY}&limit=3"
    clients = [send(reader, request(stage.row(3)))]
    wait_until(lambda: samples(reader)[in_use] == 1, "the row is being loaded")
    clients.append(send(reader, request(stage.row(3))))
    wait_until(lambda: samples(reader)[joined] == 1, "the second one waits for it")
    clients.append(send(reader, request(listed)))
    wait_until(lambda: samples(reader)[in_use] == 2, "the list is being made")
    began = time.monotonic()
    wait_until(lambda: time.monotonic() > began + 0.3, "all of them are slow")
    locked.rollback()
    for client in clients:
        assert receive_answers(client, 1)[0][0] == 200
        client.close()
    assert reader.get(stage.row(3))[0] == 200  # from memory: in time

    def lines():
        found = re.findall(r"slow request: (.*)", reader.process.output())
        return sorted((dict(word.split("=", 1) for word in line.split()) for line in found), key=lambda line: (line["route"], line["triggered_refresh"]))

    wait_until(lambda: len(lines()) >= 3, reader.process.output)
    assert len(lines()) == 3
    for line, route, triggered in zip(lines(), ("list", "row", "row"), ("true", "false", "true")):
        assert (line["route"], line["triggered_refresh"], line["cache_hit"], line["status"]) == (route, triggered, "false", "200")
        assert (line["view"], line["facility_id"], line.get("date")) == (stage.days.name, FACILITY, "2026-03-03" if route == "row" else None)
        assert line["path"] == (stage.row(3) if route == "row" else listed.partition("?")[0])
        assert 300 <= int(line["query_duration_ms"]) < 20_000 and 300 <= int(line["duration_ms"]) < 20_000
        assert 0 <= float(line["cache_age_seconds"]) < 20


def test_too_few_sessions_are_told(stage, start, lock):
    reader = start("--warm-rows", 0, "--pool", 1, "--pool-overflow", 0, "--pool-wait", 1)
    locked = lock(stage.days)
    first = send(reader, request(stage.row(1)))
    wait_until(lambda: samples(reader)[("daybook_reader_pool_in_use",)] == 1, "the session is taken")
    began = time.monotonic()
    status, headers, body = reader.get(stage.row(2))
    assert (status, headers["content-type"], headers["retry-after"]) == (503, "application/problem+json", "1")
    assert "session" in json.loads(body)["detail"] and 0.9 < time.monotonic() - began < 10
    told = samples(reader)
    assert told[("daybook_reader_pool_timeouts_total",)] == told[("daybook_reader_failed_loads_total", stage.days.name)] == 1
    locked.rollback()
    assert receive_answers(first, 1)[0][0] == 200
    assert reader.get(stage.row(2))[0] == 200
    first.close()


def test_memory_stays_within_its_bound(stage, start):
    reader = start("--warm-rows", 0, "--cache-mib", 1)
    expected = {row["shelf"]: row for row in stage.site.rows(stage.shelves) if row["hospital"] == WIDE}
    pick = random.Random(SEED)
    peaks = []
    for _ in range(3):
        order = pick.sample(range(ROWS), ROWS)
        for begin in range(0, ROWS, 50):
            shelves = order[begin : begin + 50]
            client = send(reader, "".join(request(f"/shelves/{WIDE}/{shelf}") for shelf in shelves))
            found = receive_answers(client, 50)
            client.close()
            assert [(status, json.loads(body)) for status, body in found] == [(200, expected[shelf]) for shelf in shelves]
        told = samples(reader)
        assert told[("daybook_reader_cache_bytes", stage.shelves.name)] + told[("daybook_reader_cache_bytes", stage.days.name)] <= 1 << 20
        peaks.append(told[("process_resident_memory_bytes",)])
    assert told[("daybook_reader_cache_evictions_total", stage.shelves.name)] > ROWS
    assert 50 < told[("daybook_reader_cache_rows", stage.shelves.name)] < ROWS / 2
    print("resident memory, MiB:", [round(peak / 2**20, 1) for peak in peaks])
    assert peaks[2] - peaks[0] < 8 << 20


class Crowd:
    """Many clients of streams in one thread."""

    def __init__(self, reader, targets):
        self.poll = select.epoll()
        self.clients, self.data = {}, {}
        for target in targets:
            client = socket.create_connection(("127.0.0.1", reader.port), timeout=30)
            client.sendall(request(target).encode())
            client.setblocking(False)
            self.clients[client.fileno()] = client
            self.data[client.fileno()] = b""
            self.poll.register(client, select.EPOLLIN)

    def wait_for(self, text, deadline):
        """Until each of them was sent this, and then forgets what it was sent."""
        waiting = set(self.clients)
        end = time.monotonic() + deadline
        while waiting:
            assert time.monotonic() < end, f"{len(waiting)} clients have no {text} after {deadline} s"
            for number, _ in self.poll.poll(0.1, 4096):
                more = self.clients[number].recv(1 << 16)
                assert more, "a stream ended"
                self.data[number] += more
                if text in self.data[number]:
                    waiting.discard(number)
        told = self.data
        self.data = dict.fromkeys(self.clients, b"")
        return told

    def close(self):
        for client in self.clients.values():
            client.close()


def test_ten_thousand_streams(stage, start):
    """Half of them follow all rows, half one facility: one event comes to each of them once."""
    reader = start("--connections", CLIENTS + 100, "--streams", CLIENTS + 20)
    changes = f"/v1/views/{stage.days.name}/changes"
    resident = ("process_resident_memory_bytes",)
    warm = Crowd(reader, [changes] * 20)
    warm.wait_for(b'"start"', 10)
    before = samples(reader)[resident]
    crowd = Crowd(reader, [changes, changes + f"?facility_id={FACILITY}"] * (CLIENTS // 2))
    crowd.wait_for(b'"start"', 60)
    told = samples(reader)
    assert told[("daybook_reader_sse_clients",)] == CLIENTS + 20
    per_client = (told[resident] - before) / CLIENTS / 1024
    began = time.monotonic()
    stage.site.stock(FACILITY, "2026-03-31", 1)
    stage.site.settle(stage.days)
    received = crowd.wait_for(b"event: row", 30)
    took = time.monotonic() - began
    assert {data.count(b"event: row") for data in received.values()} == {1}
    assert all(b'"date":"2026-03-31"' in data for data in received.values())
    peak = (samples(reader)[resident] - before) / CLIENTS / 1024
    print(f"a client takes {per_client:.1f} KiB, {peak:.1f} KiB after an event; published to received by all {took:.2f} s")
    assert max(per_client, peak) < CLIENT_KIB
    assert reader.get(stage.row(1))[0] == 200
    status, headers, body = reader.get(changes)  # one more than it takes
    assert (status, headers["retry-after"]) == (503, "5") and "streams" in json.loads(body)["detail"]
    crowd.close()
    warm.close()
    wait_until(lambda: samples(reader)[("daybook_reader_sse_clients",)] == 0, "all are seen to be gone")


def test_slow_clients_are_ended_and_the_others_served(stage, start):
    """One that takes no event, forty that send their headers by drops, and one that does as it should."""
    reader = start()
    changes = f"/v1/views/{stage.shelves.name}/changes"
    slow = socket.socket()
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    slow.connect(("127.0.0.1", reader.port))
    slow.sendall(request(changes).encode())
    good = EventStream(reader, changes)
    good.next(lambda event: event.get("event") == "reset")
    wait_until(lambda: samples(reader)[("daybook_reader_sse_clients",)] == 2, "both follow")
    began = time.monotonic()
    drops = {client.fileno(): client for client in (send(reader, "GET /livez HTTP/1.1\r\nX: ") for _ in range(40))}
    ended = {}

    def drip():
        """A byte each 50 ms to all that are open, until each was ended."""
        poll = select.poll()
        for number, client in drops.items():
            client.setblocking(False)
            poll.register(number, select.POLLIN | select.POLLHUP)
        while len(ended) < len(drops) and time.monotonic() < began + 30:
            for number, _ in poll.poll(50):
                poll.unregister(number)
                try:
                    ended[number] = (time.monotonic() - began, drops[number].recv(4096))
                except OSError as error:
                    ended[number] = (time.monotonic() - began, str(error).encode())
            for number in set(drops) - set(ended):
                try:
                    drops[number].send(b"x")
                except OSError:
                    pass  # poll() tells

    dripping = threading.Thread(target=drip)
    dripping.start()
    expected = 0
    streams = ("daybook_reader_sse_clients",)
    while samples(reader)[streams] == 2 and time.monotonic() < began + 40:
        for shelf in range(ROWS):
            # A commit of its own each: one of more than half a MiB would be told as a reset.
            stage.site.shelve(WIDE, shelf, 1)
            stage.site.settle(stage.shelves)
            assert good.row()["shelf"] == shelf
        expected += 1
        assert reader.get("/livez")[0] == 200
    assert samples(reader)[streams] == 1, "the slow one is ended"
    print(f"the slow client was ended after {time.monotonic() - began:.1f} s and {expected} MB")
    slow.settimeout(10)
    taken = 0
    try:
        while more := slow.recv(1 << 20):
            taken += len(more)
    except ConnectionError:
        pass  # ended hard, since it did not take what was sent
    assert taken < expected * ROWS * len(WIDE)
    dripping.join()
    assert len(ended) == len(drops) and all(4.5 < after < 12 and b" 408 " in answer for after, answer in ended.values()), ended
    stage.site.shelve("after", 1, 1)
    assert good.row()["hospital"] == "after"
    for client in [slow, *drops.values()]:
        client.close()
    good.close()


def test_sigterm_cuts_no_request(stage, start, lock):
    """Some wait for a load, some ask all the time: each gets whole answers, and what was not answered was not begun."""
    reader = start("--warm-rows", 0)
    for day in range(1, 20):
        assert reader.get(stage.row(day))[0] == 200
    locked = lock(stage.days)
    waiting = [send(reader, request(stage.row(day)) * 3) for day in range(20, 28)]
    wait_until(lambda: samples(reader)[("daybook_reader_joined_loads_total", stage.days.name)] >= 16, "they wait for loads")
    reports = []

    def ask_all_the_time(number):
        """Some pipelined requests at a time, until nobody listens; as RFC 9112 says, none behind `Connection: close`."""
        pick = random.Random(SEED + number)
        answered, unanswered, cut = 0, 0, []
        while True:
            try:
                client = socket.create_connection(("127.0.0.1", reader.port), timeout=20)
            except ConnectionRefusedError:
                break
            with client:
                closes = False
                while not closes:
                    count, data = pick.randrange(1, 6), b""
                    try:
                        client.sendall("".join(request(stage.row(pick.randrange(1, 20))) for _ in range(count)).encode())
                        while len(answers_of(data)[0]) < count and (more := client.recv(1 << 16)):
                            data += more
                    except ConnectionError:
                        pass  # what came until then counts
                    whole, rest = answers_of(data)
                    assert all(status == 200 for status, _ in whole)
                    answered += len(whole)
                    unanswered += count - len(whole)
                    closes = b"Connection: close" in data or len(whole) < count
                    if rest or 0 < len(whole) < count:
                        cut.append((count, len(whole), rest))
        reports.append((answered, unanswered, cut))

    threads = [threading.Thread(target=ask_all_the_time, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    wait_until(lambda: samples(reader)[("daybook_reader_requests_total", "row", "200")] > 2000, "there is load")
    reader.process.send(15)
    wait_until(lambda: "reader: stopping" in reader.process.output(), "it stops")
    locked.rollback()
    for client in waiting:
        assert [status for status, _ in receive_answers(client, 3)] == [200] * 3
        assert client.recv(1) == b""
        client.close()
    assert reader.process.popen.wait(15) == 0
    for thread in threads:
        thread.join(30)
    print("answered, not answered:", [report[:2] for report in reports])
    assert len(reports) == 6 and [cut for *_, cut in reports] == [[]] * 6
    # Only what was on its way when a connection ended.
    assert all(unanswered <= 10 and answered > 100 for answered, unanswered, _ in reports)


def test_each_metric_is_explained_and_each_explained_one_is_there(stage, start):
    reader = start()
    families = list(text_string_to_metric_families(reader.get("/metrics")[2].decode()))
    served = {family.name + ("_total" if family.type == "counter" else ""): family.type for family in families}
    page = (ROOT / "docs/operations.md").read_text()
    section = page.partition("\n## Metrics of a reader\n")[2].partition("\n## ")[0]
    explained = dict(re.findall(r"^\| `([a-z_]+)[^`]*` \| (\w+) \|", section, re.MULTILINE))
    assert served == explained and len(served) > 25
    before = samples(reader)
    for path, status in ((stage.row(1), 200), (stage.row(1), 200), ("/nothing", 404), (stage.row(1) + "?x=1", 400)):
        assert reader.get(path)[0] == status
    after = samples(reader)
    grown = {key[1:]: after[key] - before.get(key, 0) for key in after if key[0] == "daybook_reader_requests_total"}
    assert (grown[("row", "200")], grown[("none", "404")], grown[("row", "400")]) == (2, 1, 1)
    duration = "daybook_reader_request_duration_seconds"
    assert after[(duration + "_count", "row")] - before[(duration + "_count", "row")] == 3
    assert after[(duration + "_bucket", "+Inf", "row")] == after[(duration + "_count", "row")]
    own = {405: "PUT / HTTP/1.1\r\nHost: x\r\n\r\n", 400: "GET / HTTP/1.1\r\n\r\n", 413: "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx"}
    for status, text in own.items():
        client = send(reader, text)
        assert receive_answers(client, 1)[0][0] == status
        client.close()
    refused = {int(key[1]): value for key, value in samples(reader).items() if key[0] == "daybook_reader_refused_requests_total"}
    assert refused == dict.fromkeys((400, 405, 413), 1) | dict.fromkeys((408, 431, 500, 505), 0)
    assert after[("daybook_reader_ready",)] == 1 and after[("daybook_reader_feed_lost", stage.days.name)] == 0
