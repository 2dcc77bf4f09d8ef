#!/usr/bin/env python3
"""One command on a real NVIDIA GPU, under 10 minutes: the probes beside their peers, `advisor` watching
labelled workloads, and what NVML costs.

    python benchmarks/gpu_session.py --out DIR [--part all|probes|loads] [--budget 560] [--seconds 15]
                                     [--fix-seconds 5] [--only NAME,NAME] [--resume DIR|TAR.GZ] [--dry]

Needs torch and the project's base dependencies, for some probes, peers and workloads cupy and triton; no TUI.
Reads only: sets no clocks, power or modes. Stops by itself within the budget; the probes come first, and
workloads that no longer fit are listed as skipped: `--part loads --resume` makes up for them. Writes
DIR/gpu-session.tar.gz: probes.json (a ProbeRun of every probe in default mode), peers.json and peers.md
(benchmarks/peers/gpu.py), workloads/ (benchmarks/workloads/record.py: recordings, truths, session.json),
summary.json (slow-down of two workloads by being watched) and facts.json (GPM without root, cost of each NVML
call, smallest valid GPM interval).

--dry runs tiny workloads on the CPU. With the simulated NVML library it tests this script; nothing it
writes then is a measurement, and the output says so.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from advisor.store import Store
from advisor.telemetry.feed import NoFeedError
from advisor.telemetry.records import DeviceInfo
from benchmarks.workloads.child import Child, ChildError, Where
from benchmarks.workloads.record import CannotMeasureError, UsageError, device_of
from benchmarks.workloads.watch import WatchError, Watching, node, watch

ROOT = Path(__file__).resolve().parent.parent
# What packing takes at the end.
RESERVE_S = 15.0
CALLS: dict[str, tuple[int, ...]] = {
    "nvmlDeviceGetUtilizationRates": (),
    "nvmlDeviceGetMemoryInfo": (),
    "nvmlDeviceGetPowerUsage": (),
    "nvmlDeviceGetTotalEnergyConsumption": (),
    "nvmlDeviceGetClockInfo": (1,),
    "nvmlDeviceGetTemperature": (0,),
    "nvmlDeviceGetCurrentClocksEventReasons": (),
    "nvmlDeviceGetComputeRunningProcesses": (),
    "nvmlDeviceGetProcessUtilization": (0,),
    "nvmlDeviceGetPcieReplayCounter": (),
    "nvmlDeviceGetPcieThroughput": (0,),
}


def slow_down(where: Where, watching: Watching, seconds: float) -> dict[str, Any]:
    """Steps per second of a launch-bound workload and of a copy, with and without watching, alternating."""
    found: dict[str, Any] = {}
    for name in ("eager_tiny_kernels", "copy"):
        rates: dict[str, list[float]] = {"alone": [], "watched": []}
        problems = []
        for _ in range(2):
            for how, is_watched in (("alone", False), ("watched", True)):
                try:
                    rates[how].append(_steps_s(name, where, seconds, watching if is_watched else None))
                except (ChildError, WatchError, NoFeedError) as problem:
                    problems.append(str(problem))
        found[name] = {**rates, "ratio": _ratio(rates), "problems": problems}
    return found


def _steps_s(name: str, where: Where, seconds: float, watching: Watching | None) -> float:
    with Child(name, "base", seconds, where) as child:
        child.started(90)
        if watching is not None:
            watch(watching.feed(), watching, seconds - 1.0, None)
        account = child.finish(seconds + 60)
    return account.steps / account.wall_s


def _ratio(rates: dict[str, list[float]]) -> float | None:
    if not rates["alone"] or not rates["watched"]:
        return None
    return statistics.median(rates["watched"]) / statistics.median(rates["alone"])


def facts(index: int) -> dict[str, Any]:
    """What the driver answers, what each call costs, and GPM's smallest interval and need for root."""
    import pynvml as nvml

    nvml.nvmlInit()
    handle = nvml.nvmlDeviceGetHandleByIndex(index)
    found: dict[str, Any] = {
        "driver": str(nvml.nvmlSystemGetDriverVersion()),
        "gpu": str(nvml.nvmlDeviceGetName(handle)),
        "call_cost": {
            name: _cost(partial(getattr(nvml, name), handle, *args)) for name, args in CALLS.items()
        },
        "gpm_interval": {
            str(ms): _gpm_once(nvml, handle, ms / 1e3) for ms in (10, 20, 50, 80, 100, 110, 150, 200, 500)
        },
        "gpm_as_nobody": _gpm_as_nobody(index),
    }
    nvml.nvmlShutdown()
    return found


