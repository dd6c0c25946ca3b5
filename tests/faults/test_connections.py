"""Connections to the broker and to the database that break, stall or crawl, while both servers are well."""

import pytest
from harness import wait_until


@pytest.fixture
def traffic_and_fleet(load, make_fleet, proxies):
    traffic = load(rate=10000)
    fleet = make_fleet(2, proxies)
    fleet.wait_until_shared()
    fleet.wait_for_progress(2)
    return traffic, fleet


def finish(daybook, view, traffic):
    daybook.wait_until_applied(view, traffic.end())
    daybook.verify(view)


def test_connections_to_the_database_cut_again_and_again(daybook, view, traffic_and_fleet, proxies):
    traffic, fleet = traffic_and_fleet
    for _ in range(10):
        wait_until(proxies.database.cut, "there is a connection to cut")
        fleet.wait_for_progress()
    fleet.wait_for_line("[warning]", view.name, "onnection")
    finish(daybook, view, traffic)


def test_answers_of_the_database_lost(daybook, view, traffic_and_fleet, proxies):
    """Commits happen, and their answers never come."""
    traffic, fleet = traffic_and_fleet
    lost = 0
    for _ in range(30):
        before = fleet.seq()
        proxies.database.lose_answers()
        wait_until(lambda: proxies.database.swallowed > 0, "an answer that is lost")
        lost += fleet.seq() > before  # else it was the answer to a question
        proxies.database.cut()
        proxies.database.heal()
        fleet.wait_for_progress()
        if lost == 3:
            break
    assert lost == 3, "commits whose answers were lost"
    fleet.wait_for_line(view.name, "the outcome of a commit is not known")
    finish(daybook, view, traffic)


def test_connections_cut_between_a_commit_and_its_notification(daybook, view, traffic_and_fleet, proxies):
    """That readers could not be told says nothing about the commit."""
    traffic, fleet = traffic_and_fleet
    trapped = proxies.database.trapped
    proxies.database.cut_before(b"NOTIFY daybook_change_")
    wait_until(lambda: proxies.database.trapped > trapped + 3, "commits whose notifications are cut off", 30)
    proxies.database.heal()
    fleet.wait_for_line("[warning]", view.name, "committed, but telling the readers failed")
    finish(daybook, view, traffic)
    assert "the outcome of a commit is not known" not in fleet.log()


def test_a_database_that_takes_no_connections_for_a_while(daybook, view, traffic_and_fleet, proxies):
    traffic, fleet = traffic_and_fleet
    proxies.database.refuse()
    fleet.wait_for_line(view.name, "can't connect", "trying again")
    proxies.database.heal()
    fleet.wait_for_line(view.name, "goes on; reads")
    finish(daybook, view, traffic)


def test_a_slow_way_to_both(daybook, view, traffic_and_fleet, proxies):
    traffic, fleet = traffic_and_fleet
    proxies.database.delay(0.05)
    proxies.kafka.delay(0.05)
    fleet.wait_for_progress(5)
    proxies.database.heal()
    proxies.kafka.heal()
    finish(daybook, view, traffic)


def test_connections_to_the_broker_cut_again_and_again(daybook, view, traffic_and_fleet, proxies):
    traffic, fleet = traffic_and_fleet
    for _ in range(5):
        wait_until(proxies.kafka.cut, "there is a connection to cut")
        fleet.wait_for_progress()
    fleet.wait_for_line("kafka:", "Disconnected")
    finish(daybook, view, traffic)


def test_a_broker_that_falls_silent_longer_than_the_session(daybook, view, traffic_and_fleet, proxies):
    """The group takes the partitions away; the workers can't know it before the network is back."""
    traffic, fleet = traffic_and_fleet
    proxies.kafka.stop()
    fleet.wait_for_line("kafka:", "session timed out")
    proxies.kafka.heal()
    fleet.wait_for_progress(3)
    finish(daybook, view, traffic)


def test_a_database_that_falls_silent(daybook, view, traffic_and_fleet, proxies):
    """Nothing passes in either direction for a while, then all of it does."""
    traffic, fleet = traffic_and_fleet
    proxies.database.stop()
    fleet.wait_until_quiet()
    proxies.database.heal()
    fleet.wait_for_progress(3)
    finish(daybook, view, traffic)
