#!/usr/bin/env python3
"""What a machine with an NVIDIA GPU is needed for, in calls of under 10 minutes: the probes, their peers, and
`advisor` watching labelled workloads.

    python benchmarks/gpu_session.py --out DIR [--part all|probes|peers|loads] [--resume ARCHIVE|DIR]
                                     [--budget 560] [--seconds 8] [--fix-seconds 3] [--only NAME,NAME]
                                     [--slow-down] [--device 0] [--dry]

    --part probes  every probe in its default mode; then, where time is left, the probes beside their peers
    --part peers   the latter alone
    --part loads   every workload that fits, recorded; those that no longer fit are listed as skipped
    --part all     probes, recordings, peers, as far as the time goes

Each call stops by itself within the budget (seconds) and leaves one archive, DIR/gpu-session.tar.gz, with
everything so far; beside it are summary.json and gpu-session.log. It is written anew after each part, now and
then meanwhile, and when SIGTERM or Ctrl-C ends the call. `--resume` goes on from such an archive, also on
another machine with the same model of card; ceilings are a card's own, so one that was not probed is probed
briefly first. Three calls see everything:

    python benchmarks/gpu_session.py --out A --part probes
    python benchmarks/gpu_session.py --out B --part loads --resume A
    python benchmarks/gpu_session.py --out C --part loads --resume B

The archive holds probes.json (a ProbeRun of every card), peers.json and peers.md (benchmarks/peers/gpu.py),
workloads/ (benchmarks/workloads/record.py: recordings, truths, session.json), facts.json (GPM without root,
cost of each NVML call, smallest valid GPM interval) and summary.json (each call's steps; with --slow-down
also what being watched costs two workloads).

Needs torch and the project's base dependencies without those of its screens, for some probes, peers and
workloads cupy and triton. Reads only: sets no clocks, power or modes. --dry runs tiny workloads on the CPU:
with the simulated NVML library it tests this script; nothing it writes then is a measurement, and the output
says so.

Exit codes: 0 all that was asked for ran or no longer fitted, 1 a part failed, 2 wrong usage, 3 nothing can be
measured here, 130 and 143 ended by a signal.
"""

from __future__ import annotations

import argparse
import importlib.util
import math
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

# Distributions by the name that is imported.
NEEDED = {
    "msgspec": "msgspec",
    "platformdirs": "platformdirs",
    "psutil": "psutil",
    "pynvml": "nvidia-ml-py",
    "torch": "torch",
}
FAILED, USAGE, CANNOT_MEASURE = 1, 2, 3


def missing() -> list[str]:
    """Distributions that this Python lacks, before anything is measured in vain."""
    return [distribution for name, distribution in NEEDED.items() if importlib.util.find_spec(name) is None]


def main(argv: list[str] | None = None) -> int:
    """One call, and why not in one sentence."""
    args = _arguments(argv)
    if absent := missing():
        print(f"gpu_session: {sys.executable} has no {', '.join(absent)}: pip install them", file=sys.stderr)
        return CANNOT_MEASURE
    return _called(args)


def _called(args: argparse.Namespace) -> int:
    from advisor.telemetry.feed import NoFeedError
    from benchmarks.session import archive, call
    from benchmarks.session.clock import Clock
    from benchmarks.workloads.filing import FilingError
    from benchmarks.workloads.record import CannotMeasureError, UsageError, chosen, device_of
    from benchmarks.workloads.watch import node

    clock = Clock.of(args.budget)
    try:
        chosen(args.only)
        left = args.out / archive.ARCHIVE
        if left.exists() and args.resume not in (args.out, left):
            raise UsageError(f"{args.out} holds an archive already; add to it with --resume {args.out}")
        hello = node(0.2)
        info = device_of(hello, args.device)
        args.out.mkdir(parents=True, exist_ok=True)
        signal.signal(signal.SIGTERM, _end)
        signal.signal(signal.SIGINT, _end)
        return call.run(args, hello, info, clock)
    except (UsageError, FilingError) as problem:
        print(f"gpu_session: {problem}", file=sys.stderr)
        return USAGE
    except (NoFeedError, CannotMeasureError) as problem:
        print(f"gpu_session: {problem}", file=sys.stderr)
        return CANNOT_MEASURE
    except OSError as problem:
        print(f"gpu_session: {problem}", file=sys.stderr)
        return FAILED


def _end(number: int, _: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise SystemExit(128 + number)


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is no length of time")
    return value


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=lambda text: Path(text).resolve(), required=True)
    parser.add_argument("--part", choices=("all", "probes", "peers", "loads"), default="all")
    parser.add_argument("--budget", type=_positive, default=560.0, help="seconds that the call may take")
    parser.add_argument("--seconds", type=_positive, default=8.0, help="of each recording")
    parser.add_argument("--fix-seconds", type=_positive, default=3.0, help="for the speed of each fix")
    parser.add_argument("--only", default="", help="workloads, with commas between them")
    parser.add_argument("--resume", type=lambda text: Path(text).resolve(), help="an earlier call's archive")
    parser.add_argument("--slow-down", action="store_true", help="after loads: what watching costs")
    parser.add_argument("--device", type=int, default=0, help="the driver's index")
    parser.add_argument("--dry", action="store_true")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
