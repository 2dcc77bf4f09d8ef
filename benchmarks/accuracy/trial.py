"""Trial: how recordings fare with other thresholds, in a process of its own.

Modules of `rules` read thresholds when they are imported as well as later, so these are set before anything
else is loaded: `python -m benchmarks.accuracy.trial` reads a Job as JSON on stdin and prints an Outcome.
"""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec

from benchmarks.workloads.spec import Truth
from rules import thresholds as th

ROOT = Path(__file__).resolve().parent.parent.parent


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """values: threshold -> value, for this process alone. recordings: stream's path and its truth."""

    values: dict[str, float]
    recordings: tuple[tuple[str, Truth], ...]


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """right: right verdicts over recordings and tiers. share_error: mean where shares are known."""

    right: int
    n: int
    share_error: float


def run(job: Job) -> Outcome:
    """The job's outcome, from another process. Raises RuntimeError with what it said where it failed."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.accuracy.trial"],
        input=msgspec.json.encode(job),
        capture_output=True,
        cwd=ROOT,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"a trial failed: {done.stderr.decode(errors='replace')[-400:]}")
    return msgspec.json.decode(done.stdout, type=Outcome)


def set_thresholds(values: Mapping[str, float]) -> None:
    """These thresholds from now on. Raises AttributeError for a name that rules/thresholds.py has not."""
    for name, value in values.items():
        setattr(th, name, msgspec.structs.replace(getattr(th, name), value=value))


def evaluate(job: Job) -> Outcome:
    """The recordings' verdicts in each tier, with the thresholds of this process."""
    from benchmarks.accuracy.ablations import TIERS
    from benchmarks.accuracy.replay import read_messages, subject_key, verdict_of
    from benchmarks.accuracy.score import row_of

    rows = []
    for path, truth in job.recordings:
        messages = read_messages(Path(path))
        key = subject_key(messages, truth)
        rows += [row_of(truth, "", verdict_of(messages, key, view)) for view in TIERS.values()]
    errors = [row.share_error for row in rows if row.share_error is not None]
    return Outcome(
        right=sum(row.right for row in rows),
        n=len(rows),
        share_error=math.fsum(errors) / len(errors) if errors else 0.0,
    )


def main() -> int:
    """Read, set, evaluate, print."""
    job = msgspec.json.decode(sys.stdin.buffer.read(), type=Job)
    set_thresholds(job.values)
    sys.stdout.buffer.write(msgspec.json.encode(evaluate(job)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
