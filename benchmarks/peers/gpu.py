#!/usr/bin/env python3
"""The probes beside the best public benchmark of each kind, on the same GPU, in the same run.

    python -m benchmarks.peers.gpu --out DIR [--device 0] [--rounds 2] [--mode default] [--dry]

Each round runs the probes (in their worker, as `advisor probe` does) and then the peers (in a process of
their own), so that drift of the card meets both. Writes DIR/peers.json (every record and figure) and
DIR/peers.md (ratios, spread between rounds, and whether each aim is met).

--dry measures the CPU with tiny peers. It tests this script; nothing it writes is a measurement of a GPU.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.peers import gpu_peers
from probes.devices import list_devices
from probes.metrics import METRICS
from probes.numa import local_and_remote, nodes
from probes.plain import figure
from probes.record import DeviceFacts, Measurement, Mode, Plan, ProbeReport, Unit
from probes.suite import run_device

# Ours over the best peer, and the largest spread between two runs.
AIM_RATIO = 0.99
AIM_SPREAD = {"bandwidth": 0.01, "transfer": 0.01, "tensor": 0.02}
# Until the driver no longer lists the peers' process, nor counts what they did as utilisation.
SETTLE_S = 3.0
# Shares of the dense data sheet that an H100 SXM should reach.
AIM_OF_SPEC = {"dram_copy": 0.89, "dram_read": 0.94, "bf16": 0.80, "fp8_e4m3": 0.70, "h2d_pinned": 0.80}
# With --dry: what the CPU has in place of a GPU's metrics.
DRY = {
    "dram_copy": "host_copy",
    "dram_triad": "host_triad",
    "dram_read": "host_read",
    "dram_write": "host_write",
    "bf16": "cpu_bf16",
}


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One metric: the probe's median in each round, the best peer, and how they compare."""

    metric: str
    probe: str
    unit: Unit
    ours: list[float]
    best_peer: str | None
    peer: float | None
    ratio: float | None
    spread: float | None
    of_spec: float | None
    why_none: str = ""


