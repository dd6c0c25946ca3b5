"""A database that is away under full load: intake stops, memory stays bounded (memory.py), and the worker catches up."""

import memory

BACKLOG = 950_000  # events, all published while the database is away


def test_a_database_that_falls_silent_and_then_refuses_while_far_more_is_published_than_fits(
        daybook, database, view, make_fleet, proxies):
    """The worker stops to take in, keeps its memory bounded, stays in the group, and catches up."""
    first = daybook.simulate(view, "--seed", 1, events=2000)
    fleet = make_fleet(1, proxies)
    (worker,) = fleet.workers
    daybook.wait_until_applied(view, first)
    proxies.database.stop()
    load = daybook.start("simulate", "bloodbank", "--topic", view.topic, "--events", BACKLOG, "--rate", 0,
                         "--duplicates", 0.02, "--poison", 0.0001, "--seed", 2, "--timeout", 120)
    fleet.wait_for_line("[warning]", view.name, "the database has not answered a commit of", "polling goes on")
    fleet.wait_for_line("[warning]", view.name, "intake pauses until it ends")
    assert load.popen.wait(150) == 0, load.output()
    assert BACKLOG * memory.EVENT_BYTES > memory.bound(0), "more is published than a worker may hold"
    away = memory.check("while the database was silent", worker.pid, 2000)
    proxies.database.refuse()
    fleet.wait_for_line(view.name, "can't connect", "trying again")
    memory.check("while the database refused connections", worker.pid, 2000)
    proxies.database.heal()
    fleet.wait_for_line(view.name, "goes on; reads")
    ends = {name: int(offset) for name, offset in
            (line.rsplit("@", 1) for line in load.output().splitlines() if line.startswith(view.topic + "/"))}
    assert sum(ends.values()) > BACKLOG
    daybook.wait_until_applied(view, ends, 120)
    after = memory.check("while it caught up", worker.pid, BACKLOG)
    print(f"memory: {away / memory.MIB:.0f} MiB with the database away, {after / memory.MIB:.0f} MiB after catching up")
    daybook.verify(view)
