"""The fault classes of the soak. Each is a function of the system and of a random number generator of its own."""

import os
import random
import signal
import subprocess

import psycopg2
from confluent_kafka.admin import NewPartitions
from fleet import FAILPOINT_WORKER
from harness import wait_until
from side_views import database_away, topic_recreated, unclean_election
from servers import autocommit, fill, small_disk

PARTITIONS_MAX = 12
SESSION_SECONDS = 1.0  # fleet.SOON


def failpoints():
    listed = subprocess.run([FAILPOINT_WORKER, "list"], check=True, capture_output=True, encoding="utf-8")
    return listed.stdout.split()


# --- workers ---------------------------------------------------------------------------------------------------------


def worker_kill(system, chance):
    for _ in range(chance.randint(1, 2)):
        system.end_worker(chance, signal.SIGKILL)


def worker_kill_all(system, chance):
    for worker in system.running():
        system.end(worker, signal.SIGKILL)


def worker_kill_at_failpoint(system, chance):
    name = chance.choice(failpoints())
    delay = chance.randint(0, 50)
    # It takes the place of a worker; the supervisor fills up with a plain one once it is dead.
    system.end_worker(chance, signal.SIGTERM)
    victim = system.add_worker(program=FAILPOINT_WORKER, expected=True, env={
        "DAYBOOK_FAILPOINT": f"{name}:{chance.randint(1, 5) if name.startswith(('commit', 'answer')) else 1}",
        "DAYBOOK_FAILPOINT_DELAY_MS": str(delay)})
    try:
        wait_until(lambda: not victim.is_running(), "", 15)
    except AssertionError:
        # Some points are passed only by chance (a worker without partitions commits nothing).
        system.note(f"failpoint {name} was not passed")
        system.end(victim, signal.SIGKILL)


def worker_freeze(system, chance):
    worker = chance.choice(system.running())
    system.note(f"pid {worker.pid}")
    worker.send(signal.SIGSTOP)
    system.wait(SESSION_SECONDS + chance.uniform(0.2, 4))
    worker.send(signal.SIGCONT)


def rebalance_storm(system, chance):
    for _ in range(chance.randint(5, 10)):
        if chance.random() < 0.5:
            system.add_worker()
        else:
            system.end_worker(chance, chance.choice([signal.SIGTERM, signal.SIGKILL]))
        system.wait(chance.uniform(0, 0.6))
    system.shrink()


# --- Kafka -----------------------------------------------------------------------------------------------------------


def broker_kill(system, chance):
    """Of three brokers any one: leaders change."""
    if system.cluster is None:
        system.broker.kill()
        system.wait(chance.uniform(0, 4))
        system.broker.start()
        return
    broker = chance.choice(system.cluster.nodes)
    led = sum(leader == broker.number for leader in system.leaders().values())
    broker.kill()

    def moved():
        leaders = system.answers(system.leaders)
        return leaders and all(leader not in (-1, broker.number) for leader in leaders.values())

    wait_until(moved, f"others lead what broker {broker.number} led", 60)
    system.evidence["leader changes"] += led
    system.note(f"broker {broker.number} led {led} partitions")
    system.wait(chance.uniform(0, 4))
    broker.start()


def coordinator_kill(system, chance):
    former = system.coordinator()
    former.kill()

    def moved():
        found = system.answers(system.coordinator)
        return found if found and found is not former else None

    present = wait_until(moved, f"another broker coordinates the group, not {former.number}", 60)
    system.evidence["coordinator moves"] += 1
    system.note(f"broker {former.number} -> {present.number}")
    system.wait(chance.uniform(0, 8))
    former.start()


def partitions_added(system, chance):
    count = system.partition_count()
    if count >= PARTITIONS_MAX:
        system.note(f"has {count} already")
        return
    for done in system.admin.create_partitions([NewPartitions(system.view.topic, count + 1)]).values():
        done.result(30)


# --- PostgreSQL ------------------------------------------------------------------------------------------------------


def database_kill(system, chance):
    system.database_server.kill_immediately()
    system.wait(chance.uniform(0, 3))
    system.database_server.start()


def sessions(system):
    return [pid for (pid,) in system.query(
        "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'daybook-worker/%%' ORDER BY pid")]


def database_session_crash(system, chance):
    pids = sessions(system)
    if pids:
        os.kill(chance.choice(pids), signal.SIGKILL)
    wait_until(system.database_server.answers, "the server has recovered", 60)


