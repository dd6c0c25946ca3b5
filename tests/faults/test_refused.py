"""A row near the end of its column's type: the database refuses event after event, one partition at a time."""

import json

from harness import wait_until

TYPE_MAX = 2**31 - 1
REFUSED = 150


def stock_change(event_id, quantity, facility):
    return json.dumps(
        {
            "specversion": "1.0", "id": event_id, "source": "/test", "type": "bloodbank.stock.changed",
            "time": "2026-03-01T09:00:00Z",
            "data": {"facility_id": f"0b0e5ee9-93b4-4a5a-9d0c-4f1d1b1c1a{facility:02}", "quantity": quantity},
        }
    )


def test_refused_events_of_one_partition_do_not_hold_up_the_others(daybook, database, view, producer, make_fleet):
    daybook.simulate(view, events=1)
    produce = lambda *event, partition: producer.produce(view.topic, stock_change(*event), partition=partition)  # noqa: E731
    produce("full", TYPE_MAX, 1, partition=0)
    for number in range(REFUSED):
        for good in range(20):
            produce(f"good-{number}-{good}", 1, 2, partition=0)
        produce(f"refused-{number}", 1, 1, partition=0)
    assert producer.flush(30) == 0
    fleet = make_fleet(1)

    def dead_letters():
        return database.query("SELECT count(*) FROM daybook.dead_letter WHERE code = 'range'")[0][0]

    wait_until(lambda: dead_letters() > 2, "the first events are refused")
    for number in range(10):
        produce(f"other-{number}", 1, 3, partition=1)
    assert producer.flush(30) == 0
    wait_until(lambda: database.query(f"SELECT total_stock FROM {view.name} WHERE facility_id::text LIKE %s", "%03") == [(10,)],
               lambda: f"the other partition is applied; {dead_letters()} refused so far; {fleet.log()[-500:]}", 60)
    wait_until(lambda: dead_letters() == REFUSED, lambda: f"{dead_letters()} of {REFUSED} refused", 60)
    # Only the first one costs reading again; for the others the bytes are at hand.
    assert fleet.log().count("going on from the stored positions") == 1
    daybook.verify(view)
