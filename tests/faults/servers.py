"""Kills, restarts and copies the real servers: what scripts/services starts, and standbys of its PostgreSQL."""

import errno
import importlib.machinery
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg2
from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from harness import ROOT, wait_until


def load_services():
    """scripts/services as a module: it knows how to run both."""
    path = str(ROOT / "scripts/services")
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        loader = importlib.machinery.SourceFileLoader("daybook_services", path)
        module = importlib.util.module_from_spec(importlib.util.spec_from_loader("daybook_services", loader))
        loader.exec_module(module)
        return module
    finally:
        sys.dont_write_bytecode = before


services = load_services()


class Server:
    """One of the two, as `scripts/services start RUN_DIR` left it, or a copy of it under another name."""

    def __init__(self, name, run_dir, start):
        self.service = services.Service(name, Path(run_dir))
        self.launch = start

    @property
    def port(self):
        return self.service.port()

    def is_running(self):
        return self.service.pid() is not None

    def send(self, number):
        os.kill(self.service.pid(), number)

    def wait_for_end(self):
        def ended():
            if self.service.started_here:
                self.service.process.poll()
            return not self.is_running()

        wait_until(ended, f"{self.service.name} has ended")

    def kill(self, number=signal.SIGKILL):
        self.send(number)
        self.wait_for_end()

    def start(self):
        """On the same port as before: clients wait for it there. Others may have taken it for a moment, and look at ports too."""
        expected = self.port
        end = time.monotonic() + 60
        while True:
            try:
                self.launch(self.service, set())
                if self.port == expected:
                    return
                self.kill()
            except services.Failure:
                if self.is_running() or time.monotonic() > end:
                    raise
            if time.monotonic() > end:
                raise RuntimeError(f"{self.service.name} came back on port {self.port}, expected {expected}")
            self.service.port_file.write_text(f"{expected}\n")


def kafka(run_dir):
    return Server("kafka", run_dir, services.start_kafka)


class Cluster:
    """Three brokers, each also a controller: coordinators move, leaders change."""

    SETTINGS = """
# Added by tests/faults
node.id={node}
listeners=CLIENT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
controller.quorum.voters={voters}
log.dirs={data}
default.replication.factor=3
min.insync.replicas=2
offsets.topic.replication.factor=3
offsets.topic.num.partitions=8
transaction.state.log.replication.factor=3
share.coordinator.state.topic.replication.factor=3
"""

    def __init__(self, run_dir):
        run_dir = Path(run_dir)
        taken = set()
        self.nodes = [Server(f"kafka-{node}", run_dir, self.launch) for node in (1, 2, 3)]
        ports = [node.service.choose_port(taken) for node in self.nodes]
        controllers = [services.Service(f"kafka-{node}-controller", run_dir).choose_port(taken) for node in (1, 2, 3)]
        voters = ",".join(f"{node}@127.0.0.1:{port}" for node, port in enumerate(controllers, 1))
        self.brokers = ",".join(f"127.0.0.1:{port}" for port in ports)
        self.ports = ports
        base = (ROOT / "scripts/kafka/server.properties").read_text()
        quick = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]
        for number, node in enumerate(self.nodes, 1):
            node.number = number
            node.service.dir.mkdir()
            config = node.service.dir / "server.properties"
            config.write_text(base + self.SETTINGS.format(
                node=number, port=ports[number - 1], controller=controllers[number - 1], voters=voters,
                data=node.service.dir / "data"))
            node.service.run(self.java(*quick) + ["kafka.tools.StorageTool", "format", "--cluster-id",
                                                  "AAAAAAAAQACAAAAAAAAAAA", "--config", str(config)])
        for node in self.nodes:
            node.service.launch(self.command(node.service), cwd=node.service.dir)
        wait_until(lambda: len(self.known()) == 3, "three brokers know each other", 120)

    @staticmethod
    def java(*options):
        return ["java", *options, "-cp", f"{services.KAFKA_JARS}/*",
                f"-Dlog4j2.configurationFile={ROOT}/scripts/kafka/log4j2.xml"]

    def command(self, service):
        return self.java("-Xms128m", "-Xmx384m", "-XX:+UseSerialGC", "-Djava.awt.headless=true") + [
            "kafka.Kafka", str(service.dir / "server.properties")]

    def known(self):
        """The numbers of the brokers that the cluster lists."""
        try:
            return set(AdminClient({"bootstrap.servers": self.brokers, "log_level": 0}).list_topics(timeout=5).brokers)
        except KafkaException:
            return set()

    def launch(self, service, _taken):
        service.launch(self.command(service), cwd=service.dir)
        number = int(service.name.rpartition("-")[2])
        wait_until(lambda: number in self.known(), f"{service.name} is listed again", 120)

    def end(self):
        for node in self.nodes:
            if node.is_running():
                node.kill()


