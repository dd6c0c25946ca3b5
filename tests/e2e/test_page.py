"""The page of the reader in a real browser: opens with the right figures, follows events without a reload, comes back."""

import json
import re
import time
import uuid
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from chromium import chromium
from harness import VIEWS, wait_until

ZONE = ZoneInfo("Africa/Nairobi")


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("browser")) as page:
        yield page


class Site:
    """A view with one facility's events, its worker and its reader."""

    def __init__(self, daybook, view, producer):
        self.daybook, self.view, self.producer = daybook, view, producer
        self.facility = str(uuid.uuid4())
        daybook.run("simulate", "bloodbank", "--topic", view.topic, "--create-topics", 2, "--events", 1)
        self.today = datetime.now(ZONE).date()
        self.stock(+40, self.today - timedelta(days=40))  # before the chart: its level is carried into it
        self.stock(-3, self.today - timedelta(days=5))
        self.stock(+5, self.today)
        self.requests(self.today, 2)
        self.worker = daybook.start_worker(view)
        self.start_reader()
        wait_until(lambda: daybook.database.query(
            f"SELECT 1 FROM {view.name} WHERE facility_id = %s AND date = %s AND total_requests = 2", self.facility, self.today), "the rows")

    def start_reader(self, listen="127.0.0.1:0"):
        self.reader = self.daybook.start("reader", "--listen", listen)
        self.address = wait_until(lambda: re.search(r"http://127\.0\.0\.1:\d+", self.reader.output()), self.reader.output)[0]

    def publish(self, kind, time_, data):
        event = {"specversion": "1.0", "id": str(uuid.uuid4()), "source": "/test", "type": f"bloodbank.{kind}",
                 "time": time_, "data": {"facility_id": self.facility, **data}}
        self.producer.produce(self.view.topic, json.dumps(event).encode(), self.facility.encode())
        self.producer.flush(10)

    def stock(self, quantity, day):
        self.publish("stock.changed", f"{day}T12:00:00+03:00", {"quantity": quantity})

    def requests(self, day, count):
        for _ in range(count):
            self.publish("request.created", f"{day}T12:00:00+03:00", {"created_at": f"{day}T12:00:00+03:00"})

    @property
    def page(self):
        return f"{self.address}/?view={self.view.name}&facility_id={self.facility}"


@pytest.fixture
def site(daybook, view, producer):
    return Site(daybook, view, producer)


FIGURES = "[...document.querySelectorAll('#cards .figure')].map(e => e.textContent).join(' ')"
LINES = "[...document.querySelectorAll('#table tbody tr')].map(line => [...line.children].map(cell => cell.textContent))"
LIVE = "document.getElementById('live').dataset.state === 'live'"


def test_shows_the_rows_figures_and_follows_events(site, browser):
    browser.open(site.page)
    browser.wait_for(f"{FIGURES} === '42 0 2'")
    # The level of 40 days ago is carried into the chart; flows of days without a row are zero.
    assert browser.evaluate(LINES)[-1][1:] == ["40", "0", "0"]
    assert len(browser.evaluate(LINES)) == 30
    described = json.loads((VIEWS / "dashboard_daily_summary.json").read_text())["description"]
    assert browser.evaluate("document.getElementById('description').textContent") == described
    assert "Up to date to within" in browser.wait_for("document.getElementById('fresh').textContent")[0]

    browser.wait_for(LIVE)
    browser.evaluate("window.not_reloaded = true")
    times = []
    for n in range(5):
        began = time.monotonic()
        site.requests(site.today, 1)
        browser.wait_for(f"{FIGURES} === '42 0 {3 + n}'")
        times.append(time.monotonic() - began)
    print("event published -> on the screen, seconds:", [round(t, 3) for t in times])
    assert sorted(times)[2] < 1

    # A late event changes the chart's past and today's level.
    site.stock(+100, site.today - timedelta(days=10))
    browser.wait_for(f"{FIGURES} === '142 0 7'")
    assert browser.evaluate(LINES)[7][1] == "140"
    assert browser.evaluate("window.not_reloaded") is True
    assert browser.complaints == []
    outside = [url for url in browser.requests if not url.startswith((site.address, "about:", "data:"))]
    assert outside == []


def test_comes_back_after_the_reader_restarts(site, browser):
    browser.open(site.page)
    browser.wait_for(LIVE)
    assert site.reader.terminate() == 0
    browser.wait_for("document.getElementById('live').dataset.state === 'lost'")
    site.requests(site.today, 1)
    site.start_reader(site.address.removeprefix("http://"))
    browser.wait_for(LIVE)
    browser.wait_for(f"{FIGURES} === '42 0 3'")
    browser.complaints.clear()  # of connections that the browser could not make meanwhile


