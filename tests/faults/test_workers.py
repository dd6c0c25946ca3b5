"""Workers that freeze, and fleets that never stay the same."""

import random
import signal

from harness import wait_until

SEED = 20261125


def test_a_worker_frozen_past_its_session_changes_nothing_when_it_wakes(running):
    fleet = running.fleet
    frozen = fleet.workers[0]
    before = fleet.owners()
    frozen.send(signal.SIGSTOP)
    wait_until(lambda: len(fleet.owners()) == 1, lambda: f"one owner, have {fleet.owners()}")
    assert fleet.owners() < before
    fleet.wait_for_progress(5)
    frozen.send(signal.SIGCONT)
    wait_until(lambda: "session timed out" in frozen.output() or "fenced" in frozen.output(), frozen.output)
    fleet.wait_until_shared()
    running.check()
    assert frozen.is_running()


def reads(worker):
    """The partitions of which the last line of a worker's log about it says that it reads them."""
    lines = [line for line in worker.output().splitlines() if " reads " in line]
    return {word.partition("@")[0] for word in lines[-1].split() if "@" in word} if lines else set()


def test_a_storm_of_rebalances(running):
    chance = random.Random(SEED)
    print(f"seed {SEED}")
    fleet = running.fleet
    for _ in range(12):
        before = fleet.seq()
        workers = [worker for worker in fleet.workers if worker.is_running()]
        if len(workers) < 2 or (len(workers) < 4 and chance.random() < 0.5):
            fleet.add()
        elif chance.random() < 0.5:
            # -SIGTERM: it had not begun to listen for it.
            assert chance.choice(workers).terminate() in (0, -signal.SIGTERM)
        else:
            chance.choice(workers).kill()
        # Sometimes the next one comes before the group has settled.
        if chance.random() < 0.5:
            wait_until(lambda: fleet.seq() > before, "the fleet goes on", 60)
    while len(workers := [worker for worker in fleet.workers if worker.is_running()]) < 5:
        fleet.add()

    def told():
        """Each partition by one worker, and one has none: there are more workers than partitions."""
        lists = [reads(worker) for worker in workers]
        return sorted(name for each in lists for name in each) == sorted(running.database.positions(running.view.name))

    wait_until(told, lambda: f"the workers' logs tell who reads what, found {[reads(each) for each in workers]}", 60)
    fleet.wait_for_line("[info]", running.view.name, "reads nothing: the group gave all partitions to other workers")
    running.check()


def test_partitions_added(running, add_partitions):
    view, daybook = running.view, running.daybook
    add_partitions(view.topic, 6)
    # A producer that was there before sends to the old ones until it asks for metadata again: new ones have all keys.
    more = daybook.simulate(view, "--duplicates", 0.05, "--seed", 1, events=20000)
    assert len(more) == 6
    running.fleet.wait_for_line(f"{view.topic}/5@0")
    daybook.wait_until_applied(view, more)
    assert running.database.query("SELECT count(*) FROM daybook.position WHERE topic = %s AND start_offset = 0",
                                  view.topic) == [(6,)]
    running.check()