class Postgresql(Server):
    def __init__(self, run_dir, name="postgresql"):
        super().__init__(name, run_dir, services.start_postgresql)
        self.run_dir = Path(run_dir)
        self.data = self.service.dir / "data"

    def answers(self):
        return self.is_running() and services.postgresql_answers(self.port)

    def kill_immediately(self):
        """Immediate shutdown: no checkpoint, recovery at the next start."""
        self.kill(signal.SIGQUIT)

    def user(self):
        return services.postgresql_user(self.service.dir)

    def standby(self, name):
        """A running streaming standby of this one."""
        copy = Postgresql(self.run_dir, name)
        copy.service.dir.mkdir()
        become = copy.user()
        copy.service.run(become + [str(services.POSTGRESQL_BIN / "pg_basebackup"), "-h", "127.0.0.1", "-p", str(self.port),
                                   "-U", "daybook", "--pgdata", str(copy.data), "--write-recovery-conf",
                                   "--checkpoint=fast", "--no-sync"], cwd="/")
        # initdb's file includes the settings of its own folder, which name its port.
        settings = copy.data / "postgresql.conf"
        settings.write_text("".join(line for line in settings.read_text().splitlines(True)
                                    if not line.startswith("include '")) + f"include '{copy.service.dir}/daybook.conf'\n")
        (copy.service.dir / "created").touch()
        services.start_postgresql(copy.service, {self.port})
        return copy

    def stop_following(self):
        """A standby receives no more; it stays as it is until it is promoted."""
        uri = f"postgresql://daybook@127.0.0.1:{self.port}/daybook"
        autocommit(uri, "ALTER SYSTEM SET primary_conninfo = ''", "SELECT pg_reload_conf()")
        wait_until(lambda: autocommit(uri, "SELECT count(*) FROM pg_stat_wal_receiver") == [(0,)],
                   "the standby has stopped to receive")

    def promote(self):
        self.service.run(self.user() + [str(services.POSTGRESQL_BIN / "pg_ctl"), "-D", str(self.data), "promote",
                                        "--wait", "--timeout", "30"], cwd="/")

    def end(self):
        if self.is_running():
            self.kill_immediately()
        shutil.rmtree(self.service.dir, ignore_errors=True)


def create_topic(admin, topic, partitions, replication=1, replicas=None, **config):
    """`replicas`: the brokers that each partition is put on, the first of which leads it."""
    where = {"replica_assignment": [replicas] * partitions} if replicas else {"replication_factor": replication}
    for done in admin.create_topics([NewTopic(topic, partitions, **where, config=config)]).values():
        done.result(30)

    def shown():
        found = admin.list_topics(topic, timeout=30).topics[topic].partitions.values()
        return len(found) == partitions and all(partition.leader >= 0 for partition in found)

    wait_until(shown, f"{topic} is shown by the broker")


def recreate_topic(admin, topic, partitions):
    """Deletes it with all its records, and makes another of the same name."""
    for done in admin.delete_topics([topic]).values():
        done.result(30)
    wait_until(lambda: topic not in admin.list_topics(timeout=30).topics, f"{topic} is deleted")

    def created():
        try:
            create_topic(admin, topic, partitions)
            return True
        except KafkaException:
            return False  # the former one is still being removed

    wait_until(created, f"{topic} is created again")


def log_ends(brokers, topic):
    """{"topic/partition": offset behind the last record} as Kafka tells it now."""
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "faults", "log_level": 0})
    try:
        partitions = consumer.list_topics(topic, timeout=30).topics[topic].partitions
        return {f"{topic}/{number}": consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=30)[1]
                for number in partitions}
    finally:
        consumer.close()


def autocommit(uri, *statements):
    """Runs statements that no transaction may hold; returns the rows of the last one."""
    connection = psycopg2.connect(uri)
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


def on_port(uri, port):
    """The same database on another server of this machine."""
    address = urlsplit(uri)
    return address._replace(netloc=f"{address.username}@127.0.0.1:{port}").geturl()


def fill(file):
    """Writes until the disk is full."""
    with open(file, "wb", buffering=0) as output:
        try:
            while True:
                output.write(bytes(4096))
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise


@contextmanager
def small_disk(folder, megabytes):
    """A tmpfs of that size for PostgreSQL; None where this process may not mount one."""
    folder.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "daybook-faults", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode != 0:
        yield None
        return
    try:
        user = pwd.getpwnam("postgres")
        os.chown(folder, user.pw_uid, user.pw_gid)
        yield folder
    finally:
        # The last descriptors of sessions that just ended may keep it busy for a moment.
        wait_until(lambda: subprocess.run(["umount", str(folder)], capture_output=True).returncode == 0,
                   f"{folder} is unmounted")
        folder.rmdir()
