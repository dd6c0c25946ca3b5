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
from conftest import PROGRAM, ROOT, VIEWS, Daybook, wait_until
from readers import Reader

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
    run_as(daybook, logins.write, "views", "pause", view.name)  # as a worker does by itself
    run_as(daybook, logins.write, "views", "resume", view.name)
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
        "INSERT INTO daybook.migration (version, name) VALUES (999, 'x')",
        "SELECT daybook.move_positions(1, ARRAY['t'], ARRAY[0], ARRAY[0::bigint])", "SET ROLE daybook_migrate",
    ],
    # What somebody who reads must not do: change anything, or see what was in dead letters.
    "read": [
        "INSERT INTO {view} SELECT * FROM {view}", "UPDATE {view} SET total_stock = 0", "DELETE FROM {view}",
        "CREATE TABLE public.mine (a int)", "SELECT * FROM daybook.seen", "SELECT fingerprint_key FROM daybook.generation",
        EVENTS_OF, "SELECT headers FROM daybook.dead_letter", "SELECT detail FROM daybook.dead_letter",
        "UPDATE daybook.position SET next_offset = 0", "DELETE FROM daybook.dead_letter",
        "SELECT * FROM daybook.take(1, 'c', 'mine', ARRAY['t'], ARRAY[0], ARRAY[0::bigint])", "SET ROLE daybook_write",
    ],
    # Makes and changes views, but is no administrator.
    "migrate": ["CREATE ROLE mine", "CREATE SCHEMA mine", "CREATE DATABASE mine", "ALTER ROLE daybook_write LOGIN"],
    "none": ["SELECT * FROM {view}", "SELECT * FROM daybook.position", "SELECT * FROM daybook.take(1, '', '', '{{}}', '{{}}', '{{}}')"],
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
    advice = "this user lacks a right of daybook's roles (docs/security.md"
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
    reader = Reader(daybook, "--database", logins.read)
    reader.wait_until_ready()
    assert len(json.loads(reader.get(f"/v1/views/{view.name}?limit=5")[2])["rows"]) == 5


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


# --- TLS and passwords -----------------------------------------------------------------------------------------------

KAFKA_SETTINGS = """
listeners=CLIENT://127.0.0.1:{port},SECURE://localhost:{secure_port},CONTROLLER://127.0.0.1:{controller_port}
listener.security.protocol.map=CLIENT:PLAINTEXT,SECURE:SASL_SSL,CONTROLLER:PLAINTEXT
listener.name.secure.ssl.keystore.type=PEM
listener.name.secure.ssl.keystore.location=FOLDER/server.pem
listener.name.secure.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
listener.name.secure.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \
  user_daybook="PASSWORD";
listener.name.secure.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.secure.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
# A wrong password is told at once, not after a second.
connection.failed.authentication.delay.ms=10
"""

POSTGRESQL_SETTINGS = """
ssl = on
ssl_cert_file = 'FOLDER/server.crt'
ssl_key_file = 'FOLDER/server.key'
hba_file = 'FOLDER/pg_hba.conf'
"""

# The administrator of these tests comes without a password; everybody else needs TLS and one.
POSTGRESQL_ACCESS = """
host    all daybook 127.0.0.1/32 trust
hostssl all all     127.0.0.1/32 scram-sha-256
"""

# Debian 12's librdkafka 2.0.2 can't do SCRAM with Kafka 4 (docs/security.md). The one that the Python client of these
# tests brings can: the program runs with that one for SCRAM.
NEWER_LIBRDKAFKA = next(Path(confluent_kafka.__file__).parent.parent.glob("confluent_kafka.libs/librdkafka*.so*"))


def make_certificates(folder):
    """A CA, a certificate for localhost that it signed, and another CA that nobody here trusts."""

    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    for name in ("ca", "other-ca"):
        openssl("req", "-x509", *key, "-keyout", f"{name}.key", "-out", f"{name}.crt", "-days", "2",
                "-subj", f"/CN=Daybook test {name}")
    openssl("req", *key, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=localhost")
    (folder / "names").write_text("subjectAltName=DNS:localhost\n")
    openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial",
            "-days", "2", "-out", "server.crt", "-extfile", "names")
    (folder / "server.pem").write_text((folder / "server.key").read_text() + (folder / "server.crt").read_text())
    (folder / "server.key").chmod(0o600)
    if os.geteuid() == 0:
        shutil.chown(folder / "server.key", "postgres")


