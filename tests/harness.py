"""What tests on real parts share (e2e/, faults/): services, a fresh database for each test, and the program itself.

`scripts/test` runs them against the services that it started (DAYBOOK_BROKERS, DAYBOOK_DATABASE); run by hand,
    scripts/setup && scripts/build && build/venv/bin/python -m pytest tests/e2e -k NAME
they start their own. Every test has its own database, and its own topic and views by renaming them in copies of the
definition files, so that tests do not see each other's events. Nothing sleeps: tests wait for conditions.
"""

import json
import os
import signal
import subprocess
import time
import uuid
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import confluent_kafka
import psycopg2
import pytest

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = os.environ.get("DAYBOOK_PROGRAM", str(ROOT / "build/release/daybook"))
VIEWS = ROOT / "schemas/bloodbank/views"

# An ended run cleans up like an interrupted one.
signal.signal(signal.SIGTERM, signal.default_int_handler)


def wait_until(condition, what, deadline=30):
    """Asks until `condition()` is true, and returns what it returned; fails with `what` after `deadline` seconds."""
    end = time.monotonic() + deadline
    while True:
        result = condition()
        if result:
            return result
        assert time.monotonic() < end, f"not after {deadline} s: {what() if callable(what) else what}"
        time.sleep(0.02)  # between two questions, not instead of one


@pytest.fixture(scope="session")
def services(tmp_path_factory):
    """Where Kafka and PostgreSQL are: .brokers, .database, and .run_dir for those tests that stop and start them."""
    if "DAYBOOK_BROKERS" in os.environ and "DAYBOOK_DATABASE" in os.environ:
        yield SimpleNamespace(
            brokers=os.environ["DAYBOOK_BROKERS"],
            database=os.environ["DAYBOOK_DATABASE"],
            run_dir=os.environ.get("DAYBOOK_RUN_DIR"),
        )
        return
    run_dir = tmp_path_factory.mktemp("services")
    command = [str(ROOT / "scripts/services")]
    subprocess.run(command + ["start", str(run_dir)], check=True)
    try:
        env = dict(line.split("=", 1) for line in (run_dir / "env").read_text().split())
        yield SimpleNamespace(brokers=env["DAYBOOK_BROKERS"], database=env["DAYBOOK_DATABASE"], run_dir=str(run_dir))
    finally:
        subprocess.run(command + ["stop", str(run_dir)], check=True)


class Database:
    """A database of a test's own, with the bookkeeping tables once `daybook migrate` has run."""

    def __init__(self, uri):
        self.uri = uri

    def query(self, statement, *parameters):
        """The rows of a statement, each asked on a connection of its own: it may be gone and come back."""
        connection = psycopg2.connect(self.uri)
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(statement, parameters)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def positions(self, view):
        """{"topic/partition": next offset to read} of a view."""
        return dict(
            self.query(
                "SELECT p.topic || '/' || p.partition, p.next_offset FROM daybook.position p"
                " JOIN daybook.generation g ON g.id = p.generation WHERE g.view = %s AND g.state = 'live'",
                view,
            )
        )

    def has_applied(self, view, positions):
        """Whether the view's stored positions are at or past these."""
        stored = self.positions(view)
        return all(stored.get(partition, -1) >= offset for partition, offset in positions.items())


@contextmanager
def new_database(services):
    name = "test_" + uuid.uuid4().hex[:12]
    server = Database(services.database)

    def execute(statement):
        connection = psycopg2.connect(server.uri)
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)
        connection.close()

    execute(f"CREATE DATABASE {name}")
    try:
        yield Database(urlsplit(services.database)._replace(path="/" + name).geturl())
    finally:
        execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def database(services):
    with new_database(services) as created:
        yield created


class Process:
    """A running command of the program; its output is in a file, which a failed test shows."""

    def __init__(self, command, env, log):
        self.log = log
        with open(log, "wb") as output:
            self.popen = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        self.pid = self.popen.pid

    def output(self):
        return self.log.read_text(errors="replace")

    def is_running(self):
        return self.popen.poll() is None

    def send(self, number):
        self.popen.send_signal(number)

    def kill(self):
        self.popen.kill()
        return self.popen.wait()

    def terminate(self, deadline=10):
        """Asks it to end and returns its exit status."""
        self.popen.terminate()
        return self.popen.wait(deadline)


