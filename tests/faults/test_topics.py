"""A topic that is deleted and created again is another log: the view pauses until a person decides."""

import pytest
from harness import wait_until
from servers import recreate_topic

PARTITIONS = 4
# The same ids, times and partitions each time: what was published can be published again.
AGAIN = ("--start", "2026-01-01", "--seed", 5)


@pytest.fixture
def recreate(admin):
    return lambda topic: recreate_topic(admin, topic, PARTITIONS)


def reason(database, view):
    ((why,),) = database.query("SELECT paused FROM daybook.generation WHERE view = %s AND state = 'live'", view.name)
    return why


# Shorter than the position, and as long as before with other records: the one is seen by its length, the other by the
# anchor.
@pytest.mark.parametrize("events, seed, said", [(100, 5, "the log ends at"), (20000, 6, "is not the record that was applied last")])
def test_a_topic_deleted_and_created_again_pauses_the_view(
        events, seed, said, daybook, database, view, make_fleet, recreate):
    positions = daybook.simulate(view, *AGAIN, events=5000)
    fleet = make_fleet(2)
    daybook.wait_until_applied(view, positions)
    rows = database.query(f"SELECT facility_id, date, total_stock FROM {view.name} ORDER BY 1, 2")
    for worker in fleet.workers:
        assert worker.terminate() == 0
    recreate(view.topic)
    daybook.simulate(view, "--start", "2026-01-01", "--seed", seed, events=events)
    fleet.add()
    fleet.add()
    why = wait_until(lambda: reason(database, view), "the view is paused")
    assert view.topic in why and said in why
    line = fleet.wait_for_line("[error]", view.name, "paused:", view.topic)
    assert "daybook positions move" in line, "it says what to do"
    assert rows == database.query(f"SELECT facility_id, date, total_stock FROM {view.name} ORDER BY 1, 2")

    # A person restores the topic and accepts it. What the view knows already changes nothing.
    recreate(view.topic)
    restored = daybook.simulate(view, *AGAIN, events=8000)
    daybook.run("positions", "move", view.name, "--to", "earliest", "--yes")
    fleet.wait_for_line(view.name, "goes on; reads", f"{view.topic}/0@0")
    daybook.wait_until_applied(view, restored)
    daybook.verify(view)


def test_a_topic_deleted_under_running_workers(daybook, database, view, make_fleet, recreate):
    positions = daybook.simulate(view, *AGAIN, events=5000)
    fleet = make_fleet(2)
    daybook.wait_until_applied(view, positions)
    recreate(view.topic)
    daybook.simulate(view, *AGAIN, events=100)
    wait_until(lambda: reason(database, view), "the view is paused")
    fleet.wait_for_line("[error]", view.name, "paused:", view.topic)
    assert all(worker.is_running() for worker in fleet.workers)
    restored = daybook.simulate(view, *AGAIN, events=8000)
    daybook.run("positions", "move", view.name, "--to", "earliest", "--yes")
    daybook.wait_until_applied(view, restored)
    daybook.verify(view)