@pytest.fixture(scope="module")
def secure(tmp_path_factory):
    """Services that let nobody in without TLS and a password: where they are, the CA, the password, and a login."""
    folder = tmp_path_factory.mktemp("secure")
    password = "kitten " + uuid.uuid4().hex  # with a space: it comes from a file
    make_certificates(folder)
    for name, text in {"kafka.properties": KAFKA_SETTINGS, "postgresql.conf": POSTGRESQL_SETTINGS,
                       "pg_hba.conf": POSTGRESQL_ACCESS}.items():
        (folder / name).write_text(text.replace("FOLDER", str(folder)).replace("PASSWORD", password))
    run_dir = folder / "run"
    command = [str(ROOT / "scripts/services")]
    subprocess.run([*command, "start", str(run_dir), "--config", str(folder)], check=True)
    try:
        env = dict(line.split("=", 1) for line in (run_dir / "env").read_text().split())
        client = admin.AdminClient({"bootstrap.servers": env["DAYBOOK_BROKERS"]})
        for mechanism in (admin.ScramMechanism.SCRAM_SHA_256, admin.ScramMechanism.SCRAM_SHA_512):
            credential = admin.ScramCredentialInfo(mechanism, 4096)
            change = admin.UserScramCredentialUpsertion("daybook", credential, password.encode())
            client.alter_user_scram_credentials([change])["daybook"].result(30)
        database = urlsplit(env["DAYBOOK_DATABASE"])
        yield SimpleNamespace(
            brokers=f"localhost:{(run_dir / 'kafka-secure.port').read_text().strip()}",
            admin=env["DAYBOOK_DATABASE"],
            uri=f"postgresql://deploy:{password.replace(' ', '%20')}@localhost:{database.port}{database.path}"
                f"?sslmode=verify-full&sslrootcert={folder}/ca.crt",
            folder=folder,
            password=password,
        )
    finally:
        subprocess.run([*command, "stop", str(run_dir)], check=True)


class Secured(Daybook):
    """The program, with settings as docs/security.md shows them."""

    def __init__(self, secure, folder):
        super().__init__(SimpleNamespace(brokers=secure.brokers), SimpleNamespace(uri=""), folder)
        self.secure = secure
        del self.env["DAYBOOK_DATABASE"]
        self.use_database(secure.uri)
        self.use_broker()

    def use_database(self, uri):
        (self.folder / "database-uri").write_text(uri + "\n")
        self.env["DAYBOOK_DATABASE_FILE"] = str(self.folder / "database-uri")

    def use_broker(self, mechanism="PLAIN", password=None, ca="ca.crt", protocol="SASL_SSL"):
        (self.folder / "broker-password").write_text(password or self.secure.password)
        self.env |= {
            "DAYBOOK_KAFKA": f"security.protocol={protocol} sasl.mechanism={mechanism} sasl.username=daybook"
                             f" ssl.ca.location={self.secure.folder}/{ca} broker.address.family=v4",
            "DAYBOOK_KAFKA_FILE": f"sasl.password={self.folder}/broker-password",
        }
        if protocol == "PLAINTEXT":
            self.env["DAYBOOK_KAFKA"] = f"security.protocol={protocol} broker.address.family=v4"
            del self.env["DAYBOOK_KAFKA_FILE"]
        if mechanism != "PLAIN":
            self.env["LD_PRELOAD"] = str(NEWER_LIBRDKAFKA)


@pytest.fixture(scope="module")
def migrated(secure, tmp_path_factory):
    """The secured database once an administrator migrated it and made a login, with a view that has read events."""
    folder = tmp_path_factory.mktemp("migrated")
    program = Secured(secure, folder)
    program.use_database(secure.admin)
    program.run("migrate")
    execute(secure.admin,
            f"CREATE ROLE deploy LOGIN PASSWORD '{secure.password}' IN ROLE daybook_migrate, daybook_write")
    program.use_database(secure.uri)
    view = write_view(folder)
    program.run("views", "apply", view.file)
    program.simulate(view, events=10)
    program.run("worker", "--view", view.file, "--once")
    return view


@pytest.fixture
def secured(secure, migrated, tmp_path):
    program = Secured(secure, tmp_path)
    yield program
    for process in program.processes:
        if process.is_running():
            process.kill()
        print(f"--- {process.log.name}:\n{process.output()[-10000:]}")


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_all_commands_through_tls_with_passwords(secured, secure, tmp_path, mechanism):
    secured.use_broker(mechanism)
    view = write_view(tmp_path)
    secured.run("views", "apply", view.file)
    secured.simulate(view, "--duplicates", 0.05, events=1000)
    secured.run("worker", "--view", view.file, "--once")
    assert execute(secure.admin, f"SELECT count(*) FROM {view.name}")[0][0] > 0
    secured.run("verify", view.name)


