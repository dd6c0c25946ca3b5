"""Workers of one view under load, for the fault tests and the soak."""

import time

from harness import wait_until
from servers import on_port

# Short timeouts, so that a test sees the group move on soon.
SOON = ("--kafka", "session.timeout.ms=1000", "--kafka", "heartbeat.interval.ms=200",
        "--kafka", "topic.metadata.refresh.interval.ms=500", "--kafka", "reconnect.backoff.max.ms=500")


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

    def add(self, **how):
        self.workers.append(self.daybook.start_worker(self.view, *self.arguments, **how))
        return self.workers[-1]

    def log(self):
        return "".join(worker.output() for worker in self.workers)

    def wait_for_line(self, *parts, deadline=20):
        """Waits until one line of one worker's log has all of these parts, and returns it."""

        def found():
            return next((line for line in self.log().splitlines() if all(part in line for part in parts)), None)

        return wait_until(found, lambda: f"a line with {parts} in\n{self.log()[-3000:]}", deadline)

    def wait_for_progress(self, commits=1, deadline=30):
        """Waits until the view's head has moved by so many commits."""
        target = self.seq() + commits
        wait_until(lambda: self.seq() >= target, lambda: f"commit {target} of {self.view.name}, is at {self.seq()}", deadline)

    def wait_until_quiet(self, seconds=1.5):
        """Waits until no commit has happened for so long."""
        last = [None, 0.0]

        def quiet():
            now, seq = time.monotonic(), self.seq()
            if seq != last[0]:
                last[:] = [seq, now]
            return now - last[1] >= seconds

        wait_until(quiet, f"no commit of {self.view.name} comes for {seconds} s")

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
