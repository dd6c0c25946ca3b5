"""Who may do what, and what others can see: database roles, TLS and passwords on both sides, secrets in messages.

The tests of roles use the ordinary services. Those of TLS and SASL start a Kafka and a PostgreSQL of their own, with
certificates of a CA that is made here; both let nobody in without TLS and a password, but for the tests' own
administration.
"""

import json
import os
import re
import shutil
import subprocess
import uuid
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import confluent_kafka
import psycopg2
import psycopg2.errors
import pytest
from confluent_kafka import admin
from conftest import PROGRAM, ROOT, VIEWS, wait_until

SUMMARY = VIEWS / "dashboard_daily_summary.json"


def as_user(uri, user, password=None):
    """The same database for another user."""
    parts = urlsplit(uri)
    login = user if password is None else f"{user}:{password}"
    return parts._replace(netloc=f"{login}@{parts.hostname}:{parts.port}").geturl()


def execute(uri, *statements):
    connection = psycopg2.connect(uri)
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


def run_as(daybook, uri, *arguments, **options):
    """Runs a command with another database user."""
    former = daybook.env["DAYBOOK_DATABASE"]
    daybook.env["DAYBOOK_DATABASE"] = uri
    try:
        return daybook.run(*arguments, **options)
    finally:
        daybook.env["DAYBOOK_DATABASE"] = former


def new_name(prefix):
    return f"{prefix}_{uuid.uuid4().hex[:8]}"


# --- roles -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def make_login(services):
    """Makes login users, members of the named roles; they go with the test."""
    made = []

    def make(*roles, options=""):
        name = new_name("test")
        execute(services.database, f"CREATE ROLE {name} LOGIN {options}", *(f"GRANT {role} TO {name}" for role in roles))
        made.append(name)
        return name

    yield make
    for name in reversed(made):
        execute(services.database, f"DROP ROLE {name}")


@pytest.fixture
def logins(daybook, database, make_login):
    """A database that an administrator migrated once, and a login for each of the three roles: their URIs."""
    daybook.run("migrate")
    logins = {role: as_user(database.uri, make_login(f"daybook_{role}")) for role in ("migrate", "write", "read")}
    logins["none"] = as_user(database.uri, make_login())
    return SimpleNamespace(**logins)


def write_view(folder, **changes):
    """A definition file with names of its own, not applied."""
    definition = json.loads(SUMMARY.read_text())
    definition.pop("$schema", None)
    definition["view"] = new_name(definition["view"])
    topic = "test." + uuid.uuid4().hex[:12]
    for rule in definition["sources"]:
        rule["topic"] = topic
    definition.update(changes)
    file = folder / f"{definition['view']}.json"
    file.write_text(json.dumps(definition))
    return SimpleNamespace(name=definition["view"], topic=topic, file=file, definition=definition)


def test_each_command_runs_under_its_role(daybook, database, logins, tmp_path):
    view = write_view(tmp_path)
    assert run_as(daybook, logins.migrate, "migrate").stdout == "up to date\n"
    run_as(daybook, logins.migrate, "views", "apply", view.file)
    run_as(daybook, logins.migrate, "views", "apply", view.file)
    positions = daybook.simulate(view, "--duplicates", 0.05, "--poison", 0.01, "--late", 0.05, events=5000)
    run_as(daybook, logins.write, "worker", "--view", view.file, "--once")
    assert database.has_applied(view.name, positions)
    assert database.query("SELECT count(*) FROM daybook.dead_letter")[0][0] > 0
    run_as(daybook, logins.read, "verify", view.name)
    # Owned by the role, so that another member can replace the function and a later migration the tables.
    owners = database.query(
        "SELECT DISTINCT pg_get_userbyid(o) FROM (SELECT relowner FROM pg_class WHERE relnamespace = 'daybook'::regnamespace"
        " UNION SELECT proowner FROM pg_proc WHERE pronamespace = 'daybook'::regnamespace"
        " UNION SELECT relowner FROM pg_class WHERE relname = %s) AS all_of_it (o)", view.name)
    assert owners == [("daybook_migrate",)]


EVENTS_OF = "SELECT record_value FROM daybook.dead_letter"
REFUSED = {
    # What a worker's login must not do: change what it does not have to, or the structure of anything.
    "write": [
        "CREATE TABLE daybook.mine (a int)", "CREATE TABLE public.mine (a int)", "CREATE SCHEMA mine",
        "CREATE ROLE mine", "DROP TABLE {view}", "TRUNCATE {view}", "DELETE FROM {view}",
        "ALTER TABLE {view} ADD COLUMN mine int", "CREATE INDEX ON {view} (updated_at)",
        "CREATE OR REPLACE FUNCTION daybook.take(int, text, text[], int[], bigint[]) RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "DROP FUNCTION daybook.take", "TRUNCATE daybook.seen", "DELETE FROM daybook.position",
        "UPDATE daybook.generation SET state = 'retired'", "INSERT INTO daybook.view_head (generation) VALUES (7)",
        "DELETE FROM daybook.dead_letter", "UPDATE daybook.dead_letter SET state = 'discarded'", EVENTS_OF,
        "INSERT INTO daybook.migration (version, name) VALUES (999, 'x')", "SET ROLE daybook_migrate",
    ],
    # What somebody who reads must not do: change anything, or see what was in dead letters.
    "read": [
        "INSERT INTO {view} SELECT * FROM {view}", "UPDATE {view} SET total_stock = 0", "DELETE FROM {view}",
        "CREATE TABLE public.mine (a int)", "SELECT * FROM daybook.seen", "SELECT fingerprint_key FROM daybook.generation",
        EVENTS_OF, "SELECT headers FROM daybook.dead_letter", "SELECT detail FROM daybook.dead_letter",
        "UPDATE daybook.position SET next_offset = 0", "DELETE FROM daybook.dead_letter",
        "SELECT * FROM daybook.take(1, 'mine', ARRAY['t'], ARRAY[0], ARRAY[0::bigint])", "SET ROLE daybook_write",
    ],
    # Makes and changes views, but is no administrator.
    "migrate": ["CREATE ROLE mine", "CREATE SCHEMA mine", "CREATE DATABASE mine", "ALTER ROLE daybook_write LOGIN"],
    "none": ["SELECT * FROM {view}", "SELECT * FROM daybook.position", "SELECT * FROM daybook.take(1, '', '{{}}', '{{}}', '{{}}')"],
}