def _cost(call: Callable[[], Any]) -> dict[str, Any]:
    times, answer = [], ""
    for _ in range(15):
        start = time.perf_counter()
        try:
            answer = str(call())
        except Exception as problem:  # the answer is the finding
            answer = f"{type(problem).__name__}: {problem}"
        times.append(time.perf_counter() - start)
    return {"median_us": statistics.median(times) * 1e6, "max_us": max(times) * 1e6, "answer": answer[:80]}


def _gpm_once(nvml: Any, handle: Any, interval_s: float) -> dict[str, Any]:
    """gr_active and dram_active between two samples `interval_s` apart, with each entry's return code."""
    samples = []
    try:
        for _ in range(2):
            sample = nvml.nvmlGpmSampleAlloc()
            samples.append(sample)
            nvml.nvmlGpmSampleGet(handle, sample)
            time.sleep(interval_s if len(samples) == 1 else 0)
        asked = nvml.c_nvmlGpmMetricsGet_t()
        asked.version, asked.numMetrics = nvml.NVML_GPM_METRICS_GET_VERSION, 2
        asked.sample1, asked.sample2 = samples
        for entry, metric in zip(asked.metrics, (1, 10), strict=False):
            entry.metricId, entry.value, entry.nvmlReturn = metric, -1.0, 999
        start = time.perf_counter()
        nvml.nvmlGpmMetricsGet(asked)
        took = time.perf_counter() - start
        values = {str(m.metricId): [m.value, m.nvmlReturn] for m in asked.metrics[:2]}
        return {"metrics": values, "cost_us": took * 1e6}
    except Exception as problem:  # the answer is the finding
        return {"error": f"{type(problem).__name__}: {problem}"[:200]}
    finally:
        for sample in samples:
            nvml.nvmlGpmSampleFree(sample)


def _gpm_as_nobody(index: int) -> str:
    code = (
        f"import os, pynvml as n; n.nvmlInit(); h = n.nvmlDeviceGetHandleByIndex({index}); "
        "n.nvmlGpmSampleGet(h, n.nvmlGpmSampleAlloc()); print('GPM works as uid', os.getuid())"
    )
    command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", sys.executable, "-c", code]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, cwd="/", check=False)
    except (OSError, subprocess.TimeoutExpired) as problem:
        return f"could not be tried: {problem}"
    return (done.stdout + done.stderr).strip()[-400:]


def probes_and_peers(device: str, work: Path, dry: bool) -> dict[str, Any]:
    """Every probe in its default mode, then probes and peers by turns; each step's exit code and time."""
    only = ["host", "cores"] if dry else []
    mode = ["--quick"] if dry else []
    where = "cpu" if dry else device
    steps = {
        "probes": ["probes", *only, "--device", where, *mode, "--json", "-o", str(work / "probes.json")],
        "peers": ["benchmarks.peers.gpu", "--out", str(work), "--device", where],
    }
    if dry:
        steps["peers"] += ["--dry", "--rounds", "1", "--mode", "quick"]
    return {name: _step(arguments) for name, arguments in steps.items()}


def _step(arguments: list[str]) -> dict[str, Any]:
    """Run a module of this checkout; its exit code, how long it took, and the end of what it said."""
    begin = time.perf_counter()
    command = [sys.executable, "-m", *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=420, cwd=ROOT, check=False)
    except subprocess.TimeoutExpired:
        return {"command": command[1:], "error": "took over 420 s"}
    took_s = time.perf_counter() - begin
    print(done.stdout[-4000:], done.stderr[-2000:], flush=True)
    return {"command": command[1:], "rc": done.returncode, "wall_s": took_s, "stderr": done.stderr[-2000:]}