def peers(dry: bool, facts: DeviceFacts) -> dict[str, dict[str, Any]]:
    """One round of the peers on the device, from CPUs of its NUMA node where there are several."""
    env = dict(os.environ) if dry else {**os.environ, "CUDA_VISIBLE_DEVICES": facts.key}
    how = ["--device", "cpu", "--small"] if dry else ["--device", "cuda"]
    near = local_and_remote(facts.numa_node, nodes())
    if not isinstance(near, str):
        how += ["--cpus", ",".join(map(str, sorted(near[0].cpus)))]
    command = [sys.executable, "-m", "benchmarks.peers.gpu_peers", *how]
    done = subprocess.run(command, capture_output=True, text=True, timeout=400, check=False, env=env)
    if done.returncode:
        why = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        return {metric: {"peers": why[0]} for metric in gpu_peers.PEERS}
    found: dict[str, dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return found


def row(metric: str, reports: Sequence[ProbeReport], rounds: Sequence[dict[str, Any]], dry: bool) -> Row:
    """Compare one metric over all rounds."""
    name = DRY.get(metric, metric) if dry else metric
    found = [m for report in reports if (m := report.measurement(name)) is not None]
    ours = [m.median for m in found if m.median is not None]
    figures: dict[str, list[float]] = {}
    for peer_round in rounds:
        for peer, found_by in peer_round.get(metric, {}).items():
            if isinstance(found_by, float | int):
                figures.setdefault(peer, []).append(float(found_by))
    medians = {peer: statistics.median(taken) for peer, taken in figures.items()}
    best = max(medians, key=lambda peer: medians[peer], default=None)
    mean = statistics.fmean(ours) if ours else None
    reasons = [m.reason for m in found if m.reason]
    return Row(
        metric=name,
        probe=METRICS[name].probe,
        unit=METRICS[name].unit,
        ours=ours,
        best_peer=best,
        peer=medians[best] if best else None,
        ratio=mean / medians[best] if mean and best else None,
        spread=(max(ours) - min(ours)) / mean if mean and len(ours) > 1 else None,
        of_spec=found[-1].of_spec if found else None,
        why_none=reasons[0] if reasons and not ours else "",
    )


def table(rows: Sequence[Row], title: str) -> str:
    """The comparison as Markdown."""
    lines = [
        f"### {title}",
        "",
        "| metric | ours | best peer | ratio | aim ≥ 0.99 | spread | aim | of spec | aim |",
        "|---|---:|---|---:|---|---:|---|---:|---|",
    ]
    return "\n".join([*lines, *(_line(r) for r in rows)]) + "\n"


def _line(r: Row) -> str:
    ours = figure(statistics.fmean(r.ours), r.unit) if r.ours else r.why_none or "–"
    peer = f"{r.best_peer}: {figure(r.peer, r.unit)}" if r.peer is not None else "–"
    spread_aim, spec_aim = AIM_SPREAD.get(r.probe), AIM_OF_SPEC.get(r.metric)
    cells = (
        r.metric,
        ours,
        peer,
        _number(r.ratio),
        _met(r.ratio, AIM_RATIO, above=True),
        "–" if r.spread is None else f"{r.spread:.2%}",
        _met(r.spread, spread_aim, above=False),
        _number(r.of_spec),
        _met(r.of_spec, spec_aim, above=True),
    )
    return f"| {' | '.join(cells)} |"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _met(value: float | None, aim: float | None, *, above: bool) -> str:
    if value is None or aim is None:
        return "–"
    met = value >= aim if above else value <= aim
    return f"{'met' if met else '**missed**'} ({'≥' if above else '≤'} {aim:g})"


# What no trustworthy public figure was found for: the records that answer it.
OPEN = {
    "int8 GEMM": ("int8",),
    "fp64 GEMM through torch": ("fp64",),
    "fp8 with and without fast accumulation": ("fp8_e4m3",),
    "pageable copies": ("h2d_pageable", "d2h_pageable"),
    "allocation": ("alloc_cached", "alloc_device", "alloc_pinned"),
    "bandwidth by cupy kernels and by torch": ("dram_read", "dram_write", "dram_copy", "dram_triad"),
}


def answers(report: ProbeReport) -> str:
    """Every take on what was left open, as Markdown, with its method and what else was tried."""
    head = "| question | metric | median | p10 to p90 | of spec | method | tried |"
    lines = [head, "|---|---|---:|---|---:|---|---|"]
    for question, metrics in OPEN.items():
        lines += [_answer(question, m) for m in report.measurements if m.metric in metrics]
    return "\n".join(lines) + "\n"


def _answer(question: str, m: Measurement) -> str:
    median = m.reason or m.valid if m.median is None else figure(m.median, m.unit)
    spread = "–" if m.p10 is None or m.p90 is None else f"{figure(m.p10, m.unit)} to {figure(m.p90, m.unit)}"
    tried = ", ".join(f"{what}: {figure(value, m.unit)}" for what, value in m.conditions.tried.items())
    cells = (question, m.metric, median, spread, _number(m.of_spec), m.conditions.method, tried or "–")
    return f"| {' | '.join(cells)} |"


def compare(
    device: str, rounds: int, mode: Mode, dry: bool, keep: Callable[[list[ProbeReport], list[Any]], None]
) -> None:
    """Probes and peers by turns. keep: told after each round what there is of all rounds so far."""
    facts = list_devices("cpu" if dry else device)[0]
    names = ("membw", "gemm") if dry else ("allocator", "transfer", "bandwidth", "tensor")
    reports: list[ProbeReport] = []
    peer_rounds: list[Any] = []
    for done in range(rounds):
        if done and not dry:
            time.sleep(SETTLE_S)
        plan = Plan(names=names, device=facts.key, mode=mode)
        reports.append(run_device(plan, facts, lambda _event: None))
        if reports[-1].refused:
            print(f"round {done + 1}: {reports[-1].refused}", file=sys.stderr)
        peer_rounds.append(peers(dry, facts))
        keep(reports, peer_rounds)


def write(out: Path, reports: Sequence[ProbeReport], peer_rounds: Sequence[Any], dry: bool) -> None:
    """peers.json and peers.md of the rounds so far, so that one that is cut off loses no other."""
    rows = [row(m, reports, peer_rounds, dry) for m in gpu_peers.PEERS]
    whole = {
        "measured": not dry,
        "reports": msgspec.to_builtins(reports),
        "peers": peer_rounds,
        "rows": msgspec.to_builtins(rows),
    }
    out.mkdir(parents=True, exist_ok=True)
    (out / "peers.json").write_text(json.dumps(whole, indent=1))
    title = reports[0].device.name + (" (dry run: no measurement)" if dry else "")
    (out / "peers.md").write_text(f"{table(rows, title)}\n{answers(reports[-1])}")


def main() -> int:
    """Run, compare, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--device", default="0")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--mode", choices=("quick", "default", "full"), default="default")
    parser.add_argument("--dry", action="store_true")
    args = parser.parse_args()
    compare(
        args.device,
        args.rounds,
        args.mode,
        args.dry,
        lambda reports, found: write(args.out, reports, found, args.dry),
    )
    print((args.out / "peers.md").read_text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
