"""The reader beside nginx and Redis (bench/run reader), with few and many rows in its table (bench/run table), and under the load
that its users asked for (bench/run load)."""
import contextlib
import json
import os
import resource
import socket
import subprocess
import sys
import time
import urllib.request

from support import ROOT, VIEW, Services, prepare, say

NAME = "dashboard_daily_summary"
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
# Users, requests/s and the targets of the system that asked for them: average and p95 in ms, hit rate.
STEPS = [(100, 1_000, 10, 20, 0.98), (500, 5_000, 15, 50, 0.97), (1_000, 10_000, 25, 100, 0.96), (5_000, 50_000, 100, 500, 0.95)]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def cpu_seconds(pid):
    """User and system time of a process so far, all its threads."""
    fields = open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS


def wait_for(port, path="/", seconds=60, headers={}):
    deadline = time.monotonic() + seconds
    while True:
        try:
            return urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers), timeout=5)
        except OSError as error:
            if time.monotonic() > deadline:
                sys.exit(f"bench: nothing useful at port {port}{path} within {seconds} s: {error}")
            time.sleep(0.05)


@contextlib.contextmanager
def running(command, **kwargs):
    process = subprocess.Popen(command, **kwargs)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def psql(env, statement):
    return subprocess.run(["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", env["DAYBOOK_DATABASE"], "-c", statement],
                          env=env, check=True, stdout=subprocess.PIPE, text=True).stdout


def fill(build, env, days):
    """1,000 facilities by `days` days: so many rows, and their paths in a file."""
    prepare(build, env)
    say(f"making 1,000 facilities by {days} days")
    subprocess.run([f"{build}/daybook", "simulate", "bloodbank", "--events", str(11 * 1000 * days), "--rate", "0", "--seed", "1",
                    "--facilities", "1000", "--days", str(days), "--random-days", "--create-topics", "4"],
                   env=env, check=True, stdout=sys.stderr)
    subprocess.run([f"{build}/daybook", "worker", "--once", "--view", VIEW], env=env, check=True, stderr=subprocess.DEVNULL)


def write_paths(env, folder):
    paths = os.path.join(folder, "paths")
    with open(paths, "w") as file:
        file.write(psql(env, f"SELECT '/v1/views/{NAME}/' || facility_id || '/' || date FROM {NAME} ORDER BY 1"))
    os.chmod(paths, 0o644)
    return paths


def access_files(build, folder):
    """Everything on: a token of an API client and limits that do not bite."""
    tokens = os.path.join(folder, "tokens.json")
    with open(tokens, "w") as file:
        file.write('{"tokens": []}\n')
    os.chmod(tokens, 0o600)
    made = subprocess.run([f"{build}/daybook", "tokens", "new", "--file", tokens, "--name", "bench", "--scope", "views:read",
                           "--scope", "rows:all", "--scope", "admin"], check=True, stdout=subprocess.PIPE, text=True).stdout
    token = next(word for word in made.split() if word.startswith("daybook_"))
    limits = os.path.join(folder, "limits.json")
    with open(limits, "w") as file:
        json.dump({"policies": [
            {"name": "address", "by": "address", "limit": 1_000_000_000, "window": 60},
            {"name": "token", "by": "token", "limit": 1_000_000_000, "window": 60}]}, file)
    return token, ["--tokens", tokens, "--limits", limits]


def wrk(port, connections, seconds, paths, token="", pipeline=1):
    done = subprocess.run(["taskset", "-c", "1", "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s",
                           "-s", f"{ROOT}/bench/wrk.lua", f"http://127.0.0.1:{port}"],
                          env={**os.environ, "PATHS": paths, "TOKEN": token, "PIPELINE": str(pipeline)},
                          check=True, stdout=subprocess.PIPE, text=True).stdout
    return json.loads(done.strip().splitlines()[-1])


def nginx(folder, port, answer):
    """One worker that returns the same bytes as a reader's answer: what a request costs at least."""
    head, _, body = answer
    extra = "".join(f'        add_header {name} "{value.replace(chr(34), chr(92) + chr(34))}";\n' for name, value in head.items()
                    if name.lower() not in ("date", "content-length", "content-type", "connection", "server"))
    quoted = body.replace("\\", "\\\\").replace("'", "\\'")
    config = os.path.join(folder, "nginx.conf")
    with open(config, "w") as file:
        file.write(f"""daemon off;
master_process off;
worker_processes 1;
worker_rlimit_nofile 20000;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log;
events {{ worker_connections 12000; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    default_type application/json;
    client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder}; uwsgi_temp_path {folder}; scgi_temp_path {folder};
    server {{
        listen 127.0.0.1:{port} backlog=8192;
        location / {{
{extra}            return 200 '{quoted}';
        }}
    }}
}}
""")
    return running(["taskset", "-c", "0", "nginx", "-c", config, "-p", folder], stderr=subprocess.DEVNULL)


