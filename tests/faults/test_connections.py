"""Connections to the broker and to the database that break, stall or crawl, while both servers are well."""

from fleet import IMPATIENT
from harness import wait_until

BEHIND_PROXIES = True


def test_connections_to_the_database_cut_again_and_again(running):
    for _ in range(10):
        wait_until(running.proxies.database.cut, "there is a connection to cut")
        running.fleet.wait_for_progress()
    running.fleet.wait_for_line("[warning]", running.view.name, "onnection")
    running.check()


def test_answers_of_the_database_lost(running):
    """Commits happen, and their answers never come."""
    fleet, database = running.fleet, running.proxies.database
    lost = 0
    for _ in range(30):
        before = fleet.seq()
        database.lose_answers()
        wait_until(lambda: database.swallowed > 0, "an answer that is lost")
        lost += fleet.seq() > before  # else it was the answer to a question
        database.cut()
        database.heal()
        fleet.wait_for_progress()
        if lost == 3:
            break
    assert lost == 3, "commits whose answers were lost"
    fleet.wait_for_line(running.view.name, "the outcome of a commit is not known")
    running.check()


def test_connections_cut_between_a_commit_and_its_notification(running):
    """The commit counts although readers could not be told; what is asked of the broken session next starts again."""
    database = running.proxies.database
    trapped = database.trapped
    database.cut_before(b"NOTIFY daybook_change_")
    wait_until(lambda: database.trapped > trapped + 3, "commits whose notifications are cut off", 30)
    database.heal()
    running.fleet.wait_for_line("[warning]", running.view.name, "committed, but telling the readers failed")
    running.check()


def test_a_database_that_takes_no_connections_for_a_while(running):
    running.proxies.database.refuse()
    running.fleet.wait_for_line(running.view.name, "can't connect", "trying again")
    running.proxies.database.heal()
    running.fleet.wait_for_line(running.view.name, "goes on; reads")
    running.check()


def test_a_slow_way_to_both(running):
    running.fleet.add(**IMPATIENT)
    running.fleet.wait_until_shared(3)
    running.proxies.database.delay(0.4)  # a commit goes there and back
    running.proxies.kafka.delay(0.05)
    running.fleet.wait_for_line("[warning]", running.view.name, "the database has not answered a commit of", "for more than 500 ms")
    running.fleet.wait_for_progress(3)
    running.proxies.database.heal()
    running.proxies.kafka.heal()
    running.check()


def test_connections_to_the_broker_cut_again_and_again(running):
    for _ in range(5):
        wait_until(running.proxies.kafka.cut, "there is a connection to cut")
        running.fleet.wait_for_progress()
    running.fleet.wait_for_line("kafka:", "Disconnected")
    running.check()


def test_a_broker_that_falls_silent_longer_than_the_session(running):
    """The group takes the partitions away; the workers can't know it before the network is back."""
    running.proxies.kafka.stop()
    running.fleet.wait_for_line("kafka:", "session timed out")
    running.proxies.kafka.heal()
    running.fleet.wait_for_progress(3)
    running.check()
