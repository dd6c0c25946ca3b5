"""Workers that freeze, and fleets that never stay the same."""

import random
import signal

from harness import wait_until

SEED = 20261125


def test_a_worker_frozen_past_its_session_changes_nothing_when_it_wakes(daybook, view, load, make_fleet):
    traffic = load()
    fleet = make_fleet(2)
    fleet.wait_until_shared()
    frozen = fleet.workers[0]
    before = fleet.owners()
    frozen.send(signal.SIGSTOP)
    wait_until(lambda: len(fleet.owners()) == 1, lambda: f"one owner, have {fleet.owners()}")
    assert fleet.owners() < before
    fleet.wait_for_progress(5)
    frozen.send(signal.SIGCONT)
    wait_until(lambda: "session timed out" in frozen.output() or "fenced" in frozen.output(), frozen.output)
    fleet.wait_until_shared()
    daybook.wait_until_applied(view, traffic.end())
    daybook.verify(view)
    assert frozen.is_running()


def test_a_storm_of_rebalances(daybook, view, load, make_fleet):
    chance = random.Random(SEED)
    print(f"seed {SEED}")
    traffic = load(rate=10000)
    fleet = make_fleet(2)
    fleet.wait_for_progress()
    for _ in range(12):
        before = fleet.seq()
        running = [worker for worker in fleet.workers if worker.is_running()]
        if len(running) < 2 or (len(running) < 4 and chance.random() < 0.5):
            fleet.add()
        elif chance.random() < 0.5:
            # -SIGTERM: it had not begun to listen for it.
            assert chance.choice(running).terminate() in (0, -signal.SIGTERM)
        else:
            chance.choice(running).kill()
        # Sometimes the next one comes before the group has settled.
        if chance.random() < 0.5:
            wait_until(lambda: fleet.seq() > before, "the fleet goes on")
    if not any(worker.is_running() for worker in fleet.workers):
        fleet.add()
    daybook.wait_until_applied(view, traffic.end())
    daybook.verify(view)


def test_partitions_added(daybook, view, load, make_fleet, add_partitions):
    traffic = load()
    fleet = make_fleet(2)
    fleet.wait_until_shared()
    add_partitions(view.topic, 6)
    # A producer that was there before sends to the old ones until it asks for metadata again: new ones have all keys.
    more = daybook.simulate(view, "--duplicates", 0.05, "--seed", 1, events=20000)
    assert len(more) == 6
    fleet.wait_for_line(f"{view.topic}/5@0")
    daybook.wait_until_applied(view, more)
    daybook.wait_until_applied(view, traffic.end())
    assert daybook.database.query("SELECT count(*) FROM daybook.position WHERE topic = %s AND start_offset = 0",
                                  view.topic) == [(6,)]
    daybook.verify(view)
