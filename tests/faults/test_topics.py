"""A topic that is deleted and created again is another log: the view pauses until a person decides."""

import pytest
from fleet import IMPATIENT
from harness import wait_until
from servers import recreate_topic

PARTITIONS = 4
# With the same number of events the same ids, times and partitions each time: what was published can be published again.
AGAIN = ("--start", "2026-01-01", "--seed", 5)


@pytest.fixture
def recreate(admin):
    return lambda topic: recreate_topic(admin, topic, PARTITIONS)


def reason(database, view):
    ((why,),) = database.query("SELECT paused FROM daybook.generation WHERE view = %s AND state = 'live'", view.name)
    return why


def restore_and_go_on(daybook, database, view, fleet):
    """A person publishes everything again and accepts the log. What the view knows already changes nothing."""
    daybook.simulate(view, *AGAIN, events=5000)
    restored = daybook.simulate(view, "--start", "2026-01-01", "--seed", 7, events=3000)
    fleet.mark()
    daybook.run("positions", "move", view.name, "--to", "earliest", "--yes")
    # "goes on; reads", or, when a worker that started late joins the group at that moment, only "reads".
    fleet.wait_for_line(view.name, "reads", f"{view.topic}/0@0")
    daybook.wait_until_applied(view, restored)
    daybook.verify(view)


def test_a_topic_created_again_with_other_records_pauses_the_view(daybook, database, view, make_fleet, recreate):
    """Longer than before: only the anchor tells."""
    positions = daybook.simulate(view, *AGAIN, events=5000)
    fleet = make_fleet(2)
    daybook.wait_until_applied(view, positions)
    rows = database.query(f"SELECT facility_id, date, total_stock FROM {view.name} ORDER BY 1, 2")
    for worker in fleet.workers:
        assert worker.terminate() == 0
    recreate(view.topic)
    daybook.simulate(view, "--start", "2026-01-01", "--seed", 6, events=60000)  # facilities differ: enough for each partition
    fleet.add()
    fleet.add()
    why = wait_until(lambda: reason(database, view), "the view is paused")
    assert view.topic in why and "is not the record that was applied last" in why
    line = fleet.wait_for_line("[error]", view.name, "paused:", view.topic)
    assert "daybook positions move" in line, "it says what to do"
    assert rows == database.query(f"SELECT facility_id, date, total_stock FROM {view.name} ORDER BY 1, 2")
    recreate(view.topic)
    restore_and_go_on(daybook, database, view, fleet)


def test_a_topic_deleted_and_created_again_under_running_workers(daybook, database, view, make_fleet, recreate):
    positions = daybook.simulate(view, *AGAIN, events=5000)
    fleet = make_fleet(2, **IMPATIENT)  # a log that is too short might grow
    daybook.wait_until_applied(view, positions)
    recreate(view.topic)
    daybook.simulate(view, "--start", "2026-01-01", "--seed", 8, events=100)
    why = wait_until(lambda: reason(database, view), "the view is paused")
    assert view.topic in why and "the log ends at" in why
    fleet.wait_for_line("[error]", view.name, "paused:", view.topic)
    assert all(worker.is_running() for worker in fleet.workers)
    restore_and_go_on(daybook, database, view, fleet)
