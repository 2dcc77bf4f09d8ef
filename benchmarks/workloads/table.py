#!/usr/bin/env python3
"""Write benchmarks/workloads/README.md, the page of all workloads, from the catalogue.

python -m benchmarks.workloads.table [--print]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from benchmarks.workloads.catalogue import FAMILIES, WORKLOADS
from benchmarks.workloads.spec import Workload
from rules.thresholds import ROOF_HIGH

README = Path(__file__).with_name("README.md")
_HEAD = """# Labelled workloads

Small programs whose bottleneck is known by construction, to hold the advisor's verdicts against. Each
counts what it does: bytes, FLOPs, seconds on the host. Its truth comes from these counts and from how much
faster its known fix runs, never from the counters that a verdict is made of. Sizes follow the card's free
memory; data are random, from a seed.

    python -m benchmarks.workloads.run NAME                    # run one and print its account
    python -m benchmarks.workloads.run NAME --variant fix      # the same with its fix
    python -m benchmarks.workloads.run NAME --device cpu --small    # without a GPU, to test the program

How a label is confirmed:

- **of a ceiling**: bytes or FLOPs over wall time reach {roof:g} of what probes measured on this card.
- **own sections**: seconds of each class, bracketed by synchronisation and the program's own clock.
- **seconds on the host**: the program counts those in which it leaves the device without work.
- **speed-up**: the host's share is what the fix takes away, 1 - (time with it) / (time without).
- **far from limits**: bytes and FLOPs stay below {roof:g} of the card's ceilings, or the fix is faster.
- **nothing launched**: the program launches, moves and computes nothing.

What a word in brackets adds also counts as right. How bytes and FLOPs are counted stands with each workload's
source, in the file of its family. This page is written by `python -m benchmarks.workloads.table`.
"""
_COLUMNS = ("workload", "label", "cause", "confirmed by", "known fix", "why")


def markdown(workloads: Iterable[Workload]) -> str:
    """The page: a section for each family, in the catalogue's order of families."""
    found = list(workloads)
    parts = [_HEAD.format(roof=ROOF_HIGH.value)]
    for family in FAMILIES:
        rows = [row(workload) for workload in found if workload.family == family]
        parts.append(
            "\n".join([f"## {family}", "", _line(_COLUMNS), _line(["---"] * len(_COLUMNS)), *rows, ""])
        )
    return "\n".join(parts)


def row(workload: Workload) -> str:
    """One workload's line of the table."""
    return _line(
        (
            f"`{workload.name}`",
            _also(workload.label, workload.accepted),
            _also(workload.cause, workload.causes),
            known_by(workload),
            workload.fix or "none but other hardware or less work",
            workload.about,
        )
    )


def known_by(workload: Workload) -> str:
    """How the truth follows and is confirmed, in words."""
    if workload.truth == "speedup":
        return f"speed-up; the rest is {workload.beneath}"
    if workload.truth == "sections":
        return "own sections" + (f", {_ceiling(workload)}" if workload.bound else "")
    if workload.label == "idle":
        return "nothing launched"
    if workload.bound is not None:
        return _ceiling(workload)
    return "far from limits" if workload.label == "device" else "seconds on the host"


def _ceiling(workload: Workload) -> str:
    metric, unit = workload.bound or ("", "")
    return f"{'FLOPs' if unit == 'flops' else unit} of ceiling `{metric}`"


def _also(first: str, others: Iterable[str]) -> str:
    more = ", ".join(others)
    return f"{first} ({more})" if more else first


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def main(argv: list[str] | None = None) -> int:
    """Write the page, or print it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.workloads.table", description=__doc__)
    parser.add_argument("--print", action="store_true", help="to stdout instead")
    text = markdown(WORKLOADS.values())
    if parser.parse_args(argv).print:
        print(text, end="")
    else:
        README.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
