"""What the fault tests share besides ../harness.py: proxies in front of both services, and a fleet of workers.

Most faults leave nothing behind but a fleet that goes on. So the tests of one file share a view under traffic and a fleet
(`running`), each waits for its own lines of the log and ends with `running.check()`: everything that is published is
applied, and `verify` finds no difference. A test that needs more has a view, traffic and a fleet of its own.
"""

import sys
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest
from confluent_kafka.admin import AdminClient, NewPartitions

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from harness import *  # noqa: E402,F401,F403
from harness import new_database, new_daybook, view_maker  # noqa: E402
from fleet import Fleet, Load  # noqa: E402
from proxy import KafkaProxy, Proxy  # noqa: E402
from servers import log_ends  # noqa: E402


def port_of(address):
    return urlsplit(address if "//" in address else "//" + address).port


def start_proxies(services):
    return SimpleNamespace(kafka=KafkaProxy([port_of(services.brokers)]), database=Proxy(port_of(services.database)))


@pytest.fixture
def proxies(services):
    """.kafka and .database stand between the workers and the services; `.arguments` sends a worker through both."""
    both = start_proxies(services)
    yield both
    both.kafka.end()
    both.database.end()


class Running:
    """A view under traffic and a fleet that reads it, which several tests use one after the other."""

    def __init__(self, services, daybook, view, workers, proxies):
        self.services = services
        self.daybook = daybook
        self.database = daybook.database
        self.view = view
        self.proxies = proxies
        self.size = workers
        self.traffic = Load(daybook, view, 3000)
        self.fleet = Fleet(daybook, view, proxies)

    def begin(self):
        """A whole fleet, whatever the test before has left."""
        for proxy in (self.proxies.kafka, self.proxies.database) if self.proxies else ():
            proxy.heal()
        for worker in self.fleet.workers[self.size:]:
            worker.kill()
        self.fleet.workers = [worker for worker in self.fleet.workers if worker.is_running()]
        while len(self.fleet.workers) < self.size:
            self.fleet.add()
        self.fleet.wait_until_shared(self.size)
        self.fleet.mark()
        self.fleet.wait_for_progress(2)

    def check(self):
        self.daybook.wait_until_applied(self.view, log_ends(self.services.brokers, self.view.topic))
        self.daybook.verify(self.view)


@pytest.fixture(scope="module")
def shared(request, services, tmp_path_factory):
    """The tests' file says with WORKERS how many there are, and with BEHIND_PROXIES where."""
    folder = tmp_path_factory.mktemp("shared")
    proxies = start_proxies(services) if getattr(request.module, "BEHIND_PROXIES", False) else None
    with new_database(services) as database, new_daybook(services, database, folder) as daybook:
        running = Running(services, daybook, view_maker(daybook, folder)(), getattr(request.module, "WORKERS", 2), proxies)
        yield running
    if proxies:
        proxies.kafka.end()
        proxies.database.end()


@pytest.fixture
def running(shared):
    shared.begin()
    yield shared
    print(f"--- the fleet's log:\n{shared.fleet.log()[-10000:]}")


@pytest.fixture
def load(daybook, view):
    """Starts traffic to the test's topic."""
    return lambda rate=5000, seed=1: Load(daybook, view, rate, seed)


@pytest.fixture
def make_fleet(daybook, view):
    """`make_fleet(2)`: two workers; `make_fleet(2, proxies)`: behind the proxies; more says how they are started."""

    def make(workers, proxies=None, **how):
        fleet = Fleet(daybook, view, proxies)
        for _ in range(workers):
            fleet.add(**how)
        return fleet

    return make


@pytest.fixture
def admin(services):
    return AdminClient({"bootstrap.servers": services.brokers})


@pytest.fixture
def add_partitions(admin):
    def add(topic, total):
        for done in admin.create_partitions([NewPartitions(topic, total)]).values():
            done.result(30)

    return add