def recorded(args: argparse.Namespace, work: Path, budget_s: float) -> dict[str, Any]:
    """Every workload that fits, recorded with what the probes of this session or of the store measured."""
    command = ["benchmarks.workloads.record", "--out", str(work), "--budget", f"{budget_s:.0f}"]
    command += ["--seconds", str(args.seconds), "--fix-seconds", str(args.fix_seconds)]
    command += ["--device", str(args.device)]
    if (work / "probes.json").exists() and not args.dry:
        command += ["--probes", str(work / "probes.json")]
    if args.resume or (work / "workloads" / "session.json").exists():
        command += ["--resume", str(args.resume or work)]
    command += [*(["--only", args.only] if args.only else []), *(["--dry"] if args.dry else [])]
    return _shown(command, budget_s + 60.0)


def _shown(arguments: list[str], limit_s: float) -> dict[str, Any]:
    """Run a module whose lines are shown as they come; its exit code."""
    command = [sys.executable, "-m", *arguments]
    try:
        done = subprocess.run(command, timeout=limit_s, cwd=ROOT, check=False)
    except subprocess.TimeoutExpired:
        return {"command": command[1:], "error": f"took over {limit_s:.0f} s"}
    return {"command": command[1:], "rc": done.returncode}


def session(args: argparse.Namespace, info: DeviceInfo, work: Path, start: float) -> dict[str, Any]:
    """What watching costs (once, not with --resume), then every workload that fits into the budget."""
    summary: dict[str, Any] = {"measured": not args.dry}
    where = Where(device="cpu" if args.dry else "cuda", small=args.dry, gpu=info.uuid)
    watching = Watching(info.key, 0.2, Store(), args.dry)
    if args.resume is None:
        summary["slow_down"] = slow_down(where, watching, min(6.0, args.seconds))
    left_s = args.budget - (time.perf_counter() - start) - RESERVE_S
    summary["workloads"] = recorded(args, work, left_s) if left_s > 0 else {"error": "no time was left"}
    summary["wall_s"] = time.perf_counter() - start
    return summary


def _not_packed_already(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return None if member.name.endswith("/workloads.tar.gz") else member


def main() -> int:
    """Run it all and pack it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--part", choices=("all", "probes", "loads"), default="all")
    parser.add_argument("--budget", type=float, default=560.0)
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--fix-seconds", type=float, default=5.0)
    parser.add_argument("--only", default="")
    parser.add_argument("--resume", type=Path)
    parser.add_argument("--device", type=int, default=0)
    parser.add_argument("--dry", action="store_true")
    args = parser.parse_args()
    try:
        info = device_of(node(0.2), args.device)
    except (NoFeedError, CannotMeasureError, UsageError) as problem:
        print(f"gpu_session: {problem}", file=sys.stderr)
        return 2 if isinstance(problem, UsageError) else 3
    return run(args, info)


def run(args: argparse.Namespace, info: DeviceInfo) -> int:
    """Every part that is asked for, into one archive. Exit code 1 where no workload could be recorded."""
    start, code = time.perf_counter(), 0
    args.out, args.resume = args.out.resolve(), args.resume and args.resume.resolve()
    work = args.out / "gpu-session"
    work.mkdir(parents=True, exist_ok=True)
    (work / "facts.json").write_text(json.dumps(facts(args.device), indent=1))
    if args.part != "loads":
        found = probes_and_peers(str(args.device), work, args.dry)
        (work / "probes_and_peers.json").write_text(json.dumps(found, indent=1))
    if args.part != "probes":
        summary = session(args, info, work, start)
        (work / "summary.json").write_text(json.dumps(summary, indent=1))
        code = 0 if summary["workloads"].get("rc") == 0 else 1
    with tarfile.open(args.out / "gpu-session.tar.gz", "w:gz") as tar:
        tar.add(work, arcname="gpu-session", filter=_not_packed_already)
    print("wrote", args.out / "gpu-session.tar.gz")
    return code


if __name__ == "__main__":
    sys.exit(main())
