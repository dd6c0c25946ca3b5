"""What is wrong on a command line is said at once, before anything starts. Needs neither Kafka nor PostgreSQL."""

import os
import subprocess

import pytest
from conftest import PROGRAM


def daybook(*words):
    clean = {name: value for name, value in os.environ.items() if not name.startswith("DAYBOOK_")}
    return subprocess.run([PROGRAM, *map(str, words)], capture_output=True, text=True, timeout=20, env=clean)


@pytest.mark.parametrize(
    "words, expected",
    [
        (
            ["publish", "--create-topics", "0", "--timeout", "soon", "--sytem", "bloodbank"],
            ["--create-topics: Value 0 not in range", "--timeout: Value soon", "not expected: --sytem"],
        ),
        (
            ["simulate", "--seed", "x", "--days", "long", "--rate", "fast"],
            ["system is required", "seed", "days", "rate"],
        ),
        (["worker", "--onse"], ["--view is required", "not expected: --onse"]),
        (["verify", "--limit", "many"], ["view is required", "--limit"]),
        (["views", "check", "--surprise"], ["FILE is required", "not expected: --surprise"]),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_all_wrong_options_at_once(words, expected):
    done = daybook(*words)
    assert done.returncode == 2, done.stderr
    *mistakes, help_line = done.stderr.splitlines()
    assert help_line == "Run with --help for more information."
    assert len(mistakes) == len(expected), done.stderr
    for part in expected:
        assert sum(part in line for line in mistakes) == 1, (part, done.stderr)
    assert all(line.startswith("daybook: ") for line in mistakes)
    assert done.stdout == ""


def test_a_wrong_value_from_a_file_is_said_with_those_of_the_flags(tmp_path):
    config = tmp_path / "daybook.toml"
    config.write_text('[simulate]\nseed = "x"\n')  # of a file, CLI11 tells the first mistake only
    done = daybook("--config", config, "simulate", "bloodbank", "--rate", "fast", "--days", "long")
    assert done.returncode == 2
    for part in ["seed", "days", "rate"]:
        assert part in done.stderr, done.stderr


def test_help_is_no_mistake():
    done = daybook("publish", "--help")
    assert done.returncode == 0 and "--create-topics" in done.stdout and done.stderr == ""


def test_an_unknown_system_is_told_with_the_known_ones():
    done = daybook("simulate", "schoolz", "--out", "-", "--random-days", "--topic", "a", "--topic-prefix", "b")
    assert (done.returncode, done.stdout) == (2, "")
    for system in ["bloodbank", "labor-daily", "live-validation", "schools", "user-context"]:
        assert system in done.stderr, done.stderr
    assert "found system schoolz" in done.stderr and "--topic-prefix" in done.stderr
    other = daybook("simulate", "schools", "--out", "-", "--random-days", "--entities", 10_000_000)
    assert other.returncode == 2 and "--random-days is for bloodbank" in other.stderr
