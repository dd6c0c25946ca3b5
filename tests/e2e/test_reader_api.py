"""The reader's HTTP API as its clients meet it: held against its own description, and against the tables."""

import base64
import concurrent.futures
import csv
import gzip
import io
import itertools
import json
import random
import signal
import socket
import threading
import uuid
from types import SimpleNamespace
from urllib.parse import quote, urlencode

import pytest
from harness import VIEWS, wait_until
from jsonschema import Draft202012Validator, FormatChecker
from readers import SHELVES, EventStream, Reader, own_site

SEED = 5
FACILITIES = [str(uuid.UUID(int=number)) for number in range(0xA0, 0xAC)]
DAYS = [f"2026-03-{day:02}" for day in range(1, 21)]
HOSPITALS = ["Ward 3/b", "50% \"best\"", "Größe ☃", "a,b", "changes", "plain", "..", "x+y=&z"]


@pytest.fixture(scope="module")
def stage(services, tmp_path_factory):
    """Two views with some hundred rows each that stay as they are, two readers, and a stream that nothing is sent to."""
    print("seed", SEED)
    pick = random.Random(SEED)
    with own_site(services, tmp_path_factory.mktemp("api")) as site:
        days = site.add_view()
        shelves = site.add_view(SHELVES)
        readers = [Reader(site.daybook) for _ in range(2)]
        for facility, day in itertools.product(FACILITIES, DAYS):
            if pick.random() < 0.8:
                site.stock(facility, day, pick.randrange(-3, 9))
        for hospital, shelf in itertools.product(HOSPITALS, range(-5, 25)):
            site.shelve(hospital, shelf, pick.choice([0, 1, 5, 2**40, -7, pick.randrange(1000)]))
        site.settle(days, shelves)
        for reader in readers:
            reader.wait_until_ready()
            for view in (days, shelves):
                wait_until(lambda: reader.get(f"/v1/views/{view.name}?{site.settle()}")[0] == 200, "the reader has all")
        idle = EventStream(readers[0], f"/v1/views/{days.name}/changes?facility_id={uuid.UUID(int=1)}")
        yield SimpleNamespace(site=site, days=days, shelves=shelves, readers=readers, reader=readers[0], idle=idle)


def path_of(view, row):
    return f"/v1/views/{view.name}/" + "/".join(quote(str(row[column["name"]]), safe="") for column in view.definition["key"])


def ordered(view, rows):
    """In the order that the definition declares, made total by the key."""
    order = view.definition["reader"]["order"]
    columns = order["by"] + [column["name"] for column in view.definition["key"] if column["name"] not in order["by"]]
    return sorted(rows, key=lambda row: [row[name].encode() if isinstance(row[name], str) else row[name] for name in columns],
                  reverse=order.get("descending", False))


def problem(answer, status, *words):
    """That it is a problem of this status, whose detail has these words; the detail."""
    found, headers, body = answer
    assert (found, headers["content-type"]) == (status, "application/problem+json"), answer
    told = json.loads(body)
    assert set(told) >= {"type", "title", "status", "detail"} and told["status"] == status
    for word in words:
        assert word in told["detail"], told
    return told["detail"]


def all_pages(reader, target):
    """The pages of a list, by its links."""
    pages = []
    while target:
        status, headers, body = reader.get(target)
        assert status == 200, (target, body)
        page = json.loads(body)
        pages.append(page["rows"])
        link = headers.get("link", "")
        assert (page["next"] is None) == (link == "") and len(pages) < 1000
        if link:
            assert link.endswith('>; rel="next"') and f"cursor={page['next']}>" in link
        target = link[1:].partition(">")[0]
    return pages