def database_session_ended(system, chance):
    for _ in range(chance.randint(1, 10)):
        for pid in sessions(system):
            system.query("SELECT pg_terminate_backend(%s)", pid)
        system.wait(chance.uniform(0, 0.3))


def database_slow(system, chance):
    """Somebody holds a lock that each commit needs, longer than the worker waits before it pauses intake."""
    connection = psycopg2.connect(system.database.uri)
    try:
        with connection.cursor() as cursor:
            cursor.execute(f"LOCK TABLE {system.view.name} IN SHARE ROW EXCLUSIVE MODE")
            system.wait(chance.uniform(1, 8))
    finally:
        connection.close()


def disk_full(system, chance):
    slots = system.query("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'daybook.seen'::regclass")
    tables = [system.view.name, "daybook.dead_letter", *(slot for (slot,) in slots)]
    size = system.query("SELECT sum(pg_total_relation_size(t::regclass)) FROM unnest(%s) t", tables)[0][0]
    with small_disk(system.database_server.service.dir / "small-disk", int(size) // 2**20 + 32) as disk:
        if disk is None:
            system.note("skipped: this process may not mount a tmpfs")
            return
        autocommit(system.database.uri, f"CREATE TABLESPACE small LOCATION '{disk}'")
        try:
            autocommit(system.database.uri, *(f"ALTER TABLE {table} SET TABLESPACE small" for table in tables))
            fill(disk / "filler")
            system.wait(chance.uniform(1, 5))
            (disk / "filler").unlink()
        finally:
            autocommit(system.database.uri, *(f"ALTER TABLE {table} SET TABLESPACE pg_default" for table in tables),
                       "DROP TABLESPACE small")


def lagging_standby_promoted(system, chance):
    former = system.database_server
    system.standbys += 1
    standby = former.standby(f"standby-{system.standbys}")
    standby.stop_following()
    system.wait(chance.uniform(0.5, 4))
    ahead = system.seq()
    system.proxies.database.refuse()
    standby.promote()
    system.move_database(standby)
    system.note(f"commit {ahead} fell back to {system.seq()}")
    former.end()
    system.proxies.database.heal()


# --- connections -----------------------------------------------------------------------------------------------------


def either(system, chance):
    return chance.choice([system.proxies.kafka, system.proxies.database])


def connections_cut(system, chance):
    for _ in range(chance.randint(1, 10)):
        either(system, chance).cut()
        system.wait(chance.uniform(0, 0.5))


def answers_lost(system, chance):
    for _ in range(chance.randint(1, 5)):
        system.proxies.database.lose_answers()
        system.wait(chance.uniform(0.05, 0.5))
        system.proxies.database.cut()
        system.proxies.database.heal()


def connections_refused(system, chance):
    proxy = either(system, chance)
    proxy.refuse()
    system.wait(chance.uniform(0.5, 5))
    proxy.heal()


def connections_stopped(system, chance):
    proxy = either(system, chance)
    proxy.stop()
    system.wait(chance.uniform(0.5, 8))
    if chance.random() < 0.5:
        proxy.cut()
    proxy.heal()


def connections_slow(system, chance):
    for proxy in (system.proxies.kafka, system.proxies.database):
        proxy.delay(chance.uniform(0.005, 0.1))
    system.wait(chance.uniform(1, 5))
    for proxy in (system.proxies.kafka, system.proxies.database):
        proxy.heal()


ALWAYS = [
    worker_kill, worker_kill_all, worker_kill_at_failpoint, worker_freeze, rebalance_storm, broker_kill, partitions_added,
    topic_recreated, database_kill, database_session_crash, database_session_ended, database_slow, disk_full,
    lagging_standby_promoted, connections_cut, answers_lost, connections_refused, connections_stopped, connections_slow,
]
ON_A_CLUSTER = [coordinator_kill, unclean_election]
ONCE = [database_away]  # too long for each round


def classes(brokers):
    return ALWAYS + ONCE + (ON_A_CLUSTER if brokers > 1 else [])


def schedule(seed, brokers, only=None):
    """An endless, reproducible order of faults: each class once a round, each with a generator of its own.

    `only` names the classes that come; those that come once come each round if there are no others.
    """
    order = random.Random(seed)
    chosen = [fault for fault in classes(brokers) if not only or fault.__name__ in only]
    again = [fault for fault in chosen if fault not in ONCE] or chosen
    number = 0
    while True:
        round_ = list(again if number else chosen)
        order.shuffle(round_)
        for fault in round_:
            number += 1
            yield number, fault, random.Random(f"{seed}/{number}")
