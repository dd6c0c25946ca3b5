"""Readers while rows change and things break: no row goes back in time, all agree once it is quiet, lost feeds are said."""

import time

import pytest
from fleet import SOON, Load
from harness import wait_until
from readers import Reader, Watcher, differences
from servers import Postgresql, on_port

COLUMNS = ("total_stock", "total_transferred", "total_requests")


class Stage:
    """Traffic on few rows, two workers, readers and a watcher of each."""

    def __init__(self, daybook, database, view, readers, seed):
        print("seed", seed)
        self.daybook, self.database, self.view, self.readers = daybook, database, view, readers
        self.traffic = Load(daybook, view, 3000, seed, "--facilities", 20, "--days", 3, "--random-days")
        for _ in range(2):
            daybook.start_worker(view, *SOON)
        self.keys = [(str(facility), str(date)) for facility, date in wait_until(self.rows, "sixty rows")]
        for reader in readers:
            reader.wait_until_ready()
        self.watchers = [Watcher(reader, view.name, self.keys, "total_requests", seed + n) for n, reader in enumerate(readers)]

    def rows(self):
        rows = self.database.query(f"SELECT facility_id, date FROM {self.view.name} ORDER BY 1, 2")
        return rows if len(rows) >= 60 else None

    def wait_for_reads(self, more=300):
        for watcher in self.watchers:
            target = watcher.reads + more
            wait_until(lambda: watcher.reads >= target, lambda: f"{target} reads, {watcher.reads} so far, {watcher.refusals} refused", 60)

    def end(self):
        self.daybook.wait_until_applied(self.view, self.traffic.end())
        self.daybook.verify(self.view)
        for reader in self.readers:
            wait_until(lambda: not differences(reader, self.database, self.view.name, self.keys, COLUMNS),
                       lambda: f"equal rows; differ: {differences(reader, self.database, self.view.name, self.keys, COLUMNS)[:5]}")
        bodies = [[reader.get(f"/v1/views/{self.view.name}/{facility}/{date}")[2] for facility, date in self.keys] for reader in self.readers]
        assert all(each == bodies[0] for each in bodies)
        for watcher in self.watchers:
            watcher.stop()
            print(f"{watcher.reads} reads, {watcher.refusals} refused, {watcher.lost} with a lost feed")
            assert watcher.faults == []


@pytest.fixture
def stage(daybook, database, view):
    def make(readers, seed=1):
        return Stage(daybook, database, view, readers, seed)

    return make


def test_rows_never_go_back_while_readers_restart(daybook, stage):
    readers = [Reader(daybook) for _ in range(3)]
    running = stage(readers)
    running.wait_for_reads()
    for reader in readers[:2]:
        reader.restart()
        reader.wait_until_ready()
        running.wait_for_reads(100)
    running.end()


def test_a_feed_that_breaks_and_one_that_hangs(daybook, stage, proxies):
    through_proxy = Reader(daybook, "--database", on_port(daybook.database.uri, proxies.database.port))
    running = stage([through_proxy, Reader(daybook)], seed=2)
    running.wait_for_reads()
    proxies.database.cut()
    running.wait_for_reads()

    proxies.database.stop()  # connections stay, nothing passes
    facility, date = running.keys[0]

    def is_said():
        status, headers, _ = through_proxy.row(running.view.name, facility, date)
        return status == 503 or headers.get("daybook-feed") == "lost"

    began = time.monotonic()
    wait_until(is_said, "a lost feed is said")
    print(f"said after {time.monotonic() - began:.2f} s")
    assert time.monotonic() - began < 4  # 2 s, and what this machine is busy with
    assert through_proxy.get("/readyz")[0] == 503
    proxies.database.heal()
    proxies.database.cut()
    wait_until(lambda: through_proxy.get("/readyz")[0] == 200, "the reader has its feed again")
    running.wait_for_reads()
    running.end()


def test_the_database_restarts_under_readers(daybook, services, stage):
    readers = [Reader(daybook) for _ in range(2)]
    running = stage(readers, seed=3)
    running.wait_for_reads()
    server = Postgresql(services.run_dir)
    server.kill_immediately()
    server.start()
    for reader in readers:
        wait_until(lambda: reader.get("/readyz")[0] == 200, "the reader has its feed again", 60)
    running.wait_for_reads()
    running.end()


def test_a_reader_ends_though_the_database_does_not_answer(daybook, view, proxies):
    reader = Reader(daybook, "--database", on_port(daybook.database.uri, proxies.database.port))
    reader.wait_until_ready()
    proxies.database.stop()  # connections stay, nothing passes
    wait_until(lambda: reader.get("/readyz")[0] == 503, "the feed waits for an answer")
    began = time.monotonic()
    assert reader.process.terminate(25) == 0
    print(f"ended after {time.monotonic() - began:.1f} s")
    assert "ending without it" in reader.process.output()