def test_each_role_is_refused_all_else(daybook, database, logins, tmp_path):
    view = write_view(tmp_path)
    run_as(daybook, logins.migrate, "views", "apply", view.file)
    for role, statements in REFUSED.items():
        connection = psycopg2.connect(getattr(logins, role))
        connection.autocommit = True
        try:
            for statement in statements:
                with connection.cursor() as cursor, pytest.raises(psycopg2.errors.InsufficientPrivilege):
                    cursor.execute(statement.format(view=view.name))
                    pytest.fail(f"{role} may: {statement}")
        finally:
            connection.close()


def test_commands_under_a_role_too_low_say_so(daybook, database, logins, tmp_path):
    view = write_view(tmp_path)
    run_as(daybook, logins.migrate, "views", "apply", view.file)
    positions = daybook.simulate(view, events=100)
    advice = "this user needs one of daybook's roles (docs/security.md)"
    assert advice in run_as(daybook, logins.none, "worker", "--view", view.file, status=4).stderr
    assert advice in run_as(daybook, logins.none, "verify", view.name, status=4).stderr
    assert advice in run_as(daybook, logins.read, "worker", "--view", view.file, status=4).stderr
    assert advice in run_as(daybook, logins.write, "views", "apply", write_view(tmp_path).file, status=4).stderr
    # One who may take partitions but not write rows stops at the first commit, and nothing of it happened.
    database.query(f"REVOKE UPDATE ON {view.name} FROM daybook_write")
    database.query(f"REVOKE INSERT ON {view.name} FROM daybook_write")
    stopped = run_as(daybook, logins.write, "worker", "--view", view.file, status=4).stderr
    assert f"permission denied for table {view.name}: it needs the role daybook_write" in stopped
    assert set(database.positions(view.name).values()) == {0}
    run_as(daybook, logins.migrate, "migrate")  # gives back what is missing
    run_as(daybook, logins.write, "worker", "--view", view.file, "--once")
    assert database.has_applied(view.name, positions)


def test_views_in_a_schema_of_their_own(daybook, database, logins, tmp_path):
    execute(database.uri, "CREATE SCHEMA reporting")
    path = "?options=-csearch_path%3Dreporting"
    view = write_view(tmp_path)
    stopped = run_as(daybook, logins.migrate + path, "views", "apply", view.file, status=4).stderr
    assert "search_path names none that exists and that this user may use" in stopped
    run_as(daybook, database.uri + path, "migrate")  # the administrator lets the roles in
    run_as(daybook, logins.migrate + path, "views", "apply", view.file)
    positions = daybook.simulate(view, events=500)
    run_as(daybook, logins.write, "worker", "--view", view.file, "--once")
    assert database.has_applied(view.name, positions)
    run_as(daybook, logins.read, "verify", view.name)


def test_a_user_who_may_not_create_roles(daybook, database, make_login, tmp_path):
    """As on many managed databases: it owns the database, and no more. Then an administrator comes."""
    owner = make_login()
    execute(database.uri, f"ALTER DATABASE {urlsplit(database.uri).path[1:]} OWNER TO {owner}")
    mine = as_user(database.uri, owner)
    told = run_as(daybook, mine, "migrate").stdout
    # The roles are the server's: here they exist already, from other tests.
    assert "not allowed to this user: let an administrator run the following" in told
    assert f"GRANT daybook_migrate TO {owner};" in told
    view = write_view(tmp_path)
    run_as(daybook, mine, "views", "apply", view.file)
    positions = daybook.simulate(view, events=500)
    run_as(daybook, mine, "worker", "--view", view.file, "--once")  # as before: the owner may do everything
    run_as(daybook, mine, "verify", view.name)
    assert database.has_applied(view.name, positions)
    # Those roles that exist have got their grants.
    run_as(daybook, as_user(database.uri, make_login("daybook_read")), "verify", view.name)

    refused = re.findall(r"^  (.*);$", told, re.MULTILINE)
    execute(database.uri, *refused)  # exactly what it said
    again = run_as(daybook, mine, "migrate").stdout
    assert again == "up to date\n"
    execute(database.uri, f"ALTER DATABASE {urlsplit(database.uri).path[1:]} OWNER TO daybook")