def redis_cpu_us(folder, size):
    port = free_port()
    with running(["taskset", "-c", "0", "redis-server", "--port", str(port), "--save", "", "--dir", folder], stdout=subprocess.DEVNULL) as server:
        bench = ["taskset", "-c", "1", "redis-benchmark", "-p", str(port), "-c", "64", "-d", str(size), "-r", "28000", "-q"]
        deadline = time.monotonic() + 20
        while subprocess.run(["redis-cli", "-p", str(port), "ping"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode:
            if time.monotonic() > deadline:
                sys.exit("bench: redis-server does not answer")
            time.sleep(0.05)
        subprocess.run([*bench, "-t", "set", "-n", "200000"], check=True, stdout=subprocess.DEVNULL)
        before = cpu_seconds(server.pid)
        subprocess.run([*bench, "-t", "get", "-n", "400000"], check=True, stdout=subprocess.DEVNULL)
        return round(1e6 * (cpu_seconds(server.pid) - before) / 400_000, 2)


def measured_wrk(pid, *arguments, **kwargs):
    before = cpu_seconds(pid)
    result = wrk(*arguments, **kwargs)
    result["cpu_us"] = round(1e6 * (cpu_seconds(pid) - before) / max(1, result["requests"]), 2)
    result["per_s"] = round(result["requests"] / result["seconds"])
    return result


def start_reader(build, env, port, threads, more):
    command = [f"{build}/daybook", "reader", "--listen", f"127.0.0.1:{port}", "--threads", str(threads), *more]
    return running((["taskset", "-c", "0"] if threads == 1 else []) + command, env=env, stderr=subprocess.DEVNULL)


def reader(build, options):
    with Services() as services:
        env, folder = services.env, services.folder
        fill(build, env, 28)
        paths = write_paths(env, folder)
        token, access = access_files(build, folder)
        first = open(paths).readline().strip()
        auth = {"Authorization": f"Bearer {token}"}
        port, peer_port = free_port(), free_port()
        result = {"bench": "reader", "rows": sum(1 for _ in open(paths))}
        worker = running([f"{build}/daybook", "worker", "--view", VIEW], env=env, stderr=subprocess.DEVNULL)
        traffic = running([f"{build}/daybook", "simulate", "bloodbank", "--facilities", "1000", "--days", "28", "--random-days", "--seed", "2",
                           "--rate", str(options.rate), "--events", str(options.rate * 3600)], env=env, stdout=subprocess.DEVNULL)
        with start_reader(build, env, port, 1, access) as process, worker:
            with wait_for(port, first, headers=auth) as response:
                answer = (dict(response.headers), None, response.read().decode())
            wrk(port, 64, 5, paths, token)  # every row is in memory then
            quiet = [measured_wrk(process.pid, port, 64, options.seconds, paths, token) for _ in range(2)]
            with nginx(folder, peer_port, answer) as peer, traffic:
                wait_for(peer_port).close()
                say(f"{options.rate} events/s are applied to these rows from now on")
                time.sleep(5)
                for connections in (64, 1000, 5000):
                    pair = {}
                    for name, pid, at, bearer in (("nginx", peer.pid, peer_port, ""), ("reader", process.pid, port, token)) * 2:
                        say(f"{name}, {connections} connections")
                        run = measured_wrk(pid, at, connections, options.seconds, paths, bearer)
                        pair[name] = min(pair.get(name, run), run, key=lambda r: r["cpu_us"])
                    result[f"c{connections}"] = pair
                result["pipelined_16"] = measured_wrk(process.pid, port, 64, options.seconds, paths, token, pipeline=16)
                result["nginx_pipelined_16"] = measured_wrk(peer.pid, peer_port, 64, options.seconds, paths, "", pipeline=16)
            result["quiet_cpu_us"] = min(run["cpu_us"] for run in quiet)
        result["redis_cpu_us"] = redis_cpu_us(folder, len(answer[2]))
        result["answer_bytes"] = len(answer[2])
        result["reader_cpu_us"] = result["c64"]["reader"]["cpu_us"]
        result["nginx_cpu_us"] = result["c64"]["nginx"]["cpu_us"]
        result["ratio"] = round(result["reader_cpu_us"] / result["nginx_cpu_us"], 3)
        result["ratio_quiet"] = round(result["quiet_cpu_us"] / result["nginx_cpu_us"], 3)
        result["p99_ratio_1000"] = round(result["c1000"]["reader"]["p99_ms"] / result["c1000"]["nginx"]["p99_ms"], 3)
        return result


def table(build, options):
    """The same 1,000 rows are read while the table has only them, and while it has ten million."""
    with Services() as services:
        env, folder = services.env, services.folder
        fill(build, env, 1)
        paths = write_paths(env, folder)
        token, access = access_files(build, folder)
        auth = {"Authorization": f"Bearer {token}"}
        result = {"bench": "table", "read": sum(1 for _ in open(paths))}

        def measure(name):
            port = free_port()
            with start_reader(build, env, port, 1, access) as process:
                wait_for(port, open(paths).readline().strip(), headers=auth).close()
                wait_for(port, "/readyz").close()
                wrk(port, 64, 3, paths, token)  # every row is in memory then
                runs = []
                for number in range(5):
                    say(f"{name}, run {number + 1} of 5")
                    runs.append(measured_wrk(process.pid, port, 64, options.seconds, paths, token))
                # The median: single runs are at the mercy of the machine's other users.
                result[name] = {key: sorted(run[key] for run in runs)[2] for key in ("p50_ms", "p99_ms", "max_ms", "cpu_us", "per_s")}

        measure("rows_1000")
        say(f"adding rows up to {options.rows}")
        columns = psql(env, "SELECT string_agg(quote_ident(attname), ',' ORDER BY attnum) FROM pg_attribute WHERE attnum > 2"
                            f" AND attrelid = '{NAME}'::regclass AND atttypid = 'int'::regtype").strip()
        flows = ",".join(["1"] * len(columns.split(",")))
        psql(env, f"INSERT INTO {NAME} (facility_id, date, {columns}, updated_at)"
                  f" SELECT md5((i / 365)::text)::uuid, date '2020-01-01' + i % 365, {flows}, now()"
                  f" FROM generate_series(1, {options.rows} - (SELECT count(*) FROM {NAME})::int) i")
        psql(env, f"ANALYZE {NAME}")
        psql(env, "CHECKPOINT")
        result["rows"] = int(psql(env, f"SELECT count(*) FROM {NAME}"))
        measure("rows_many")
        result["p99_ratio"] = round(result["rows_many"]["p99_ms"] / result["rows_1000"]["p99_ms"], 3)
        result["cpu_ratio"] = round(result["rows_many"]["cpu_us"] / result["rows_1000"]["cpu_us"], 3)
        return result


def counters(port, headers):
    """Hits and misses so far, from /metrics."""
    with wait_for(port, "/metrics", headers=headers) as response:
        lines = response.read().decode().splitlines()
    total = lambda name: sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))
    return total("daybook_reader_cache_hits_total"), total("daybook_reader_cache_misses_total")