def test_works_by_keyboard_at_phone_width_in_both_themes(site, browser, tmp_path):
    for scheme in ("light", "dark"):
        browser.prefer(scheme)
        for width in (360, 1280):
            browser.resize(width, 800)
            browser.open(site.page)
            browser.wait_for(f"{FIGURES} === '42 0 2'")
            assert browser.evaluate("document.documentElement.scrollWidth") <= width
            assert browser.evaluate("document.documentElement.dataset.theme") == scheme
            browser.screenshot(tmp_path / f"page-{scheme}-{width}.png")
    print("pictures in", tmp_path)

    # Tab reaches every control and the charts; the arrow keys read a chart.
    reached = set()
    for _ in range(20):
        browser.press("Tab")
        reached.add(browser.evaluate("document.activeElement.id || document.activeElement.name || document.activeElement.tagName"))
    assert {"view", "facility_id", "BUTTON", "theme", "svg", "SUMMARY"} <= reached, reached
    browser.evaluate("document.querySelector('.chart svg').focus()")
    before = browser.evaluate("document.querySelector('.chart .at').textContent")
    browser.press("ArrowLeft")
    after = browser.evaluate("document.querySelector('.chart .at').textContent")
    assert before != after and re.search(r": 37$", after), (before, after)
    # Everything that is shown has a name for those who listen.
    unnamed = browser.evaluate(
        "[...document.querySelectorAll('svg, select, input, button, section')]"
        ".filter(e => !(e.getAttribute('aria-label') || e.getAttribute('aria-labelledby') || e.labels?.length || e.textContent.trim())).length")
    assert unnamed == 0


def test_a_key_without_rows_says_so_and_fills_when_its_first_event_comes(site, browser):
    site.facility = str(uuid.uuid4())
    browser.open(site.page)
    browser.wait_for("document.getElementById('message').textContent.includes('Nothing is known of this key yet')")
    browser.wait_for(LIVE)
    site.stock(+7, site.today)
    browser.wait_for(f"{FIGURES} === '7 0 0'")
    assert browser.evaluate("document.getElementById('message').hidden")


# Keeps back the answers to lists that the charts ask for, until they are let go.
HOLD = """
if (!window.held) {
  window.held = [];
  const real = window.fetch;
  window.fetch = async (...asked) => {
    const answer = await real(...asked);
    if (window.holds && String(asked[0]).includes("date.from=")) await new Promise((resolve) => window.held.push(resolve));
    return answer;
  };
}
window.holds = true
"""


def test_what_is_read_again_never_takes_the_screen_back(site, browser):
    browser.open(site.page)
    browser.wait_for(f"{FIGURES} === '42 0 2'")
    browser.wait_for(LIVE)
    browser.evaluate(HOLD)
    # A change from before the chart makes the page read all again; what it reads is older than the events that come while it is on its way.
    site.stock(+1, site.today - timedelta(days=35))
    browser.wait_for("held.length === 1")
    site.requests(site.today, 1)
    browser.wait_for(f"{FIGURES} === '43 0 3'")
    # Nor is the next such change lost, while the page is reading.
    site.stock(+100, site.today - timedelta(days=40))
    browser.wait_for(f"{FIGURES} === '143 0 3'")
    browser.evaluate("window.shown_since = []; new MutationObserver(() => shown_since.push(" + FIGURES + "))"
                     ".observe(document.getElementById('cards'), { childList: true }); held.shift()()")
    browser.wait_for("held.length === 1")  # it reads once more
    assert browser.evaluate(FIGURES) == "143 0 3"
    browser.evaluate("window.holds = false; held.shift()()")
    browser.wait_for(f"{LINES}.at(-1)[1] === '141'")
    assert set(browser.evaluate("shown_since")) == {"143 0 3"}


# Sorts before the view with figures.
PEOPLE = {
    "view": "a_people",
    "kind": "latest",
    "key": [{"name": "person_id", "type": "uuid"}],
    "columns": [
        {"name": "name", "type": "text"}, {"name": "phone", "type": "text"}, {"name": "active", "type": "boolean"},
        {"name": "blocked", "type": "boolean"}, {"name": "team", "type": "text"}, {"name": "seen_at", "type": "timestamp"},
        {"name": "since", "type": "date"}, {"name": "desk", "type": "uuid"}, {"name": "notes", "type": "json"},
        {"name": "budget", "type": "decimal", "scale": 2}, {"name": "visits", "type": "bigint"}, {"name": "rank", "type": "int"},
    ],
    "sources": [
        {"topic": "t", "event": "person.changed", "key": {"person_id": "/data/id"}, "version": "/data/version",
         "set": {column: f"/data/{column}" for column in ("name", "phone", "active", "blocked", "team", "seen_at", "since", "desk",
                                                          "notes", "budget", "visits", "rank")}},
        {"topic": "t", "event": "person.left", "key": {"person_id": "/data/id"}, "version": "/data/version", "delete": True},
    ],
}
FACTS = "Object.fromEntries([...document.querySelectorAll('#facts div')].map(fact => [...fact.children].map(e => e.textContent)))"
CARDS = "Object.fromEntries([...document.querySelectorAll('#cards .card')].map(card => [...card.children].map(e => e.textContent)))"
MESSAGE = "document.getElementById('message').hidden ? '' : document.getElementById('message').textContent"