def test_a_running_worker_shows_no_secret_and_uses_tls(secured, secure, migrated):
    secured.env["DAYBOOK_KAFKA"] += " debug=conf,security"
    worker = secured.start_worker(migrated)
    sessions = ("SELECT s.ssl FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid)"
                f" WHERE a.application_name = 'daybook-worker/{migrated.name}'")
    wait_until(lambda: "reads test." in worker.output() and execute(secure.admin, sessions), worker.output)
    assert all(ssl for (ssl,) in execute(secure.admin, sessions))
    seen_by_all_users = Path(f"/proc/{worker.pid}/cmdline").read_bytes().decode()
    assert migrated.name in seen_by_all_users and "kitten" not in seen_by_all_users
    assert worker.terminate() == 0
    assert "kitten" not in worker.output()


# What is wrong, in the words that the one line must have, and the exit code: 4, a person has to act; 3, it may heal.
BROKER_FAULTS = {
    "PLAIN": (dict(password="kitten wrong"), "Authentication failed", "check sasl.mechanism, sasl.username and sasl.password", 4),
    "SCRAM": (dict(password="kitten wrong", mechanism="SCRAM-SHA-512"), "Authentication failed",
              "check sasl.mechanism, sasl.username and sasl.password", 4),
    "CA": (dict(ca="other-ca.crt"), "certificate verify failed", "check ssl.ca.location", 4),
    "plaintext": (dict(protocol="PLAINTEXT"), "connecting to a SSL listener?", "", 3),
}


@pytest.mark.parametrize("fault", BROKER_FAULTS)
def test_a_broker_that_refuses_is_told_in_one_line(secured, migrated, fault):
    settings, reason, advice, status = BROKER_FAULTS[fault]
    secured.use_broker(**settings)
    commands = {"publish": ("simulate", "bloodbank", "--topic", migrated.topic, "--events", 10, "--timeout", 1)}
    if status == 4:  # the patience of the others is too long for a test of what may heal
        commands |= {"verify": ("verify", migrated.name), "worker": ("worker", "--view", migrated.file)}
    for name, command in commands.items():
        told = secured.run(*command, status=status, deadline=15).stderr
        # A worker that was slow to look may have said before that a first attempt failed.
        lines = [line for line in told.splitlines() if "[info]" not in line and not line.endswith("; trying again")]
        assert len(lines) == 1 and reason in lines[0] and advice in lines[0], f"{name}: {told}"
        assert "kitten" not in told
    if status == 3:  # a worker goes on trying, says so once, and ends when it is told to
        worker = secured.start_worker(migrated)
        wait_until(lambda: reason in worker.output(), worker.output)
        assert worker.terminate() == 0
        assert worker.output().count(reason) == 1, worker.output()


def test_a_librdkafka_that_can_not_do_scram_is_named(secured, migrated):
    """Whatever the program is linked with, SCRAM works, or the message says why it can't."""
    secured.use_broker("SCRAM-SHA-256")
    del secured.env["LD_PRELOAD"]
    done = subprocess.run([PROGRAM, "simulate", "bloodbank", "--topic", migrated.topic, "--events", "1", "--rate", "0"],
                          env=secured.env, cwd=ROOT, capture_output=True, encoding="utf-8", timeout=30)
    refused = re.search(r"librdkafka (2\.[0-5]\.|2\.6\.0|1\.)\S* can't do SCRAM with Kafka 4, only 2.6.1 and newer can", done.stderr)
    assert (done.returncode == 0) != bool(refused), done.stderr


@pytest.mark.parametrize("fault", ["password", "ca", "plaintext", "host", "escape", "syntax"])
def test_a_database_that_refuses_is_told_in_one_line(secured, secure, migrated, fault):
    password = secure.password.replace(" ", "%20")
    change, reason = {
        "password": (lambda uri: uri.replace(password, "kittenwrong"), "password authentication failed"),
        "ca": (lambda uri: uri.replace("/ca.crt", "/other-ca.crt"), "certificate verify failed"),
        "plaintext": (lambda uri: uri.replace("verify-full", "disable"), "no encryption"),
        "host": (lambda uri: uri.replace("@localhost", "@127.0.0.1"), "does not match host name"),
        # Characters that should have been escaped: libpq takes pieces of the password for something else and shows them.
        "escape": (lambda uri: uri.replace(password, "ab@kitten/cd"), "has to be written as %XX in a URI?"),
        "syntax": (lambda uri: uri.replace(password, "kitten%zz"), "what was found is not shown"),
    }[fault]
    secured.use_database(change(secure.uri))
    for command in (("worker", "--view", migrated.file), ("verify", migrated.name), ("migrate",)):
        done = secured.run(*command, status=4, deadline=20)
        lines = done.stderr.splitlines()
        assert len(lines) == 1 and reason in lines[0], done.stderr
        assert "kitten" not in done.stdout + done.stderr


