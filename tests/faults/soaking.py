"""The soak's system under test (services, proxies, supervised workers, traffic) and its run."""

import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import confluent_kafka
import memory
import psycopg2
from confluent_kafka.admin import AdminClient
from faults import classes, schedule
from fleet import Fleet
from harness import PROGRAM, ROOT, VIEWS, Database, Daybook, wait_until
from proxy import KafkaProxy, Proxy
from servers import Cluster, Postgresql, Server, create_topic, kafka, log_ends, on_port

RECOVERY_SECONDS = 120  # without any progress
RECOVERY_SECONDS_MAX = 600
TOPIC = "soak.events"


class System:
    """Everything that faults are injected into."""

    def __init__(self, folder, options, say):
        self.options = options
        self.say = say
        self.notes = []
        self.evidence = Counter()  # what the servers show to have happened
        self.peak = 0  # memory of the worker that took most
        self.standbys = 0
        self.side_views = 0
        self.folder = folder
        env = dict(line.split("=", 1) for line in (folder / "env").read_text().split())
        self.database_server = Postgresql(folder)
        self.database = Database(env["DAYBOOK_DATABASE"])
        (folder / "logs").mkdir()
        self.cluster = None
        if options.brokers == 3:
            kafka(folder).kill()  # what scripts/services started is one broker
            self.cluster = Cluster(folder)
            self.brokers, ports = self.cluster.brokers, self.cluster.ports
        else:
            self.broker = kafka(folder)
            self.brokers, ports = env["DAYBOOK_BROKERS"], [self.broker.port]
        self.admin = AdminClient({"bootstrap.servers": self.brokers, "log_level": 0})
        self.proxies = SimpleNamespace(kafka=KafkaProxy(ports), database=Proxy(self.database_server.port))
        self.daybook = Daybook(SimpleNamespace(brokers=self.brokers), self.database, folder / "logs")
        self.daybook.env["DAYBOOK_BROKERS"] = self.brokers
        self.quiet("migrate")
        create_topic(self.admin, TOPIC, 4, options.brokers)
        self.view = self.make_view("dashboard_daily_summary", TOPIC)
        self.fleet = Fleet(self.daybook, self.view, self.proxies)
        self.expected = set()  # pids that were told to end
        self.unexpected = []  # what ended by itself
        self.lock = threading.Lock()
        self.ending = threading.Event()
        self.traffic = None
        self.traffic_runs = 0
        self.traffic_ends = False
        self.supervisor = threading.Thread(target=self.supervise)

    def make_view(self, name, topic):
        definition = json.loads((VIEWS / "dashboard_daily_summary.json").read_text())
        definition.pop("$schema", None)
        definition["view"] = name
        for rule in definition["sources"]:
            rule["topic"] = topic
        file = self.folder / f"{name}.json"
        file.write_text(json.dumps(definition, indent=2))
        self.quiet("views", "apply", file)
        return SimpleNamespace(name=name, topic=topic, file=file)

    def quiet(self, *arguments):
        done = subprocess.run([PROGRAM, *map(str, arguments)], env=self.daybook.env, capture_output=True,
                              encoding="utf-8")
        if done.returncode != 0:
            raise RuntimeError(f"daybook {arguments[0]}: exit status {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def note(self, text):
        self.notes.append(text)

    def wait(self, seconds):
        self.ending.wait(seconds)

    # --- workers -----------------------------------------------------------------------------------------------------

    def running(self):
        return [worker for worker in self.fleet.workers if worker.is_running()]

    def add_worker(self, expected=False, **how):
        with self.lock:
            worker = self.fleet.add(**how)
            if expected:
                self.expected.add(worker.pid)
            return worker

    def end(self, worker, number):
        with self.lock:
            self.expected.add(worker.pid)
            worker.send(number)

    def end_worker(self, chance, number):
        running = [worker for worker in self.running() if worker.pid not in self.expected]
        if running:
            self.end(chance.choice(running), number)

    def shrink(self):
        for worker in self.running()[self.options.workers:]:
            self.end(worker, signal.SIGTERM)

    def supervise(self):
        """Starts a worker for each that is missing, and traffic when it ended; notes what ended by itself."""
        while not self.ending.wait(0.1):
            with self.lock:
                self.peak = max([self.peak, *(memory.peak(worker.pid) for worker in self.running())])
                for worker in [worker for worker in self.fleet.workers if not worker.is_running()]:
                    self.fleet.workers.remove(worker)
                    if worker.pid not in self.expected:
                        self.unexpected.append(f"{worker.log.name}: exit status {worker.popen.returncode}: "
                                               + worker.output().strip().rpartition("\n")[2])
                while len(self.fleet.workers) < self.options.workers:
                    self.fleet.add()
                if not self.traffic_ends and (self.traffic is None or not self.traffic.is_running()):
                    self.start_traffic()

    def start_traffic(self):
        self.traffic_runs += 1
        self.traffic = self.daybook.start(
            "simulate", "bloodbank", "--topic", TOPIC, "--events", 0, "--rate", self.options.rate,
            "--duplicates", 0.05, "--late", 0.05, "--poison", self.options.poison, "--seed", self.traffic_runs, "--timeout", 120)

    def end_traffic(self):
        with self.lock:
            self.traffic_ends = True
            self.traffic.terminate(130)

    def stop(self):
        self.ending.set()
        if self.supervisor.ident:
            self.supervisor.join()
        for process in self.daybook.processes:
            if process.is_running():
                process.send(signal.SIGCONT)
                process.kill()
        self.proxies.kafka.end()
        self.proxies.database.end()

    # --- what it is at -----------------------------------------------------------------------------------------------

    def query(self, statement, *parameters):
        return self.database.query(statement, *parameters)

    def seq(self):
        return self.fleet.seq()

    def move_database(self, server):
        self.database_server = server
        self.proxies.database.target = server.port
        self.database.uri = on_port(self.database.uri, server.port)
        self.daybook.env["DAYBOOK_DATABASE"] = self.database.uri

    def partition_count(self):
        return len(self.admin.list_topics(TOPIC, timeout=30).topics[TOPIC].partitions)

    def ends(self):
        return log_ends(self.brokers, TOPIC)

    def wait_until_applied(self):
        """Something published after now is applied, and all before it; returns after how many seconds."""
        began = time.monotonic()
        before = wait_until(lambda: self.answers(self.ends), "Kafka tells the ends of the partitions", RECOVERY_SECONDS)

        def later_ends():
            ends = self.answers(self.ends)
            return ends if ends and (self.traffic_ends or ends != before) else None

        ends = wait_until(later_ends, "traffic goes on", RECOVERY_SECONDS)
        # On a machine that is busy with other things it may take long; but it may not stand still.
        moved = [None, time.monotonic()]

        def applied():
            at = self.answers(lambda: self.database.positions(self.view.name))
            if at and at != moved[0]:
                moved[:] = [at, time.monotonic()]
            if time.monotonic() - moved[1] > RECOVERY_SECONDS:
                raise AssertionError(f"no position moved for {RECOVERY_SECONDS} s: {ends} applied, is at {at}")
            return self.answers(lambda: self.database.has_applied(self.view.name, ends))

        wait_until(applied, lambda: f"{ends} applied, is at {moved[0]}", RECOVERY_SECONDS_MAX)
        return time.monotonic() - began

    @staticmethod
    def answers(question):
        """What it returns, or nothing while a server is away."""
        try:
            return question()
        except (psycopg2.Error, confluent_kafka.KafkaException, KeyError):
            return None

    def coordinator(self):
        """The broker that the fleet's group is at; None while there is none."""
        group = f"daybook.{self.view.name}"
        described = self.admin.describe_consumer_groups([group])[group].result(30)
        number = described.coordinator.id if described.coordinator else -1
        return self.cluster.nodes[number - 1] if number > 0 else None

    def leaders(self):
        """{partition: number of the broker that leads it}, of the view's topic."""
        return {number: part.leader for number, part in self.admin.list_topics(TOPIC, timeout=30).topics[TOPIC].partitions.items()}

    def verify(self, view=None):
        done = subprocess.run([PROGRAM, "verify", view or self.view.name, "--json"], env=self.daybook.env,
                              capture_output=True, encoding="utf-8")
        if done.returncode not in (0, 1):
            raise RuntimeError(f"daybook verify: exit status {done.returncode}\n{done.stderr}")
        return json.loads(done.stdout)


class Run:
    def __init__(self, options, say):
        self.options = options
        self.say = say
        self.injected = Counter()
        self.slowest = {}
        self.verifications = 0
        self.found = None
        self.failure = None

    def inject(self, system):
        began = time.monotonic()
        end = began + 60 * self.options.minutes
        for number, fault, chance in schedule(self.options.seed, self.options.brokers, self.options.only):
            if time.monotonic() >= end:
                return
            name = fault.__name__.replace("_", " ")
            system.notes.clear()
            fault_began = time.monotonic()
            companion = self.companion(system, chance)
            fault(system, chance)
            lasted = time.monotonic() - fault_began
            if companion:
                companion.join()
            seconds = system.wait_until_applied()
            self.injected[name] += 1
            self.slowest[name] = max(self.slowest.get(name, 0), seconds)
            notes = f" ({'; '.join(system.notes)})" if system.notes else ""
            self.say(f"{time.monotonic() - began:6.1f} s  {number:4}  {name}{notes}: lasted {lasted:.1f} s, "
                     f"all applied {seconds:.1f} s later")
            if number % self.options.verify_every == 0 and not self.verify(system):
                return

    def companion(self, system, chance):
        """Often a worker is killed while another fault lasts."""
        if chance.random() < 0.6:
            return None
        timer = threading.Timer(chance.uniform(0, 3), system.end_worker, (random.Random(chance.random()), signal.SIGKILL))
        timer.start()
        self.injected["worker kill during another"] += 1
        return timer

    def verify(self, system):
        self.found = system.verify()
        self.verifications += 1
        self.say(f"verify: {self.found['rows']} rows, {self.found['events']} events, {self.found['duplicates']} duplicates, "
                 f"{self.found['dead_letters']} dead letters, {self.found['differences']} differences")
        return self.found["differences"] == 0

    def result(self, system):
        found = self.found or {}
        return {
            "seed": self.options.seed, "minutes": self.options.minutes, "workers": self.options.workers, "brokers": self.options.brokers,
            "faults": {name: {"injected": count, "slowest_recovery_s": round(self.slowest.get(name, 0), 1)}
                       for name, count in sorted(self.injected.items())},
            "evidence": dict(sorted(system.evidence.items())), "peak_worker_mib": system.peak // memory.MIB,
            "faults_injected": sum(self.injected.values()),
            **{name: found.get(name) for name in
               ("events", "rows", "duplicates", "dead_letters", "uncertain_rows", "differences")},
            "verifications": self.verifications, "unexpected_exits": system.unexpected, "failure": self.failure,
        }


def table(result):
    lines = [f"{'fault':28} {'injected':>8}  {'slowest recovery':>16}"]
    for name, of in result["faults"].items():
        lines.append(f"{name:28} {of['injected']:8}  {of['slowest_recovery_s']:14.1f} s")
    lines.append(f"{'all':28} {result['faults_injected']:8}")
    for name in ("events", "rows", "duplicates", "dead_letters", "uncertain_rows", "verifications", "differences"):
        value = "not known" if result[name] is None else f"{result[name]:,}"
        lines.append(f"{name.replace('_', ' '):28} {value:>8}")
    for name, count in result["evidence"].items():
        lines.append(f"{name:42} {count:8,}")
    lines.append(f"{'MiB of the worker that took most':42} {result['peak_worker_mib']:8,}")
    lines.append(f"{'workers ended by themselves':28} {len(result['unexpected_exits']):8}")
    lines += [f"  {line}" for line in result["unexpected_exits"]]
    if result["failure"]:
        lines.append(f"failed: {result['failure']}")
    return "\n".join(lines)


def soak(options):
    def say(text):
        print(text, file=sys.stderr if options.json else sys.stdout, flush=True)

    if options.seed is None:
        options.seed = random.SystemRandom().randrange(2**31)
    names = {fault.__name__ for fault in classes(options.brokers)}
    if options.only and not names.issuperset(options.only):
        print(f"soak: --only: found {options.only}, expected some of {sorted(names)}", file=sys.stderr)
        return 2
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    (ROOT / "run").mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="soak.", dir=ROOT / "run"))
    folder.chmod(0o755)
    say(f"soak: seed {options.seed}, {options.minutes:g} minutes, {options.workers} workers, {options.brokers} broker(s), "
        f"in {folder}")
    services = [str(ROOT / "scripts/services")]
    run = Run(options, say)
    system = None
    succeeded = False
    try:
        for attempt in range(3):  # on a machine that is busy with other things a broker may not come up in time
            if subprocess.run(services + ["start", str(folder)], check=attempt == 2, stdout=sys.stderr).returncode == 0:
                break
        system = System(folder, options, say)
        system.supervisor.start()
        wait_until(lambda: system.answers(system.seq), "the fleet commits", RECOVERY_SECONDS)
        try:
            run.inject(system)
            if not run.found or run.found["differences"] == 0:
                say(f"the end: traffic stops; seed {options.seed}")
                system.end_traffic()
                system.wait_until_applied()
                run.verify(system)
                if system.peak > memory.bound(run.found["events"]):
                    run.failure = f"a worker took {system.peak} bytes, expected at most {memory.bound(run.found['events'])}"
        except (AssertionError, RuntimeError) as error:
            run.failure = str(error)
        result = run.result(system)
        say("")
        print(json.dumps(result) if options.json else table(result))
        succeeded = result["differences"] == 0 and not run.failure and not system.unexpected
        return 0 if succeeded else 1
    finally:
        if system:
            system.stop()
            if system.standbys:
                system.database_server.end()
        for node in (1, 2, 3):  # also those of a cluster whose system could not be set up
            broker = Server(f"kafka-{node}", folder, None)
            if broker.is_running():
                broker.kill()
        subprocess.run(services + ["stop", str(folder)], check=False, stdout=sys.stderr)
        if succeeded:
            shutil.rmtree(folder, ignore_errors=True)
        else:
            say(f"soak: the logs are in {folder}")