class Daybook:
    """Runs the program's commands against a test's services."""

    def __init__(self, services, database, folder):
        self.env = os.environ | {"DAYBOOK_BROKERS": services.brokers, "DAYBOOK_DATABASE": database.uri}
        self.folder = folder
        self.database = database
        self.processes = []

    def run(self, *arguments, status=0, deadline=60, stdin=None):
        """Runs a command to its end, expects its exit status, returns what it printed: .stdout and .stderr."""
        done = subprocess.run(
            [PROGRAM, *map(str, arguments)],
            env=self.env, cwd=ROOT, timeout=deadline, capture_output=True, encoding="utf-8",
            **({"stdin": subprocess.DEVNULL} if stdin is None else {"input": stdin}),
        )
        shown = f"daybook {' '.join(map(str, arguments))}: exit status {done.returncode}\n{done.stdout}{done.stderr}"
        print(shown)
        assert done.returncode == status, shown
        return done

    def start(self, *arguments, program=PROGRAM, env=None):
        """Starts a command that runs until it is stopped; `env` changes single variables."""
        log = self.folder / f"{len(self.processes)}-{arguments[0]}.log"
        process = Process([program, *map(str, arguments)], self.env | (env or {}), log)
        self.processes.append(process)
        return process

    def start_worker(self, view, *arguments, **how):
        return self.start("worker", "--view", view.file, *arguments, **how)

    def simulate(self, view, *arguments, events=20000, partitions=4):
        """Publishes simulated traffic to the view's topic; returns the positions after it."""
        done = self.run(
            "simulate", "bloodbank", "--topic", view.topic, "--create-topics", partitions, "--events", events,
            "--rate", 0, "--json", *arguments,
        )
        return json.loads(done.stdout)["positions"]

    def wait_until_applied(self, view, positions, deadline=60):
        def progress():
            for process in self.processes:
                assert process.is_running() or process.popen.returncode <= 0, f"a worker ended:\n{process.output()}"
            return self.database.has_applied(view.name, positions)

        wait_until(progress, lambda: f"{view.name} at {positions}, is at {self.database.positions(view.name)}", deadline)

    def verify(self, view, status=0):
        return self.run("verify", view.name, status=status)


@contextmanager
def new_daybook(services, database, folder):
    program = Daybook(services, database, folder)
    try:
        yield program
    finally:
        for process in program.processes:
            if process.is_running():
                process.kill()
            print(f"--- {process.log.name}, exit status {process.popen.returncode}:\n{process.output()[-10000:]}")


@pytest.fixture
def daybook(services, database, tmp_path):
    with new_daybook(services, database, tmp_path) as program:
        yield program


def apply_view(daybook, folder, topic, source=VIEWS / "dashboard_daily_summary.json", **changes):
    """Makes a view of a definition (a file, or what one says) under names of this test's own, applied to its database."""
    definition = dict(source) if isinstance(source, dict) else json.loads(source.read_text())
    definition.pop("$schema", None)  # a relative path, for editors
    # Kafka's group is named after the view, so the name has to differ between tests that share a broker.
    definition["view"] = f"{definition['view']}_{uuid.uuid4().hex[:8]}"
    for rule in definition["sources"]:
        rule["topic"] = topic
    definition.update(changes)
    file = folder / f"{definition['view']}.json"
    file.write_text(json.dumps(definition, indent=2))
    daybook.run("views", "apply", file)
    return SimpleNamespace(name=definition["view"], topic=topic, file=file, definition=definition)


def view_maker(daybook, folder):
    """What makes views of a definition file under names of their own, applied to that database."""
    daybook.run("migrate")
    topic = "test." + uuid.uuid4().hex[:12]

    def make(source=VIEWS / "dashboard_daily_summary.json", **changes):
        return apply_view(daybook, folder, topic, source, **changes)

    return make


@pytest.fixture
def make_view(tmp_path, daybook):
    """Makes a view of a definition file under names of this test's own, applied to its database."""
    return view_maker(daybook, tmp_path)


@pytest.fixture
def view(make_view):
    return make_view()


@pytest.fixture
def producer(services):
    """A plain Kafka producer, for records that Daybook's own would not write. Flush it."""
    return confluent_kafka.Producer({"bootstrap.servers": services.brokers, "acks": "all", "enable.idempotence": True})
