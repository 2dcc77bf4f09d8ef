#!/usr/bin/env python3
"""The CPU's probes beside public benchmarks and plain calls, as ratios, in one run.

    python -m benchmarks.peers.cpu [--rounds 5] [--seconds 0.5] [--mode default] [--out FILE] [--dry]

Memory: torch and numpy copies, `mbw` where it is installed, and plain C loops where there is a compiler.
GEMM: `torch.utils.benchmark.Timer.blocked_autorange` on the same product. In each round every figure of ours
is followed at once by its peers', so that drift of the host meets both; a ratio is the median over rounds of
ours over the peer's. Prints a Markdown table; --out writes everything as JSON. --dry measures next to nothing
and tests the script.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.peers.cpu_peers import MemoryPeers, gemm_figure
from probes import hostfiles
from probes.cpu_facts import cpu_facts
from probes.lab import Lab
from probes.membw import buffer_bytes, cores
from probes.meter import NoMeter
from probes.record import Measurement, Mode, Plan
from probes.registry import chosen
from probes.timing import CpuTimer, Policy

AIM = 0.99
NAMES = ("membw", "gemm")
_DRY_BYTES = 48 << 20
_DRY_POLICY = Policy(windows=3, window_s=1e-4, total_s=1e-3, warm_s=1e-3)


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A metric beside one peer: medians over rounds in `unit`, the median of the rounds' ratios, and their
    least and largest. best: whether we compare worst with this
    peer."""

    metric: str
    unit: str
    ours: float
    peer: str
    theirs: float
    ratio: float
    low: float
    high: float
    best: bool

    @property
    def met(self) -> bool:
        """Whether the aim is met beside this peer."""
        return self.ratio >= AIM


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """One figure of ours, and its peers' right after it."""

    ours: Measurement
    peers: dict[str, float]


def make_lab(mode: Mode, dry: bool) -> Lab:
    """A lab of this CPU; a dry one has next to no memory and no patience."""
    facts = cpu_facts()
    if dry:
        facts = msgspec.structs.replace(facts, memory_free_bytes=_DRY_BYTES)
    lab = Lab(facts, Plan(device="cpu", mode=mode), timer=CpuTimer(), meter=NoMeter("a CPU has no meter"))
    if dry:
        lab.policy = _DRY_POLICY
    return lab


def one_round(
    lab: Lab, names: Sequence[str], memory: MemoryPeers, seconds: float, dry: bool
) -> Iterator[Pair]:
    """Every figure of ours, each followed by its peers'."""
    for probe in chosen("cpu", tuple(names)):
        lab.begin(0.0 if dry else probe.budget_s)
        for ours in probe.load()(lab):
            yield Pair(ours=ours, peers=peers_of(ours, memory, seconds))


def peers_of(ours: Measurement, memory: MemoryPeers, seconds: float) -> dict[str, float]:
    """The peers' figures for one of ours; none where there is nothing to compare."""
    if ours.median is None:
        return {}
    if ours.probe == "membw":
        return memory.figures(ours.metric)
    threads = int(ours.conditions.extra.get("threads", memory.threads))
    figure = gemm_figure(ours.metric, ours.conditions.shape or "", threads, seconds)
    return {} if figure is None else {"torch Timer": figure}


def rows(rounds: Sequence[Sequence[Pair]]) -> list[Row]:
    """Every metric beside every peer, over all rounds."""
    together: dict[str, list[Pair]] = {}
    for pair in (pair for one in rounds for pair in one):
        if pair.peers and pair.ours.median:
            together.setdefault(pair.ours.metric, []).append(pair)
    return [row for metric, pairs in together.items() for row in _rows(metric, pairs)]


def _rows(metric: str, pairs: Sequence[Pair]) -> list[Row]:
    figures = {peer: [pair.peers[peer] for pair in pairs] for peer in pairs[0].peers}
    ours = [pair.ours.median or 0.0 for pair in pairs]
    by_peer = {peer: [a / b for a, b in zip(ours, figures[peer], strict=True)] for peer in figures}
    # Ratios of neighbours in time, not medians over all rounds, which drift of the host would mix up.
    best = min(by_peer, key=lambda peer: statistics.median(by_peer[peer]))
    found = []
    for peer, ratios in by_peer.items():
        found.append(
            Row(
                metric=metric,
                unit=pairs[0].ours.unit,
                ours=statistics.median(ours),
                peer=peer,
                theirs=statistics.median(figures[peer]),
                ratio=statistics.median(ratios),
                low=min(ratios),
                high=max(ratios),
                best=peer == best,
            )
        )
    return found


def table(found: Sequence[Row], title: str) -> str:
    """The comparison as Markdown; the aim is beside the best peer of each metric."""
    lines = [
        f"### {title}",
        "",
        f"| metric | ours | peer | theirs | ratio | least to largest | aim ≥ {AIM} |",
        "|---|---:|---|---:|---:|---:|---|",
    ]
    for row in found:
        aim = ("met" if row.met else "**missed**") if row.best else ""
        lines.append(
            f"| {row.metric} | {_giga(row.ours, row.unit)} | {row.peer} | {_giga(row.theirs, row.unit)} "
            f"| {row.ratio:.3f} | {row.low:.3f} to {row.high:.3f} | {aim} |"
        )
    return "\n".join(lines) + "\n"


def _giga(value: float, unit: str) -> str:
    return f"{value / 1e9:.1f} G{ {'bytes_s': 'B/s', 'flop_s': 'FLOP/s', 'op_s': 'OP/s'}[unit] }"


def compare(names: Sequence[str], rounds: int, seconds: float, mode: Mode, dry: bool) -> dict[str, Any]:
    """Run everything and give it as plain data: facts, every pair of every round, and the rows."""
    lab = make_lab(mode, dry)
    size, _ = buffer_bytes(lab.free_bytes(), hostfiles.cache_bytes(hostfiles.allowed_cores()))
    with tempfile.TemporaryDirectory() as folder:
        memory = MemoryPeers(size, len(cores()), seconds, Path(folder))
        taken = [list(one_round(lab, names, memory, seconds, dry)) for _ in range(rounds)]
    return {
        "measured": not dry,
        "aim": AIM,
        "device": msgspec.to_builtins(lab.facts),
        "rounds": msgspec.to_builtins(taken),
        "rows": msgspec.to_builtins(rows(taken)),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, compare, print, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--probes", nargs="+", choices=NAMES, default=NAMES)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.5, help="how long each peer looks")
    parser.add_argument("--mode", choices=("quick", "default", "full"), default="default")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--dry", action="store_true")
    args = parser.parse_args(arguments)
    found = compare(args.probes, args.rounds, args.seconds, args.mode, args.dry)
    if args.out:
        args.out.write_text(json.dumps(found, indent=1))
    name = found["device"]["name"] + (" (dry run: no measurement)" if args.dry else "")
    print(table(msgspec.convert(found["rows"], list[Row]), f"{name}, {found['device']['cores']} cores"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
