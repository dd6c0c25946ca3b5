"""Faults of the soak after which a person has to decide: each on a view and a topic of its own.

The log is no longer the one that was read. The view must pause and say why; then the topic is restored (the same events
are published again) and a person moves the view to its beginning: nothing counts twice, and verify finds no difference.
"""

import json

from harness import wait_until
from servers import create_topic, recreate_topic

START = ("--start", "2026-01-01")
PARTITIONS = 2


class PausedView:
    def __init__(self, system, **config):
        self.system = system
        system.side_views += 1
        self.topic = f"soak.side.{system.side_views}"
        self.seed = system.side_views
        create_topic(system.admin, self.topic, PARTITIONS, **config)
        self.view = system.make_view(f"side_{system.side_views}", self.topic)
        self.worker = None
        self.published = []

    def start(self):
        self.worker = self.system.daybook.start_worker(self.view, *self.system.fleet.arguments)

    def publish(self, events, seed=None):
        """The same seed and number give the same events on the same partitions; the view's own are remembered."""
        if seed is None:
            seed = self.seed + 1000 * len(self.published)
            self.published.append((events, seed))
        printed = self.system.quiet("simulate", "bloodbank", "--topic", self.topic, "--events", events, "--rate", 0,
                                    "--seed", seed, "--duplicates", 0.05, "--json", "--timeout", 120, *START)
        return json.loads(printed)["positions"]

    def wait_until_applied(self, positions):
        wait_until(lambda: self.system.answers(lambda: self.system.database.has_applied(self.view.name, positions)),
                   lambda: f"{self.view.name} at {positions}, is at {self.system.database.positions(self.view.name)}:\n"
                           + self.worker.output()[-1000:], 120)

    def reason(self):
        """Why it is paused, once its worker has said so."""
        rows = self.system.query("SELECT paused FROM daybook.generation WHERE view = %s", self.view.name)
        return rows[0][0] if f"{self.view.name}: paused: " in self.worker.output() else None

    def wait_until_paused(self):
        why = wait_until(self.reason, lambda: f"{self.view.name} is paused:\n{self.worker.output()[-1000:]}", 120)
        if self.topic not in why or "daybook positions move" not in why:
            raise AssertionError(f"a pause that names the topic and what to do, found: {why}")
        self.system.note(f"paused: {why[:100]}")

    def restore(self):
        for events, seed in list(self.published):
            self.publish(events, seed)
        positions = self.publish(1000)
        self.system.quiet("positions", "move", self.view.name, "--to", "earliest", "--yes")
        self.wait_until_applied(positions)
        found = self.system.verify(self.view.name)
        if found["differences"] != 0:
            raise AssertionError(f"verify of {self.view.name}: {found['differences']} differences: {found['details'][:5]}")

    def end(self):
        if self.worker and self.worker.is_running():
            self.worker.kill()


def topic_recreated(system, chance):
    side = PausedView(system)
    try:
        side.start()
        side.wait_until_applied(side.publish(2000))
        # Under a running worker the new topic is shorter than the position. A longer one is only told by the anchor,
        # which is checked when partitions are assigned.
        runs = chance.random() < 0.5
        if not runs:
            side.worker.terminate()
        recreate_topic(system.admin, side.topic, PARTITIONS)
        if runs:
            side.publish(100, seed=side.seed + 500)
        else:
            side.publish(chance.choice([100, 10000]), seed=side.seed + 500)
            side.start()
        side.wait_until_paused()
        if not runs:
            recreate_topic(system.admin, side.topic, PARTITIONS)
        side.restore()
    finally:
        side.end()


def unclean_election(system, chance):
    """A replica that was not in sync becomes the leader: acknowledged records are gone from the log."""
    side = PausedView(system, replication=2, **{"unclean.leader.election.enable": "true", "min.insync.replicas": "1"})
    try:
        side.start()
        side.wait_until_applied(side.publish(1000))
        first, second = system.brokers_of(side.topic)
        behind, ahead = chance.sample([first, second], 2)
        behind.kill()
        side.wait_until_applied(side.publish(4000))
        ahead.kill()
        behind.start()
        side.wait_until_paused()
        ahead.start()
        side.restore()
    finally:
        side.end()
        for node in system.cluster.nodes:
            if not node.is_running():
                node.start()
