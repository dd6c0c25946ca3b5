"""Faults of the soak on a view and a topic of their own, with one worker of their own.

After some a person has to decide: the log is no longer the one that was read. The view must pause and say why, and its rows
must stay as they were. Then the rule is: the topic is restored (the same events are published again) and a person moves
the view to its beginning: nothing counts twice, nothing is lost, and verify finds no difference.
Another keeps the database away for a long time while far more is published than fits into a worker.
"""

import json
import time

import confluent_kafka
import memory
from harness import wait_until
from servers import create_topic, log_ends, recreate_topic

START = ("--start", "2026-01-01")
PARTITIONS = 2


class SideView:
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

    def rows(self):
        return self.system.query(f"SELECT * FROM {self.view.name} ORDER BY 1, 2")

    def led_by(self, node):
        """The ends of all partitions once that broker leads them, else nothing."""
        try:
            topic = self.system.admin.list_topics(self.topic, timeout=30).topics[self.topic]
            if len(topic.partitions) < PARTITIONS or any(part.leader != node.number for part in topic.partitions.values()):
                return None
            return log_ends(self.system.brokers, self.topic)
        except (confluent_kafka.KafkaException, KeyError):
            return None

    def wait_until_applied(self, positions, deadline=120):
        wait_until(lambda: self.system.answers(lambda: self.system.database.has_applied(self.view.name, positions)),
                   lambda: f"{self.view.name} at {positions}, is at {self.system.database.positions(self.view.name)}:\n"
                           + self.worker.output()[-1000:], deadline)

    def reason(self):
        """Why it is paused, once its worker has said so."""
        rows = self.system.query("SELECT paused FROM daybook.generation WHERE view = %s", self.view.name)
        return rows[0][0] if f"{self.view.name}: paused: " in self.worker.output() else None

    def wait_until_paused(self, cause=""):
        why = wait_until(self.reason, lambda: f"{self.view.name} is paused:\n{self.worker.output()[-1000:]}", 120)
        if self.topic not in why or "daybook positions move" not in why or cause not in why:
            raise AssertionError(f"a pause that names the topic, what to do and why ({cause}), found: {why}")
        self.system.note(f"paused: {why[:100]}")

    def restore(self):
        for events, seed in list(self.published):
            self.publish(events, seed)
        positions = self.publish(1000)
        self.system.quiet("positions", "move", self.view.name, "--to", "earliest", "--yes")
        self.wait_until_applied(positions)
        self.verify()

    def verify(self):
        found = self.system.verify(self.view.name)
        if found["differences"] != 0:
            raise AssertionError(f"verify of {self.view.name}: {found['differences']} differences: {found['details'][:5]}")

    def end(self):
        if self.worker and self.worker.is_running():
            self.worker.kill()


def topic_recreated(system, chance):
    side = SideView(system)
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
    """A replica that was not in sync becomes the leader: acknowledged records are gone from the log.

    The log that is left is shorter than what was applied, or others have made it longer again meanwhile: then the worker
    finds another record where the last applied one was.
    """
    behind, ahead = chance.sample(system.cluster.nodes, 2)
    side = SideView(system, replicas=[ahead.number, behind.number],
                    **{"unclean.leader.election.enable": "true", "min.insync.replicas": "1"})
    is_longer = chance.random() < 0.5
    try:
        side.start()
        side.wait_until_applied(side.publish(1000))
        behind.kill()
        acknowledged = side.publish(4000)
        side.wait_until_applied(acknowledged)
        rows = side.rows()
        ahead.kill()
        if is_longer:
            side.end()
        behind.start()
        left = wait_until(lambda: side.led_by(behind), f"broker {behind.number} leads all of {side.topic}", 120)
        cut = {name: acknowledged[name] - offset for name, offset in left.items() if offset < acknowledged[name]}
        if not cut:
            raise AssertionError(f"an election that cuts the log, found it whole: {acknowledged}, now {left}")
        if is_longer:
            side.publish(12000, seed=side.seed + 500)
            side.start()
        side.wait_until_paused("is not the record that was applied last" if is_longer else "but the log ends at")
        if side.rows() != rows:
            raise AssertionError(f"rows of {side.view.name} changed although the log it read is gone")
        system.evidence["unclean elections"] += 1
        system.evidence["acknowledged records cut off by them"] += sum(cut.values())
        ahead.start()
        side.restore()
    finally:
        side.end()
        for node in system.cluster.nodes:
            if not node.is_running():
                node.start()


def database_away(system, chance):
    """For a long time, under a load that would fill any worker that goes on taking in."""
    side = SideView(system)
    seconds, rate = system.options.away_seconds, system.options.away_rate
    is_killed = chance.random() < 0.5
    try:
        side.start()
        side.wait_until_applied(side.publish(2000))
        load = system.daybook.start("simulate", "bloodbank", "--topic", side.topic, "--events", 0, "--rate", rate,
                                    "--duplicates", 0.02, "--seed", side.seed + 500, "--timeout", 120, *START)
        if is_killed:
            system.database_server.kill_immediately()
        else:
            system.proxies.database.stop()
        before = sum(log_ends(system.brokers, side.topic).values())
        system.wait(seconds)
        published = sum(log_ends(system.brokers, side.topic).values()) - before
        peak = memory.check(f"the database was away for {seconds:g} s", side.worker.pid, 2000)
        system.note(f"{'killed' if is_killed else 'silent'}; {published} events or {published * memory.EVENT_BYTES / memory.MIB:.0f} MiB"
                    f" published meanwhile, the worker's memory at most {peak / memory.MIB:.0f} MiB")
        if is_killed:
            system.database_server.start()
        else:
            system.proxies.database.heal()
        if load.terminate(60) != 0:
            raise AssertionError(f"the load ends well:\n{load.output()[-1000:]}")
        began = time.monotonic()
        side.wait_until_applied(log_ends(system.brokers, side.topic), 300)
        peak = memory.check("and caught up", side.worker.pid, published + 2000)
        side.verify()
        system.note(f"caught up and verified in {time.monotonic() - began:.0f} s, {peak / memory.MIB:.0f} MiB")
        system.evidence["MiB of the worker whose database was away"] = max(
            system.evidence["MiB of the worker whose database was away"], peak // memory.MIB)
    finally:
        side.end()
        system.proxies.database.heal()
        if not system.database_server.is_running():
            system.database_server.start()
