"""What the views under schemas/ have to hold, computed from published events in another way than Daybook's: by plain
Python that knows the events, not the definitions."""

import json
import math
import re
import uuid
from collections import Counter, defaultdict
from datetime import date, datetime, timedelta, timezone
from decimal import ROUND_HALF_UP, Decimal
from zoneinfo import ZoneInfo

import pytest


class Broken(Exception):
    """A record that is no event, or an event that lacks what a view needs."""


def unique(pairs):
    if len({name for name, _ in pairs}) != len(pairs):
        raise Broken("a member name twice")
    return dict(pairs)


def number(text):
    if math.isinf(float(text)):
        raise Broken("a number beyond doubles")
    return Decimal(text)


class Event:
    """One CloudEvent, and where it lies."""

    def __init__(self, value, topic, partition, offset):
        try:
            self.members = json.loads(value.decode(), object_pairs_hook=unique, parse_float=number)
        except (ValueError, RecursionError) as error:
            raise Broken(str(error)) from error
        if self.members.get("specversion") != "1.0":
            raise Broken("specversion")
        for name in ("id", "source", "type"):
            if not isinstance(self.members.get(name), str) or not self.members[name]:
                raise Broken(name)
        self.topic, self.position = topic, (topic, partition, offset)
        self.type, self.id = self.members["type"], (self.members["source"], self.members["id"])
        self.data = self.members["data"]

    @property
    def time(self):
        return instant(self.members["time"])


def instant(value):
    return datetime.fromisoformat(text(value).replace("Z", "+00:00")).astimezone(timezone.utc)


def text(value):
    if not isinstance(value, str):
        raise Broken(f"{value} is no text")
    return value


def uid(value):
    return str(uuid.UUID(text(value)))


def integer(value):
    if isinstance(value, bool) or not isinstance(value, int) or not -(2**63) <= value < 2**63:
        raise Broken(f"{value} is no integer")
    return value


def decimal(value):
    if isinstance(value, str) and re.fullmatch(r"-?\d+(\.\d+)?", value):
        return Decimal(value)
    if isinstance(value, (int, Decimal)) and not isinstance(value, bool) and abs(value) < 10**15:
        return Decimal(value)
    raise Broken(f"{value} is no decimal")


def optional(kind):
    return lambda value: None if value is None else kind(value)


class Log:
    """The published records of a system: its distinct events, and what is none."""

    def __init__(self, records):
        self.broken = Counter()
        self.by_type = defaultdict(list)
        seen = set()
        for topic, partition, offset, value in records:
            try:
                event = Event(value, topic, partition, offset)
            except Broken:
                self.broken[topic] += 1
                continue
            if event.id not in seen:
                seen.add(event.id)
                self.by_type[event.type].append(event)


class Reading:
    """One view's way through the log; counts what it can't take."""

    def __init__(self, log):
        self.log = log
        self.dead = 0
        self.topics = set()

    def each(self, kind, /, **needed):
        """The events of a type with the members that are needed, converted."""
        for event in self.log.by_type[kind]:
            self.topics.add(event.topic)
            try:
                yield event, {name: convert(event.data.get(name)) for name, convert in needed.items()}
            except (Broken, ValueError):
                self.dead += 1

    def dead_letters(self):
        return self.dead + sum(self.log.broken[topic] for topic in self.topics)


def rounded(value, digits):
    return value.quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP)


