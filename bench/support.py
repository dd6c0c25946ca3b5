"""What the measurements share: services of their own, measured processes, quantiles."""
import os
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VIEW = os.path.join(ROOT, "schemas/bloodbank/views/dashboard_daily_summary.json")


def say(text):
    print(text, file=sys.stderr, flush=True)


class Services:
    """Kafka and PostgreSQL of this run, in a folder of its own."""

    def __enter__(self):
        self.folder = tempfile.mkdtemp(prefix="daybook-bench-")
        os.chmod(self.folder, 0o755)
        subprocess.run([f"{ROOT}/scripts/services", "start", self.folder], check=True, stdout=sys.stderr)
        self.env = dict(os.environ)
        for line in open(os.path.join(self.folder, "env")):
            name, _, value = line.strip().removeprefix("export ").partition("=")
            if name:
                self.env[name] = value.strip("'\"")
        return self

    def __exit__(self, *_):
        subprocess.run([f"{ROOT}/scripts/services", "stop", self.folder], check=False, stdout=sys.stderr)
        shutil.rmtree(self.folder, ignore_errors=True)


def measured(command, env, **kwargs):
    """Runs a command; its standard output, wall seconds, CPU seconds and peak memory in MiB."""
    begin = time.monotonic()
    process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True, **kwargs)
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"bench: {' '.join(command)}: exit {process.returncode}")
    return output, time.monotonic() - begin, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def prepare(build, env):
    for command in (["migrate"], ["views", "apply", VIEW]):
        subprocess.run([f"{build}/daybook", *command], env=env, check=True, stdout=sys.stderr)


def quantiles(times):
    times = sorted(times)
    at = lambda q: round(times[min(len(times) - 1, int(q * len(times)))], 2)
    return {"p50_ms": at(0.5), "p99_ms": at(0.99), "max_ms": round(times[-1], 1), "markers": len(times)}