def test_shows_each_value_by_its_type_and_that_a_row_is_gone(daybook, make_view, producer, browser, tmp_path):
    view = make_view(PEOPLE)
    daybook.run("simulate", "bloodbank", "--topic", view.topic, "--create-topics", 1, "--events", 1)
    person, desk = str(uuid.uuid4()), str(uuid.uuid4())
    versions = iter(range(1, 100))

    def publish(kind, **data):
        event = {"specversion": "1.0", "id": str(uuid.uuid4()), "source": "/test", "type": kind, "time": "2026-11-23T18:29:00Z",
                 "data": {"id": person, "version": next(versions), **data}}
        producer.produce(view.topic, json.dumps(event).encode(), person.encode())
        producer.flush(10)

    known = {"name": "Amina <b>O</b>", "phone": "0712345678", "active": True, "blocked": False, "seen_at": "2026-11-23T18:29:00.123456Z",
             "since": "2026-01-31", "desk": desk, "notes": {"a": [1, None], "b": "x"}, "budget": "1234567890123456.70", "visits": 9007199254740993}
    publish("person.changed", **known)
    daybook.start_worker(view)
    reader = daybook.start("reader", "--listen", "127.0.0.1:0")
    address = wait_until(lambda: re.search(r"http://127\.0\.0\.1:\d+", reader.output()), reader.output)[0]
    wait_until(lambda: daybook.database.query(f"SELECT 1 FROM {view.name}"), "the row")

    browser.open(f"{address}/?view={view.name}&person_id={person}")
    browser.wait_for(f"{FACTS}.Name")
    facts = browser.evaluate(FACTS)
    seen_at, since = facts.pop("Seen at"), facts.pop("Since")
    assert facts == {"Name": "Amina <b>O</b>", "Phone": "0712345678", "Active": "yes", "Blocked": "no", "Team": "–", "Desk": desk,
                     "Notes": '{"a":[1,null],"b":"x"}'}
    assert "2026" in seen_at and "2026" in since and "31" in since
    assert browser.evaluate("[...document.querySelectorAll('#facts time')].map(e => e.title)") == [known["seen_at"], known["since"]]
    assert browser.evaluate("document.querySelector('#facts time').textContent === new Intl.DateTimeFormat(undefined,"
                            " { dateStyle: 'medium', timeStyle: 'medium' }).format(new Date('2026-11-23T18:29:00.123Z'))")
    # All digits, also those that a binary fraction has no room for.
    assert browser.evaluate(CARDS) == {"Budget": "1,234,567,890,123,456.70", "Visits": "9,007,199,254,740,993", "Rank": "–"}
    assert browser.evaluate("document.getElementById('figures-title').textContent") == "Newest state"
    assert browser.evaluate("document.getElementById('history').hidden")
    for scheme, width in (("light", 1280), ("dark", 360)):
        browser.prefer(scheme)
        browser.resize(width, 800)
        assert browser.evaluate("document.documentElement.scrollWidth") <= width
        browser.screenshot(tmp_path / f"people-{scheme}-{width}.png")
    print("pictures in", tmp_path)

    browser.wait_for(LIVE)
    browser.evaluate("window.not_reloaded = true")
    publish("person.changed", **known | {"active": None, "team": "north", "rank": 3})
    browser.wait_for(f"{FACTS}.Team === 'north'")
    assert browser.evaluate(FACTS)["Active"] == "–"
    assert browser.evaluate(CARDS)["Rank"] == "3"
    publish("person.left")
    browser.wait_for(f"({MESSAGE}).includes('This row is gone')")
    assert browser.evaluate(FACTS) == browser.evaluate(CARDS) == {}
    publish("person.changed", **known)
    browser.wait_for(f"{FACTS}.Phone === '0712345678'")
    assert browser.evaluate(MESSAGE) == ""

    # What is deleted while the page hears nothing is not kept either.
    assert reader.terminate() == 0
    browser.wait_for("document.getElementById('live').dataset.state === 'lost'")
    publish("person.left")
    wait_until(lambda: not daybook.database.query(f"SELECT 1 FROM {view.name}"), "the deletion")
    daybook.start("reader", "--listen", address.removeprefix("http://"))
    browser.wait_for(f"({MESSAGE}).includes('This row is gone')")
    assert browser.evaluate(FACTS) == {}
    assert browser.evaluate("window.not_reloaded") is True
    assert [text for text in browser.complaints if "net::ERR" not in text and "404" not in text] == []
    browser.complaints.clear()