@pytest.mark.parametrize("mistake, told", [
    (dict(DAYBOOK_KAFKA="sasl.password=kitten in.pieces"), "value number 2 is not NAME=VALUE"),
    (dict(DAYBOOK_KAFKA="sasl.pasword=kitten"), 'No such configuration property: "sasl.pasword"'),
    (dict(DAYBOOK_KAFKA_FILE="sasl.password=/nowhere/at/all"), "--kafka-file sasl.password: /nowhere/at/all can't be read"),
    (dict(DAYBOOK_DATABASE_FILE="/nowhere/at/all"), "--database-file: /nowhere/at/all can't be read"),
    (dict(DAYBOOK_DATABASE="postgresql://u:kitten@localhost/x"), "--database excludes --database-file"),
], ids=["pieces", "misspelled", "no password file", "no database file", "both"])
def test_mistakes_do_not_repeat_secrets(secured, migrated, mistake, told):
    secured.env |= mistake
    refused = secured.run("worker", "--view", migrated.file, status=2).stderr
    assert told in refused and "kitten" not in refused and "pieces" not in refused


# --- injection -------------------------------------------------------------------------------------------------------

EVIL = '"; DROP TABLE daybook.generation; --'


def set_at(definition, path, value):
    *parents, last = path
    for step in parents:
        definition = definition[step]
    definition[last] = value


@pytest.mark.parametrize("path", [
    ("view",), ("key", 0, "name"), ("key", 1, "name"), ("key", 1, "time_zone"), ("columns", 0, "name"), ("sources", 0, "topic"),
], ids=lambda path: "/".join(map(str, path)))
def test_names_that_are_sql_are_refused(daybook, tmp_path, path):
    definition = json.loads(SUMMARY.read_text())
    definition.pop("$schema", None)
    for evil in (EVIL, "a'); DROP TABLE daybook.generation; --", "a{{table}}", "a\\", "a\u0000b", "$1"):
        set_at(definition, path, evil)
        file = tmp_path / "evil.json"
        file.write_text(json.dumps(definition))
        told = daybook.run("views", "check", file, status=1).stdout
        pointer = "/" + "/".join(map(str, path))
        assert f"{pointer}: found " in told and "expected" in told
        assert pointer in daybook.run("views", "apply", file, status=2).stderr  # before the database is asked


def test_constants_that_are_sql_stay_text(daybook, database, tmp_path):
    """Texts that may hold anything: those of conditions, and event types. They are stored, and compared with events."""
    texts = [EVIL, "'); DROP TABLE daybook.generation; --", "\\'; DROP TABLE daybook.generation; --", "$$; --", "{{table}}",
             "%s %I $1 :x", "$daybook$", "\u2028 \u00e4 \U0001f9ea \\x41 E'\\''"]
    definition = json.loads(SUMMARY.read_text())
    definition.pop("$schema", None)
    view = write_view(tmp_path, sources=[
        {**rule, "topic": "t" + uuid.uuid4().hex[:8], "event": rule["event"] + texts[i],
         "where": [{"member": "/data/note", "in": texts}]}
        for i, rule in enumerate(definition["sources"])
    ])
    daybook.run("views", "check", view.file)
    daybook.run("migrate")
    daybook.run("views", "apply", view.file)
    daybook.run("views", "apply", view.file)
    [(stored, parsed)] = database.query("SELECT definition_text, definition FROM daybook.generation")
    assert json.loads(stored) == parsed
    assert [rule["where"][0]["in"] for rule in parsed["sources"]] == [texts] * len(parsed["sources"])


def test_another_client_encoding_changes_nothing(daybook, database, tmp_path):
    """Sessions are UTF-8 whatever the environment says, for quoting and for the texts of events."""
    daybook.env["PGCLIENTENCODING"] = "SJIS"
    daybook.run("migrate")
    text = "\u8868'; DROP TABLE daybook.generation; --"  # in Shift JIS its second byte is a backslash
    definition = json.loads(SUMMARY.read_text())
    sources = [{**rule, "where": [{"member": "/data/note", "equals": text}]} for rule in definition["sources"]]
    view = write_view(tmp_path, sources=sources)
    daybook.run("views", "apply", view.file)
    [(parsed,)] = database.query("SELECT definition FROM daybook.generation")
    assert parsed["sources"][0]["where"][0]["equals"] == text
