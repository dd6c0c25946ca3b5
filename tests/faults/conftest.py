"""What the fault tests share besides ../harness.py: proxies in front of both services, and a fleet of workers."""

import sys
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest
from confluent_kafka.admin import AdminClient, NewPartitions

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from harness import *  # noqa: E402,F401,F403
from fleet import Fleet, Load  # noqa: E402
from proxy import KafkaProxy, Proxy  # noqa: E402

def port_of(address):
    return urlsplit(address if "//" in address else "//" + address).port


@pytest.fixture
def proxies(services):
    """.kafka and .database stand between the workers and the services; `.arguments` sends a worker through both."""
    kafka = KafkaProxy([port_of(services.brokers)])
    database = Proxy(port_of(services.database))
    yield SimpleNamespace(kafka=kafka, database=database)
    kafka.end()
    database.end()


@pytest.fixture
def load(daybook, view):
    """Starts traffic to the test's topic."""
    return lambda rate=5000, seed=1: Load(daybook, view, rate, seed)


@pytest.fixture
def make_fleet(daybook, view):
    """`make_fleet(2)`: two workers; `make_fleet(2, proxies)`: behind the proxies."""

    def make(workers, proxies=None):
        fleet = Fleet(daybook, view, proxies)
        for _ in range(workers):
            fleet.add()
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