def app_events(reading, name, width):
    groups = defaultdict(list)
    for event, data in reading.each("validation.entry.logged", app_id=text, event_name=text, duration_ms=decimal,
                                    user_id=optional(text), result=text):
        begin = event.time - timedelta(seconds=event.time.timestamp() % width)
        groups[data["app_id"], data["event_name"], begin].append(data)
    for (app, event_name, begin), found in groups.items():
        durations = sorted(data["duration_ms"] for data in found)
        failed = sum(data["result"] == "failed" for data in found)
        users = len({data["user_id"] for data in found} - {None})

        def quantile(per_mille):
            at = durations[per_mille * (len(durations) - 1) // 1000]
            return pytest.approx(at, rel=Decimal("0.01"), abs=Decimal("0.002"))

        yield {
            "app_id": app, "event_name": event_name, name: begin, "total": len(found), "passed": len(found) - failed,
            "failed": failed, "error_rate": rounded(Decimal(failed) / len(found), 4),
            "avg_duration_ms": rounded(sum(durations) / len(durations), 3), "min_duration_ms": durations[0],
            "max_duration_ms": durations[-1], "p50_duration_ms": quantile(500), "p95_duration_ms": quantile(950),
            "p99_duration_ms": quantile(990), "users": pytest.approx(users, rel=0.05, abs=1 if users < 10 else 2),
        }


def log_entries(reading):
    for event, data in reading.each("validation.entry.logged", app_id=text, event_name=text, user_id=optional(text),
                                    result=text, duration_ms=decimal, rule_id=optional(uid), message=optional(text)):
        yield {"app_id": data.pop("app_id"), "logged_at": event.time, "entry_id": uid(event.id[1]), **data}


def newest(states, key):
    """By key, the state with the greatest version; of equal ones the last in the log. None: it is gone."""
    last = {}
    for version, event, row in states:
        place = (version, event.position)
        if key(row) not in last or last[key(row)][0] < place:
            last[key(row)] = (place, row)
    return [row for _, row in last.values() if not row.get("gone")]


def entities(reading, name, changed, gone, /, **columns):
    """A view of entities with versions: one row for each, of its newest state, unless that says that it is gone."""
    key = columns.pop("key_type", uid)
    states = [(data["version"], event, {**data, "changed_at": event.time})
              for event, data in reading.each(changed, **{name: key, "version": integer}, **columns)]
    for event, data in reading.each(gone, **{name: key, "version": integer}) if gone else ():
        states.append((data["version"], event, {**data, "gone": True}))
    return newest(states, lambda row: row[name])


def validation_rules(reading):
    for row in entities(reading, "rule_id", "validation.rule.changed", "validation.rule.deleted", app_id=text,
                        event_name=text, field=text, check=text, severity=text, active=bool, parameters=dict):
        row["rule_check"] = row.pop("check")
        yield row


def app_config(reading):
    return entities(reading, "app_id", "validation.app.changed", "validation.app.removed", key_type=text, name=text,
                    team=text, enabled=bool, sampling=decimal, settings=dict)


def students(reading):
    return entities(reading, "student_id", "schools.student.changed", "schools.student.removed", school_id=integer,
                    classroom_id=uid, name=text, active=bool, risk_level=text, risk_score=decimal, born_on=date.fromisoformat)


def cases(reading):
    for row in entities(reading, "case_id", "schools.case.changed", "schools.case.deleted", status=text, assignee_id=uid,
                        category=text, opened_at=instant, student=dict):
        student = row.pop("student")
        row["student_name"] = student.pop("name")
        yield row | student


def alerts(reading):
    return entities(reading, "alert_id", "schools.alert.changed", None, status=text, assignee_id=uid, kind=text, severity=integer,
                    student_id=uid, raised_at=instant)


def sessions(reading):
    for row in entities(reading, "session_id", "schools.session.changed", None, status=text, planned_at=instant, student_id=uid,
                        form_master_id=uid, minutes=optional(integer)):
        del row["changed_at"]
        yield row


def audit_log(reading):
    for event, data in reading.each("schools.audit.recorded", user_id=uid, action=text, entity_type=text, entity_id=uid,
                                    address=text, details=dict):
        yield {"user_id": data.pop("user_id"), "at": event.time, "entry_id": uid(event.id[1]), **data}


def form_master_dashboard(reading):
    """What the newest state of each case and alert says; form masters who had one, too."""
    columns = ["cases_open", "cases_in_progress", "cases_escalated", "alerts_new", "alerts_acknowledged"]
    rows = defaultdict(Counter)
    for kind, changed, gone in (("case", "schools.case.changed", "schools.case.deleted"), ("alert", "schools.alert.changed", None)):
        states = []
        for event, data in reading.each(changed, **{f"{kind}_id": uid}, version=integer, status=text, assignee_id=uid):
            states.append((data["version"], event, data))
            if f"{kind}s_{data['status']}" in columns:
                rows[data["assignee_id"]] += Counter()
        for event, data in reading.each(gone, **{f"{kind}_id": uid}, version=integer) if gone else ():
            states.append((data["version"], event, {**data, "gone": True}))
        for row in newest(states, lambda row: row[f"{kind}_id"]):
            rows[row["assignee_id"]][f"{kind}s_{row['status']}"] += 1
    for form_master, counts in rows.items():
        yield {"form_master_id": form_master, **{column: counts[column] for column in columns}}


USER_PARTS = {
    "directory.employee": {"employee_id": integer, "name": text, "title": text, "department": text, "active": bool, "phone": text,
                           "permissions": list, "preferences": dict},
    "directory.assignment": {"team": text, "role": text, "manager_email": text, "since": date.fromisoformat},
    "directory.slot": {"slot_id": uid, "begins_at": instant, "ends_at": instant, "desk": text},
    "directory.region": {"region": text, "zone_ids": list},
}
USER_COLUMNS = {"role": "team_role", "since": "team_since", "begins_at": "slot_begins_at", "ends_at": "slot_ends_at"}


def user_context(reading):
    left = [(event, data["email"]) for event, data in reading.each("directory.employee.left", email=text)]
    users = defaultdict(dict)
    for part, columns in USER_PARTS.items():
        states = [(event.time, event, {"email": email, "gone": True}) for event, email in left]
        for event, data in reading.each(f"{part}.changed", email=text, **columns):
            states.append((event.time, event, data))
        for event, data in reading.each(f"{part}.ended", email=text):
            states.append((event.time, event, {**data, "gone": True}))
        for row in newest(states, lambda row: row["email"]):
            users[row["email"]].update({USER_COLUMNS.get(name, name): value for name, value in row.items()})
    every = [USER_COLUMNS.get(name, name) for columns in USER_PARTS.values() for name in columns]
    return [dict.fromkeys(every) | row for row in users.values()]


def zones(reading):
    states = [(event.time, event, data)
              for event, data in reading.each("directory.zone.changed", zone_id=integer, name=text, population=integer)]
    return newest(states, lambda row: row["zone_id"])


def labor(reading, by):
    groups = defaultdict(list)
    for event, data in reading.each("labor.hours.changed", dealership_id=integer, employee_id=integer, kind=text, hours=decimal,
                                    dealership_name=text, time_zone=text, begins_at=instant, ends_at=instant):
        # The day is not what the event says, but that of its begin in the dealership's zone.
        data["work_date"] = data["begins_at"].astimezone(ZoneInfo(data["time_zone"])).date()
        groups[tuple(data[name] for name in by)].append((event, data))
    for key, found in groups.items():
        kinds = Counter(data["kind"] for _, data in found)
        row = dict(zip(by, key)) | {
            "hours": sum(data["hours"] for _, data in found), "punches": kinds["punched"], "corrections": kinds["corrected"],
            "deletions": kinds["deleted"],
            "dealership_name": max(found, key=lambda pair: (pair[0].time, pair[0].position))[1]["dealership_name"]}
        if "employee_id" not in by:
            people = len({data["employee_id"] for _, data in found})
            row["employees"] = pytest.approx(people, rel=0.05, abs=1 if people < 10 else 2)
        yield row


def dealerships(reading):
    for row in entities(reading, "dealership_id", "labor.dealership.changed", None, key_type=integer, name=text, time_zone=text, town=text,
                        target_hours=integer):
        del row["changed_at"]
        yield row


VIEWS = {
    "live-validation": {
        "app_event_minute": lambda reading: app_events(reading, "minute", 60),
        "app_event_hour": lambda reading: app_events(reading, "hour", 3600),
        "log_entries": log_entries, "validation_rules": validation_rules, "app_config": app_config,
    },
    "schools": {"students": students, "cases": cases, "alerts": alerts, "sessions": sessions, "audit_log": audit_log,
                "form_master_dashboard": form_master_dashboard},
    "user-context": {"user_context": user_context, "zones": zones},
    "labor-daily": {
        "labor_daily": lambda reading: labor(reading, ["dealership_id", "employee_id", "work_date"]),
        "labor_daily_total": lambda reading: labor(reading, ["dealership_id", "work_date"]),
        "dealerships": dealerships,
    },
}
