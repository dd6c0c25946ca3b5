"""How much memory a worker may take, whatever is published while nothing can be committed.

The bound is the one that docs/operations.md gives to operators: 256 MiB for a view, plus its fingerprints. What it is made of:
librdkafka's queue of 32 MiB of records and as much again for its own note of each (some 300 bytes beside a record of 320),
responses under way and being unpacked (at most 1 MiB for each partition), the batch that is being committed and the one that
is full behind it (32 MiB each, both at their bound at worst), the staged fingerprints of both, and some 75 MiB of program,
allocator and decoder that a worker takes under load with the database at hand.
A worker that took in all that is published would hold each record's bytes at least: tests publish more than the bound.
"""

from pathlib import Path

MIB = 2**20
VIEW_BYTES = 256 * MIB
FINGERPRINT_BYTES = 32  # docs/deduplication.md: below 32 bytes each in memory
EVENT_BYTES = 300  # a simulated event has 316 on average, without its key


def peak(pid):
    """The most memory that the process had resident so far; 0 when it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), 0)


def bound(events):
    """Of a worker whose view has seen so many events."""
    return VIEW_BYTES + FINGERPRINT_BYTES * events


def check(what, pid, events):
    """The worker's peak, which has to be within the bound."""
    found = peak(pid)
    assert found, f"{what}: no memory of process {pid} can be read: it has ended"
    assert found <= bound(events), (
        f"{what}: {found / MIB:.0f} MiB, expected at most {bound(events) / MIB:.0f} MiB for a view of {events} events")
    return found