class Description:
    """The reader's own /openapi.json, and answers held against it."""

    def __init__(self, reader):
        self.reader = reader
        self.document = json.loads(reader.get("/openapi.json")[2])
        self.met = set()

    def resolve(self, part):
        if "$ref" not in part:
            return part
        found = self.document
        for step in part["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        return found

    def check(self, route, target, status, accept="application/json"):
        """Asks for `target`, which is of `route`, and finds its answer in the description."""
        answer = found, headers, body = self.reader.get(target, {"Accept": accept})
        assert found == status, (target, answer)
        self.met.add((route, found))
        described = self.resolve(self.document["paths"][route]["get"]["responses"][str(found)])
        kind = headers["content-type"].partition(";")[0]
        content = described["content"][kind]["schema"]
        for name, header in described.get("headers", {}).items():
            schema = self.resolve(header)["schema"]
            value = headers.get(name.lower())
            assert value is not None or name in ("Link", "Daybook-Feed"), (target, name)
            if value is not None and schema.get("type") == "integer":
                assert int(value) >= 0
        value = json.loads(body) if kind.endswith("json") else body.decode()
        Draft202012Validator({"allOf": [content], "components": self.document["components"]}, format_checker=FormatChecker()).validate(value)
        return answer


def test_answers_are_as_the_reader_itself_describes_them(stage):
    described = Description(stage.reader)
    document = described.document
    assert document["openapi"] == "3.1.0"
    days, shelves = f"/v1/views/{stage.days.name}", f"/v1/views/{stage.shelves.name}"
    assert set(document["paths"]) == {
        "/v1/views", days, days + "/changes", days + "/{facility_id}/{date}", "/dashboard/{facility_id}/{date}",
        "/dashboard/{facility_id}", "/dashboard", shelves, shelves + "/changes", shelves + "/{hospital}/{shelf}",
        "/shelves/{hospital}/{shelf}", "/shelves/{hospital}", "/shelves"}
    operations = [path["get"] for path in document["paths"].values()]
    assert len({operation["operationId"] for operation in operations}) == len(operations)
    refs = [part["$ref"] for part in iterate(document) if isinstance(part, dict) and "$ref" in part]
    for ref in refs:
        assert described.resolve({"$ref": ref}), ref
    for part in iterate(document):
        if isinstance(part, dict) and "schema" in part:
            Draft202012Validator.check_schema(part["schema"])

    described.check("/v1/views", "/v1/views", 200)
    row = stage.site.rows(stage.days)[0]
    shelf = stage.site.rows(stage.shelves)[0]
    for view, route, aliases, known in [
        (stage.days, days + "/{facility_id}/{date}", ["/dashboard/{facility_id}/{date}"], row),
        (stage.shelves, shelves + "/{hospital}/{shelf}", ["/shelves/{hospital}/{shelf}"], shelf),
    ]:
        tail = path_of(view, known).removeprefix(f"/v1/views/{view.name}")
        for own, base in [(route, f"/v1/views/{view.name}"), (aliases[0], aliases[0].partition("/{")[0])]:
            described.check(own, base + tail, 200)
            described.check(own, base + tail, 200, "text/csv")
            described.check(own, base + tail, 406, "image/png")
            described.check(own, base + tail + "?surprise=1", 400)
            described.check(own, base + tail + f"?after={stage.site.topic}/0@999999&wait=0", 504)
    described.check(days + "/{facility_id}/{date}", f"{days}/{uuid.UUID(int=2)}/2026-01-01", 404)
    for route in (days, "/dashboard", shelves, "/shelves"):
        described.check(route, route, 200)
        described.check(route, route, 200, "text/csv")
        described.check(route, route, 406, "image/png")
        described.check(route, route + "?limit=0", 400)
        described.check(route, route + f"?after={stage.site.topic}/0@999999&wait=0", 504)
    described.check("/dashboard/{facility_id}", f"/dashboard/{row['facility_id']}", 200)
    described.check("/shelves/{hospital}", "/shelves/" + quote(shelf["hospital"], safe=""), 200)
    for route in (days + "/changes", shelves + "/changes"):
        described.check(route, route + "?surprise=1", 400)
    # All that it names was asked for, and each query parameter is taken.
    assert {route for route, _ in described.met} == set(document["paths"])
    for route, known in ((days, row), (shelves, shelf)):
        first = next(iter(known))
        for parameter in map(described.resolve, document["paths"][route]["get"]["parameters"]):
            if parameter["in"] != "query" or parameter["name"] == "cursor":
                continue
            name = parameter["name"].partition(".")[0]
            value = known.get(name, {"limit": 3, "after": f"{stage.site.topic}/0@1"}.get(name))
            if parameter["name"] == "wait" and route == days:
                value = 10
            query = {} if name == first else {first: known[first]}
            described.check(route, f"{route}?" + urlencode(query | {parameter["name"]: value}), 200)
            described.check(route, f"{route}?" + urlencode(query | {parameter["name"] + "x": value}), 400)


def iterate(part):
    """Each object and array of a JSON document."""
    yield part
    for inner in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        yield from iterate(inner)


def test_rows_are_those_of_the_table_in_every_reader(stage):
    for view in (stage.days, stage.shelves):
        for row in random.Random(SEED).sample(stage.site.rows(view), 60):
            target = path_of(view, row)
            status, headers, body = stage.reader.get(target)
            assert status == 200 and json.loads(body) == row and list(json.loads(body)) == list(row), target
            assert stage.readers[1].get(target)[2] == body
            assert stage.readers[1].get(target)[1]["etag"] == headers["etag"]
    first = stage.site.rows(stage.days)[0]
    alias = f"/dashboard/{first['facility_id'].upper()}/{first['date']}"
    assert json.loads(stage.reader.get(alias)[2]) == first
    shelf = next(row for row in stage.site.rows(stage.shelves) if row["hospital"] == "plain" and row["shelf"] == 7)
    assert json.loads(stage.reader.get("/shelves/plain/007")[2]) == shelf
    # The page of a text column whose value is a word of the API's own.
    assert json.loads(stage.reader.get("/shelves/changes/7")[2])["hospital"] == "changes"


def test_a_date_without_a_row_carries_the_level(stage):
    rows = stage.site.rows(stage.days)
    for facility in FACILITIES[:4]:
        own = sorted((row for row in rows if row["facility_id"] == facility), key=lambda row: row["date"])
        gaps = [day for day in DAYS + ["2026-12-31"] if day not in {row["date"] for row in own} and day > own[0]["date"]]
        for day in gaps:
            before = [row for row in own if row["date"] < day][-1]
            status, headers, body = stage.reader.row(stage.days.name, facility, day)
            assert (status, body["total_stock"], body["date"]) == (200, before["total_stock"], day)
            assert body["total_transferred"] == body["total_requests"] == 0 and headers["etag"]
        problem(stage.reader.get(f"/v1/views/{stage.days.name}/{facility}/2026-02-01"), 404)
    absent = stage.reader.get(f"/shelves/plain/999")
    problem(absent, 404)
    assert "etag" not in absent[1]


def test_lists_have_the_rows_of_the_table(stage):
    pick = random.Random(SEED)
    tests = {".from": lambda a, b: a >= b, ".above": lambda a, b: a > b, ".to": lambda a, b: a <= b, ".below": lambda a, b: a < b}

    def bound(query, keep, column, values):
        for suffix in pick.sample(list(tests), pick.randrange(3)):
            value = pick.choice(values)
            query.append((column + suffix, value))
            keep.append(lambda row, test=tests[suffix], value=value: test(row[column], value))

    def equal(query, keep, column, values, name=None):
        values = pick.sample(values, pick.randrange(1, min(4, len(values) + 1)))
        query += [(name or column, value) for value in values]
        keep.append(lambda row: row[column] in values)

    tables = {view.name: stage.site.rows(view) for view in (stage.days, stage.shelves)}
    found_rows = 0
    for number in range(60):
        view = (stage.days, stage.shelves)[number % 2]
        query, keep = [], []
        if view is stage.days:
            if pick.random() < 0.6:
                equal(query, keep, "facility_id", FACILITIES)
            if pick.random() < 0.3:
                equal(query, keep, "date", DAYS)
            bound(query, keep, "date", DAYS)
            base = pick.choice([f"/v1/views/{view.name}", "/dashboard"])
        else:
            base = pick.choice([f"/v1/views/{view.name}", "/shelves"])
            if pick.random() < 0.6:
                equal(query, keep, "hospital", HOSPITALS)
                if pick.random() < 0.3:
                    equal(query, keep, "shelf", list(range(-5, 25)))
                else:
                    bound(query, keep, "shelf", list(range(-5, 25)))
            if pick.random() < 0.2:
                equal(query, keep, "wait", [1, 2], "wait.eq")
            bound(query, keep, "units", [0, 1, 5, 300, 2**40])
        limit = pick.choice([None, 1, 3, 7])
        query += [("limit", limit)] if limit else []
        expected = ordered(view, [row for row in tables[view.name] if all(test(row) for test in keep)])
        if limit == 1:
            expected = expected[:20]
        target = base + "?" + urlencode(query)
        pages = all_pages(stage.readers[number % 2], target) if limit != 1 else list(itertools.islice(pages_of(stage, target), 20))
        assert [row for page in pages for row in page] == expected, target
        size = limit or view.definition["reader"].get("limit", 100)
        assert [len(page) for page in pages[:-1]] == [size] * (len(pages) - 1)
        found_rows += len(expected)
        status, headers, body = stage.reader.get(target, {"Accept": "text/csv"})
        assert (status, headers["content-type"].partition(";")[0]) == (200, "text/csv")
        lines = list(csv.DictReader(io.StringIO(body.decode(), newline="")))
        assert lines == [{name: str(value) for name, value in row.items()} for row in pages[0]]
        assert body.count(b"\r\n") == len(pages[0]) + 1
    assert found_rows > 1000


def pages_of(stage, target):
    while target:
        _, headers, body = stage.reader.get(target)
        yield json.loads(body)["rows"]
        target = headers.get("link", "")[1:].partition(">")[0]


def test_a_cursor_is_for_its_own_query(stage):
    base = f"/v1/views/{stage.days.name}"
    cursor = json.loads(stage.reader.get(base + "?limit=3")[2])["next"]
    assert len(json.loads(stage.reader.get(f"{base}?cursor={cursor}&limit=5")[2])["rows"]) == 5  # another size is well
    own = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    made_up = [base64.urlsafe_b64encode(json.dumps(own | change).encode()).decode().rstrip("=")
               for change in ({"a": own["a"][:1]}, {"a": ["x"] * len(own["a"])}, {"a": 1}, {"q": "0" * 24}, {"v": 9})]
    for wrong in ["", "x", cursor[:-3], cursor + "!", "%00", "A" * 20000, *made_up]:
        assert stage.reader.get(f"{base}?limit=3&cursor={wrong}")[0] in (400, 431), wrong
    problem(stage.reader.get(f"{base}?limit=3&cursor={made_up[0]}"), 400, "cursor")
    problem(stage.reader.get(f"{base}?limit=3&date.from=2026-03-02&cursor={cursor}"), 400, "cursor")
    problem(stage.reader.get(f"/shelves?cursor={cursor}"), 400, "cursor")


def test_conditional_and_packed_answers(stage):
    row = stage.site.rows(stage.days)[0]
    for target in (path_of(stage.days, row), f"/v1/views/{stage.days.name}", "/shelves/plain/7", "/shelves", "/v1/views", "/openapi.json"):
        changes_by_itself = target == "/v1/views"  # it says how fresh they are
        status, headers, body = stage.reader.get(target)
        assert status == 200 and headers["etag"].startswith('"')
        status, head, nothing = stage.reader.get(target, method="HEAD")
        assert (status, nothing, head["content-type"]) == (200, b"", headers["content-type"])
        if changes_by_itself:
            continue
        assert (head["content-length"], head["etag"]) == (str(len(body)), headers["etag"])
        for tags in (headers["etag"], "W/" + headers["etag"], f'"x", {headers["etag"]}', "*"):
            status, again, nothing = stage.reader.get(target, {"If-None-Match": tags})
            assert (status, nothing, again["etag"], again["cache-control"]) == (304, b"", headers["etag"], headers["cache-control"])
        assert stage.reader.get(target, {"If-None-Match": '"x"'})[::2] == (200, body)
        csv_tag = stage.reader.get(target, {"Accept": "text/csv"})[1]["etag"] if target != "/openapi.json" else ""
        assert csv_tag != headers["etag"]
        status, packed, small = stage.reader.get(target, {"Accept-Encoding": "gzip"})
        if len(body) > 1024:
            assert packed["content-encoding"] == "gzip" and gzip.decompress(small) == body and len(small) < len(body)
            assert packed["etag"] == headers["etag"][:-1] + '-gzip"' and "accept-encoding" in packed["vary"].lower()
            assert stage.reader.get(target, {"Accept-Encoding": "gzip", "If-None-Match": packed["etag"]})[0] == 304
        else:
            assert "content-encoding" not in packed and small == body
        assert "content-encoding" not in stage.reader.get(target, {"Accept-Encoding": "gzip;q=0"})[1]
    private = "private, no-cache"
    assert stage.reader.get(path_of(stage.days, row))[1]["cache-control"] == private  # it has rows_by_claim
    assert stage.reader.get("/shelves/plain/7")[1]["cache-control"] == "max-age=5"
    assert stage.reader.get(f"/shelves/plain/7?after={stage.site.topic}/0@1")[1]["cache-control"] == private
    assert stage.reader.get(f"/shelves?after={stage.site.topic}/0@1")[1]["cache-control"] == private


def test_wrong_requests_are_told_what_was_expected(stage):
    days, topic = f"/v1/views/{stage.days.name}", stage.site.topic
    known = f"{days}/{FACILITIES[0]}/{DAYS[0]}"
    for target, status, words in [
        (known + "?surprise=1", 400, ["surprise", "after or wait"]),
        (days + "?surprise=1", 400, ["surprise", "facility_id"]),
        (days + "?total_stock=1", 400, ["total_stock", "no index"]),
        (days + "?date=yesterday", 400, ["date is not"]),
        (days + "?date.from=2026-03-01&date.from=2026-03-02", 400, ["two bounds"]),
        (days + "?limit=101", 400, ["1 to 100"]), (days + "?limit=0", 400, ["1 to 100"]), (days + "?limit=x", 400, ["limit"]),
        ("/shelves?limit=8", 400, ["1 to 7"]),
        ("/shelves?shelf=1", 400, ["shelf alone has no index"]),
        ("/shelves?units=9223372036854775808", 400, ["units is not"]),
        ("/shelves/plain?hospital=plain", 400, ["in the path"]),
        ("/shelves/plain/x", 400, ["shelf is not"]),
        ("/shelves/%zz/1", 400, ["%XX"]), ("/shelves/%4/1", 400, ["%XX"]), ("/shelves/%00/1", 400, ["hospital"]), ("/shelves/%ff/1", 400, ["hospital"]),
        ("/shelves?hospital=%zz", 400, ["%XX"]), ("/shelves?hospital", 400, ["NAME=VALUE"]),
        (days + "/no-uuid/2026-03-01", 400, ["facility_id"]), (f"{days}/{FACILITIES[0]}/2026-02-30", 400, ["date"]),
        (f"{days}/{FACILITIES[0]}", 404, ["{facility_id}/{date}"]), (known + "/more", 404, []), (known + "/", 404, []),
        ("/v1/views/none", 404, ["no view none"]), ("/v1/views/none/1", 404, []), ("/v1/", 404, []), ("/v1/views/", 404, []), ("/v2", 404, []),
        (known + f"?after={topic}/77@1", 400, ["no partition", f"{topic}/77"]), (known + "?after=elsewhere/0@1", 400, ["elsewhere/0"]),
        (known + f"?after={topic}/0", 400, ["TOPIC/PARTITION@OFFSET"]), (known + f"?after={topic}/0@-1", 400, ["after="]),
        (known + f"?after={topic}/0@1&wait=10001", 400, ["10000"]), (known + "?wait=x", 400, ["wait=x"]),
        (days + f"?after={topic}/77@1", 400, ["no partition"]),
        (days + "/changes?date.from=2026-03-01", 400, ["date.from", "facility_id, date"]), (days + "/changes?facility_id=x", 400, ["facility_id"]),
        ("/v1/views?x=1", 400, ["no parameters"]), ("/openapi.json?x=1", 400, ["no parameters"]),
        ("/../etc/passwd", 404, []), ("/%2e%2e/%2e%2e/etc/passwd", 404, []), ("/page.js/../../x", 404, []), ("//etc/passwd", 404, []),
        ("/v1/views/../views", 404, []), ("/dashboard/../v1/views", 404, []), ("/dashboard/..", 400, ["facility_id"]),
    ]:
        found = problem(stage.reader.get(target), status, *words)
        assert "passwd" not in found and stage.site.folder.name not in found
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT"):
        for target in (known, days, "/v1/views", "/openapi.json", "/shelves", "/metrics", "/nothing"):
            answer = stage.reader.get(target, method=method)
            problem(answer, 405)
            assert "GET" in answer[1]["allow"] and answer[1]["connection"] == "close", (method, target, answer)
    # A body, a second length and chunks are refused, and what is behind them is no request.
    for framing in ("Content-Length: 5\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "Content-Length: 0\r\nContent-Length: 9\r\n\r\nGET / HTTP"):
        with socket.create_connection(("127.0.0.1", stage.reader.port), timeout=10) as client:
            client.sendall(f"GET {known} HTTP/1.1\r\nHost: x\r\n{framing}GET {known} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            answer = b"".join(iter(lambda: client.recv(65536), b""))
        assert answer.count(b"HTTP/1.1 ") == 1 and answer.split(b" ")[1] in (b"400", b"413", b"501"), answer


def test_after_knows_what_is_applied(stage, services):
    end = stage.site.positions
    row = f"/v1/views/{stage.days.name}/{FACILITIES[0]}/{DAYS[0]}"
    all_of_it = "&".join(f"after={partition}@{offset}" for partition, offset in end.items())
    assert stage.reader.get(f"{row}?{all_of_it}&wait=0")[0] == 200
    partition, offset = next(iter(end.items()))
    for target in (row, f"/v1/views/{stage.days.name}"):
        problem(stage.reader.get(f"{target}?after={partition}@{offset + 1}&wait=50"), 504, f"{partition}@{offset + 1}", "50 ms")


def test_what_was_published_is_read_by_everyone(services, tmp_path):
    """Read your writes, with eight writers at the same two rows: each publishes, and asks two readers."""
    day = "2026-05-05"
    with own_site(services, tmp_path) as site:
        view = site.add_view()
        readers = [Reader(site.daybook, "--threads", "1") for _ in range(2)]
        for reader in readers:
            reader.wait_until_ready()
        stored, answers = [], []  # (facility, partition, offset); the same and what was read

        def one_round(number):
            facility = FACILITIES[number % 2]
            created = f"{day}T12:00:00+03:00"
            event = {"specversion": "1.0", "id": str(uuid.uuid4()), "source": "/test", "type": "bloodbank.request.created", "time": created,
                     "data": {"facility_id": facility, "created_at": created}}
            told = json.loads(site.daybook.run("publish", "--topic", site.topic, "--json", stdin=json.dumps(event) + "\n").stdout)
            [(partition, offset)] = told["positions"].items()
            stored.append((facility, partition, offset))
            for reader in readers:
                status, headers, row = reader.row(view.name, facility, day, after=f"{partition}@{offset}", wait=10000)
                assert (status, headers["cache-control"]) == (200, "private, no-cache"), row
                answers.append((facility, partition, offset, row["total_requests"]))

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(one_round, range(200)))
        assert len(answers) == 400
        for facility, partition, offset, value in answers:
            below = sum((of, where) == (facility, partition) and at <= offset for of, where, at in stored)
            assert value >= below, (facility, partition, offset, value, below)
        for facility in FACILITIES[:2]:
            last = max(value for of, _, _, value in answers if of == facility)
            assert last == 100 == site.database.query(f"SELECT total_requests FROM {view.name} WHERE facility_id = %s", facility)[0][0]


def test_changes_reach_those_who_asked_for_them(services, tmp_path):
    """Rows, filters, going on from an id in one reader and in the other, and what can't be gone on from."""
    with own_site(services, tmp_path) as site:
        view = site.add_view()
        readers = [Reader(site.daybook) for _ in range(2)]
        for reader in readers:
            reader.wait_until_ready()
        changes = f"/v1/views/{view.name}/changes"
        first, second = FACILITIES[:2]
        every = EventStream(readers[0], changes)
        one = EventStream(readers[0], f"{changes}?facility_id={second}&facility_id={FACILITIES[5]}")
        for stream in (every, one):
            assert stream.status == 200 and stream.response.getheader("Content-Type") == "text/event-stream"
            assert "retry" in stream.next() and json.loads(stream.next()["data"]) == {"reason": "start"}

        def change(facility, count, day="2026-05-05"):
            """One commit each, so that each is an event."""
            for _ in range(count):
                site.request(facility, day)
                site.settle(view)

        change(first, 3)
        change(second, 2)
        seen = [every.row() for _ in range(5)]
        assert [(row["facility_id"], row["total_requests"]) for row in seen] == [(first, 1), (first, 2), (first, 3), (second, 1), (second, 2)]
        assert seen[4] == readers[1].row(view.name, second, "2026-05-05")[2]
        assert [one.row()["total_requests"] for _ in range(2)] == [1, 2]
        for stream in (every, one):
            stream.close()

        # Going on: one event is taken, then many come, and each client finds those that it missed in either reader.
        change(first, 4)
        for reader in readers:
            again = EventStream(reader, changes, {"Last-Event-ID": every.id})
            assert "retry" in again.next()
            assert [again.row()["total_requests"] for _ in range(4)] == [4, 5, 6, 7]
            place = again.id
            again.close()
            again = EventStream(reader, changes, {"Last-Event-ID": place})
            change(second, 1)  # the next one, and not one of those before
            assert again.row()["facility_id"] == second
            again.close()
        # A commit with several rows: from each of its rows one can go on; what one had of that commit may come again.
        wait_until(lambda: readers[0].row(view.name, second, "2026-05-05")[2]["total_requests"] == 4, "the first reader has the last change")
        site.daybook.processes[0].send(signal.SIGSTOP)
        middle = EventStream(readers[0], changes)
        middle.next(lambda event: event.get("event") == "reset")
        for day in DAYS:
            site.stock(first, day, 1)
        site.producer.flush(10)
        site.daybook.processes[0].send(signal.SIGCONT)
        site.settle(view)
        change(second, 1)
        taken = [middle.next(lambda event: event.get("event") == "row")]
        while second not in taken[-1]["data"]:
            taken.append(middle.next(lambda event: event.get("event") == "row"))
        # Each row of that day on, too, whose level they changed.
        assert {json.loads(event["data"])["date"] for event in taken[:-1]} == {*DAYS, "2026-05-05"}
        stops = [index for index, event in enumerate(taken[:-1]) if "id" in event]
        assert len(stops) > 10
        for index in random.Random(SEED).sample(stops, 5):
            again = EventStream(readers[1], changes, {"Last-Event-ID": taken[index]["id"]})
            rest = []
            while taken[-1]["data"] not in rest:
                rest.append(again.next(lambda event: event.get("event") == "row")["data"])
            missed = [event["data"] for event in taken[index + 1:]]
            assert rest[len(rest) - len(missed):] == missed and set(rest) <= {event["data"] for event in taken}
            again.close()
        middle.close()

        # What a reader does not remember: made up, of another view's numbers, and of before it started.
        generation, seq, *nonce = every.id.split("-")
        for lost in ("x", "-".join([generation, str(int(seq) + 1000), *nonce]), f"{generation}-{seq}-{uuid.uuid4()}",
                     "-".join([str(int(generation) + 1), seq, *nonce])):
            stream = EventStream(readers[0], changes, {"Last-Event-ID": lost})
            assert json.loads(stream.next(lambda event: "event" in event)["data"]) == {"reason": "gone"}, lost
            stream.close()
        readers[0].restart()
        readers[0].wait_until_ready()
        stream = EventStream(readers[0], changes, {"Last-Event-ID": every.id})
        assert json.loads(stream.next(lambda event: "event" in event)["data"]) == {"reason": "gone"}
        change(second, 1)
        assert stream.row()["facility_id"] == second  # and from there on it follows
        stream.close()


def test_views_that_come_while_a_reader_runs(services, tmp_path):
    with own_site(services, tmp_path) as site:
        reader = Reader(site.daybook)
        assert json.loads(reader.get("/v1/views")[2]) == {"views": []}
        problem(reader.get("/readyz"), 503, "no view yet")
        for number in range(2):
            view = site.add_view(*([SHELVES] if number else []))
            site.stock(FACILITIES[0], DAYS[0], 4)
            site.shelve("plain", 7, 70)
            site.settle(view)
            wait_until(lambda: view.name in json.loads(reader.get("/openapi.json")[2])["components"]["schemas"], "the view is described")
            reader.wait_until_ready()
            row = site.rows(view)[0]
            assert json.loads(reader.get(path_of(view, row))[2]) == row
            assert [own["name"] for own in json.loads(reader.get("/v1/views")[2])["views"]].count(view.name) == 1
        assert reader.get("/shelves/plain/7")[0] == 200 and reader.get(f"/dashboard/{FACILITIES[0]}/{DAYS[0]}")[0] == 200


def test_a_quiet_stream_is_kept_alive(stage):
    """Last, since it takes 15 s from the stream's begin: an id comes with it, from where one can go on."""
    event = stage.idle.next(lambda event: "comment" in event)
    assert event["comment"] == "keep-alive"
    again = EventStream(stage.reader, f"/v1/views/{stage.days.name}/changes", {"Last-Event-ID": stage.idle.id})
    assert stage.idle.id and "retry" in again.next()
    stage.site.stock(FACILITIES[0], "2026-06-01", 1)
    assert again.row()["date"] == "2026-06-01"