def test_opens_with_a_view_that_has_figures(make_view, daybook, producer, browser):
    make_view(PEOPLE)
    site = Site(daybook, make_view(), producer)
    browser.open(site.address)
    browser.wait_for(f"{FIGURES}.length > 0")
    assert browser.evaluate("[...document.getElementById('view').options].map(e => e.value.slice(0, 8))") == ["a_people", "dashboar"]
    assert browser.evaluate("document.getElementById('view').value") == site.view.name


ENTRIES = {
    "view": "entries",
    "kind": "log",
    "key": [{"name": "at", "type": "timestamp"}, {"name": "id", "type": "text"}],
    "columns": [{"name": "action", "type": "text"}, {"name": "amount", "type": "decimal", "scale": 1}],
    "partition": "month",
    "sources": [{"topic": "t", "event": "measured", "key": {"at": "/time", "id": "/id"},
                 "set": {"action": "/data/action", "amount": "/data/amount"}}],
    "reader": {},
}
MEANS = {
    "view": "means",
    "kind": "summary",
    "key": [{"name": "place", "type": "text"}, {"name": "date", "type": "date", "time_zone": "Africa/Nairobi"}],
    "columns": [
        {"name": "mean", "type": "decimal", "scale": 3, "value": "avg"}, {"name": "total", "type": "decimal", "scale": 1, "value": "sum"},
        {"name": "action", "type": "text", "value": "last"},
    ],
    "sources": [{"topic": "t", "event": "measured", "key": {"place": "/data/place", "date": "/time"},
                 "add": {"total": "/data/amount"}, "take": {"mean": "/data/amount", "action": "/data/action"}}],
}


def test_an_entry_of_a_log_and_days_without_a_value(daybook, make_view, producer, browser):
    entries, means = make_view(ENTRIES), make_view(MEANS)
    daybook.run("simulate", "bloodbank", "--topic", entries.topic, "--create-topics", 1, "--events", 1)
    today = datetime.now(ZONE).date()
    for day, amount in ((today - timedelta(days=2), 1), (today, 1), (today, 1.5)):
        event = {"specversion": "1.0", "id": f"{day} {amount}", "source": "/test", "type": "measured", "time": f"{day}T12:00:00+03:00",
                 "data": {"place": "hall", "action": f"of {amount}", "amount": amount}}
        producer.produce(entries.topic, json.dumps(event).encode(), b"one")
    producer.flush(10)
    for view in (entries, means):
        daybook.start_worker(view)
    reader = daybook.start("reader", "--listen", "127.0.0.1:0")
    address = wait_until(lambda: re.search(r"http://127\.0\.0\.1:\d+", reader.output()), reader.output)[0]
    wait_until(lambda: daybook.database.query(f"SELECT 1 FROM {entries.name} HAVING count(*) = 3"), "the entries")
    wait_until(lambda: daybook.database.query(f"SELECT 1 FROM {means.name} WHERE total = 2.5"), "the means")

    browser.open(f"{address}/?view={entries.name}&at={today}T09:00:00Z&id={today}%201.5")
    browser.wait_for(f"{CARDS}.Amount === '1.5'")
    assert browser.evaluate(FACTS) == {"Action": "of 1.5"}
    assert browser.evaluate("document.getElementById('figures-title').textContent").startswith("Entry of ")

    browser.open(f"{address}/?view={means.name}&place=hall")
    browser.wait_for("document.querySelectorAll('#charts svg').length === 2")  # none for the text
    cards = browser.evaluate("[...document.querySelectorAll('#cards .card')].map(card => [...card.children].map(e => e.textContent))")
    assert cards == [["Mean", "1.250", "Yesterday –"], ["Total", "2.5", "Yesterday 0.0"]]
    assert browser.evaluate(FACTS) == {"Action": "of 1.5"}
    assert [line[1:] for line in browser.evaluate(LINES)[:3]] == [["1.250", "2.5", "of 1.5"], ["–", "0.0", "–"], ["1.000", "1.0", "of 1"]]
    assert browser.evaluate("document.querySelectorAll('#charts figure:first-child .bar').length") == 2
    # Answers that there is no such row, and what the page of the test before missed, are no mistakes.
    assert [text for text in browser.complaints if not text.startswith("Failed to load resource")] == []
