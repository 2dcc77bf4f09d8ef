"""`python -m benchmarks.traces TRACE [--times 10 32] [--hta PYTHON]`: reading a large trace beside its peers.

TRACE is scaled up, and each way to read it runs by itself: the bare typed decode, Python's own JSON, `advisor
trace --json` from start to end, and HTA's temporal breakdown where a Python with `traceinsight` is given. The
figures are wall seconds, peak memory of the whole process tree, and advisor's ratios to the others. The busy
time of the scaled trace must be that of the original times N, to the nanosecond.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.traces.measure import Run, measure
from benchmarks.traces.scaling import write_scaled

# Aims at 32 copies of the H100 trace (1.05 GB).
AIM = {"hta": 1 / 40, "bare": 1.5, "peak_mb": 400.0}
ROUTE = [sys.executable, "-m", "benchmarks.traces.routes"]


class Size(msgspec.Struct, frozen=True, kw_only=True):
    """One size: what each route took, and whether busy time scaled exactly."""

    times: int
    bytes: int
    events: int
    runs: dict[str, Run]
    busy_exact: bool | None

    def ratio(self, to: str) -> float | None:
        """advisor's seconds over another's; None where either has none."""
        own, other = self.runs.get("advisor"), self.runs.get(to)
        if own is None or other is None or own.failed or other.failed:
            return None
        return own.wall_s / other.wall_s


def busy_us(out: str) -> list[float]:
    """Busy time of each device, from advisor's own document."""
    return [device["busy_us"] for device in json.loads(out)["trace"]["devices"]]


def run(source: Path, times: int, folder: Path, hta: str | None, skip: Sequence[str]) -> Size:
    """Scale the trace up, and read it in every way."""
    path = folder / f"scaled-x{times}.json"
    events = write_scaled(source, path, times)
    commands = {name: [*ROUTE, name, str(path)] for name in ("bare", "json", "advisor") if name not in skip}
    if hta is not None:
        commands["hta"] = [hta, str(Path(__file__).with_name("hta_route.py")), str(path)]
    path.read_bytes()[:1]  # every route finds the file in the page cache
    runs = {name: measure(command) for name, command in commands.items()}
    size = path.stat().st_size
    path.unlink()
    return Size(times=times, bytes=size, events=events, runs=runs, busy_exact=_exact(source, times, runs))


def _exact(source: Path, times: int, runs: dict[str, Run]) -> bool | None:
    if "advisor" not in runs or runs["advisor"].failed:
        return None
    once = measure([*ROUTE, "advisor", str(source)])
    if once.failed:
        return None
    pairs = zip(busy_us(once.out), busy_us(runs["advisor"].out), strict=True)
    return all(round(a * 1000) * times == round(b * 1000) for a, b in pairs)


def table(sizes: Sequence[Size]) -> str:
    """The figures as lines of text."""
    lines = []
    for size in sizes:
        lines.append(f"x{size.times}: {size.bytes / 1e6:,.0f} MB, {size.events:,} events")
        for name, made in size.runs.items():
            ratio = size.ratio(name)
            beside = "" if ratio is None or name == "advisor" else f"   advisor / {name} = {ratio:.3g}"
            what = (
                made.failed.strip().splitlines()[-1]
                if made.failed
                else f"{made.wall_s:8.2f} s {made.peak_mb:7.0f} MB"
            )
            lines.append(f"  {name:8} {what}{beside}")
        lines.append(f"  busy time scales exactly: {size.busy_exact}")
    return "\n".join(lines)


def as_json(sizes: Sequence[Size]) -> str:
    """The same for programs, without what the routes printed."""
    rows: list[dict[str, Any]] = [
        {
            "times": size.times,
            "bytes": size.bytes,
            "events": size.events,
            "busy_exact": size.busy_exact,
            "runs": {
                name: {"wall_s": made.wall_s, "peak_mb": made.peak_mb, "failed": made.failed}
                for name, made in size.runs.items()
            },
            "ratios": {name: size.ratio(name) for name in size.runs if name != "advisor"},
        }
        for size in sizes
    ]
    return json.dumps({"aims_at_x32": AIM, "sizes": rows}, indent=2)


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("trace", type=Path)
    parser.add_argument("--times", type=int, nargs="+", default=[10, 32])
    parser.add_argument("--hta", help="a Python with `pip install traceinsight`")
    parser.add_argument("--skip", nargs="*", default=[], choices=["bare", "json", "advisor"])
    parser.add_argument("--work", type=Path, help="a folder with room for the scaled trace (1.1 GB at x32)")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.work) as folder:
        sizes = [run(asked.trace, times, Path(folder), asked.hta, asked.skip) for times in asked.times]
    print(as_json(sizes) if asked.json else table(sizes))


if __name__ == "__main__":
    main()
