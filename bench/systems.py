"""bench/run catchup --system NAME: each view of a system brought up to date, beside bloodbank's in the same run."""
import glob
import json
import os
import subprocess
import sys

from support import ROOT, VIEW, Services, measured, prepare, say


def psql(env, statement):
    return subprocess.run(["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", env["DAYBOOK_DATABASE"], "-c", statement],
                          env=env, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def publish(build, env, system, events, *arguments):
    say(f"publishing {events} events of {system}")
    subprocess.run([f"{build}/daybook", "simulate", system, "--events", str(events), "--rate", "0", "--seed", "1", "--create-topics", "4",
                    *arguments], env=env, check=True, stdout=sys.stderr)


def caught_up(build, env, file):
    """Records of the view's topics, and what a worker's process took for them."""
    name = json.load(open(file))["view"]
    say(f"catching up {name}")
    _, wall, cpu, rss = measured([f"{build}/daybook", "worker", "--once", "--view", file], env)
    records = int(psql(env, f"SELECT sum(next_offset) FROM daybook.position p JOIN daybook.generation g ON g.id = p.generation WHERE g.view = '{name}'"))
    verified = subprocess.run([f"{build}/daybook", "verify", name, "--json"], env=env, stdout=subprocess.PIPE, text=True)
    report = json.loads(verified.stdout)
    return name, {"records": records, "events_per_s": round(records / wall), "events_per_cpu_s": round(records / cpu),
                  "peak_rss_mb": round(rss), "rows": report["rows"], "differences": report["differences"]}


def catchup(build, options):
    with Services() as services:
        env = services.env
        prepare(build, env)
        publish(build, env, "bloodbank", options.events, "--facilities", "1000", "--days", "28", "--random-days")
        _, peer = caught_up(build, env, VIEW)
        publish(build, env, options.system, options.events)
        views = {}
        for file in sorted(glob.glob(os.path.join(ROOT, "schemas", options.system, "views/*.json"))):
            subprocess.run([f"{build}/daybook", "views", "apply", file], env=env, check=True, stdout=sys.stderr)
            name, views[name] = caught_up(build, env, file)
            views[name]["ratio"] = round(views[name]["events_per_cpu_s"] / peer["events_per_cpu_s"], 3)
        return {"bench": "catchup", "system": options.system, "events": options.events, "bloodbank": peer, "views": views,
                "least_ratio": min(view["ratio"] for view in views.values())}
