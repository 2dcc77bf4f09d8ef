"""python -m benchmarks.accuracy.simulated --out DIR [--seed N] [--seconds S] [NAME ...]"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.accuracy.simulated.corpus import make


def main(arguments: list[str] | None = None) -> int:
    """Write a corpus; 2 for what cannot be made."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy.simulated", description=make.__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="workloads; all by default")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=20.0)
    given = parser.parse_args(arguments)
    try:
        make(given.out, given.seed, given.names or None, given.seconds)
    except ValueError as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 2
    print(f"{given.out}: simulated recordings, synthetic")
    return 0


if __name__ == "__main__":
    sys.exit(main())
