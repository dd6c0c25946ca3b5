"""Workers of one view under load, for the fault tests and the soak."""

import os
import time

from harness import ROOT, wait_until
from servers import on_port

# Short timeouts, so that a test sees the group move on soon.
SOON = ("--kafka", "session.timeout.ms=1000", "--kafka", "heartbeat.interval.ms=200",
        "--kafka", "topic.metadata.refresh.interval.ms=500", "--kafka", "reconnect.backoff.max.ms=500")


FAILPOINT_WORKER = os.environ.get("DAYBOOK_FAILPOINT_WORKER", str(ROOT / "build/release/tests/failpoint_worker"))
# The same worker with less patience than an operator wants, so that a test need not wait for it.
IMPATIENT = {"program": FAILPOINT_WORKER, "env": {"DAYBOOK_PATIENCE_MS": "500"}}


class Fleet:
    """Workers of one view under load, each with short timeouts; ended ones are started again where a test asks."""

    def __init__(self, daybook, view, proxies):
        self.daybook = daybook
        self.view = view
        self.arguments = list(SOON)
        if proxies:
            self.arguments += ["--brokers", proxies.kafka.brokers,
                               "--database", on_port(daybook.database.uri, proxies.database.port)]
        self.workers = []
        self.marks = {}

    def add(self, **how):
        self.workers.append(self.daybook.start_worker(self.view, *self.arguments, **how))
        return self.workers[-1]

    def mark(self):
        """From now on only what comes is the log."""
        self.marks = {worker.pid: len(worker.output()) for worker in self.workers}

    def log(self):
        return "".join(worker.output()[self.marks.get(worker.pid, 0):] for worker in self.workers)

    def wait_for_line(self, *parts, deadline=60):
        """Waits until one line of one worker's log has all of these parts, and returns it."""

        def found():
            return next((line for line in self.log().splitlines() if all(part in line for part in parts)), None)

        return wait_until(found, lambda: f"a line with {parts} in\n{self.log()[-3000:]}", deadline)

    def wait_for_progress(self, commits=1, deadline=60):
        """Waits until the view's head has moved by so many commits."""
        target = self.seq() + commits
        wait_until(lambda: self.seq() >= target, lambda: f"commit {target} of {self.view.name}, is at {self.seq()}", deadline)

    def seq(self):
        rows = self.daybook.database.query(
            "SELECT h.seq FROM daybook.view_head h JOIN daybook.generation g ON g.id = h.generation"
            " WHERE g.view = %s AND g.state = 'live'", self.view.name)
        return rows[0][0]

    def owners(self):
        return {owner for (owner,) in self.daybook.database.query(
            "SELECT DISTINCT p.owner FROM daybook.position p JOIN daybook.generation g ON g.id = p.generation"
            " WHERE g.view = %s AND g.state = 'live'", self.view.name)}

    def wait_until_shared(self, by=2):
        wait_until(lambda: len(self.owners()) >= by, lambda: f"{by} owners, have {self.owners()}")


class Load:
    """Traffic that is published until `end()`, which returns the positions behind it."""

    def __init__(self, daybook, view, rate, seed=1, *arguments):
        self.topic = view.topic
        self.process = daybook.start(
            "simulate", "bloodbank", "--topic", view.topic, "--create-topics", 4, "--events", 0, "--rate", rate,
            "--duplicates", 0.05, "--poison", 0.001, "--seed", seed, *(arguments or ("--late", 0.05)))
        wait_until(lambda: self.process.is_running(), "the load runs")

    def end(self):
        assert self.process.terminate(30) == 0, self.process.output()
        # TOPIC/PARTITION@NEXT_OFFSET a line
        return {name: int(offset) for name, offset in
                (line.rsplit("@", 1) for line in self.process.output().splitlines() if line.startswith(self.topic + "/"))}