def database_cpu(env):
    """CPU seconds of all processes of the database so far that live."""
    pids = psql(env, "SELECT pid FROM pg_stat_activity").split()
    return sum(cpu_seconds(pid) for pid in pids if os.path.exists(f"/proc/{pid}/stat"))


def load(build, options):
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    with Services() as services:
        env, folder = services.env, services.folder
        fill(build, env, 28)
        paths = write_paths(env, folder)
        token, access = access_files(build, folder)
        port = free_port()
        headers = {"Authorization": f"Bearer {token}"}
        rows = []

        def step(name, users, rate, seconds, ramp=0, targets=None):
            say(f"{name}: {users} users, {rate} requests/s, {seconds} s")
            hits, misses = counters(port, headers)
            cpu, db_cpu, begin = cpu_seconds(process.pid), database_cpu(env), time.monotonic()
            output = subprocess.run([f"{build}/bench/load_client", str(port), paths, "--users", str(users), "--rate", str(rate), "--seconds",
                                     str(seconds), "--ramp", str(ramp)], check=True, stdout=subprocess.PIPE, text=True).stdout
            wall = time.monotonic() - begin
            after = counters(port, headers)
            row = {"step": name, **json.loads(output)}
            asked = after[0] - hits + after[1] - misses
            row["hit_rate"] = round((after[0] - hits) / asked, 5) if asked else None
            row["reader_cpu"] = round((cpu_seconds(process.pid) - cpu) / wall, 3)
            row["database_cpu"] = round((database_cpu(env) - db_cpu) / wall, 3)
            if targets:
                row["targets"] = targets
                row["reached"] = (row["average_ms"] < targets["average_ms"] and row["p95_ms"] < targets["p95_ms"]
                                  and row["hit_rate"] >= targets["hit_rate"] and row["error_share"] < 0.001)
            rows.append(row)

        # The clients of this measurement send no token: the listener is on loopback, and what is measured is the load.
        with start_reader(build, env, port, os.cpu_count(), []) as process:
            wait_for(port, "/readyz").close()
            minutes = lambda full: full * 60 if options.full else options.seconds
            for users, rate, average, p95, hit_rate in STEPS:
                step(f"{users} users", users, rate, options.seconds, targets={"average_ms": average, "p95_ms": p95, "hit_rate": hit_rate})
            step("spike 100 to 5,000 at 500 a second", 5_000, 25_000, max(15, options.seconds), ramp=500)
            step("sustained 1,000 users", 1_000, 10_000, minutes(10))
            step("soak 500 users", 500, 5_000, minutes(120))
        for row in rows:
            say(f"{row['step']:38} {row['per_s']:9.0f}/s  average {row['average_ms']:7.2f}  p95 {row['p95_ms']:7.2f}  p99 {row['p99_ms']:7.2f} ms"
                f"  errors {row['error_share']:.5f}  hits {row['hit_rate']}  reader {row['reader_cpu']}  database {row['database_cpu']} cores")
        return {"bench": "load", "steps": rows}
