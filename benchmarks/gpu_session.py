#!/usr/bin/env python3
"""One command on a real NVIDIA GPU, under 10 minutes: the probes beside their peers, `advisor` watching
labelled loads, and what NVML costs.

    python benchmarks/gpu_session.py --out DIR [--part all|probes|loads] [--budget 560] [--seconds 20]
                                     [--only NAME,NAME] [--dry]

Needs torch and the project's base dependencies, for some probes and peers cupy and triton; no TUI. Reads
only: sets no clocks, power or modes. Stops by itself within the budget; the probes come first, and loads that
no longer fit are listed as skipped (`--part loads` makes up for them). Writes DIR/gpu-session.tar.gz:
probes.json (a ProbeRun of every probe in default mode), peers.json and peers.md (benchmarks/peers/gpu.py),
recordings (NAME-200ms.jsonl.gz, NAME-1s.jsonl.gz), their diagnoses, summary.json (label, the load's own
accounting, verdict) and facts.json (GPM without root, cost of each NVML call, smallest valid GPM interval,
slow-down of a load by being watched).

--dry runs tiny loads on the CPU. With the simulated NVML library it tests this script; nothing it
writes then is a measurement, and the output says so.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing as mp
import statistics
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from advisor.monitor import Monitor, MonitorOptions
from advisor.reports.json import encode
from advisor.telemetry.recording import Recorder
from advisor.telemetry.sampler import LiveFeed
from benchmarks import gpu_loads

ROOT = Path(__file__).resolve().parent.parent
# What the slow-down test and packing take at the end.
RESERVE_S = 90.0
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


class Loads:
    """The child process that runs loads."""

    def __init__(self, device: str, small: bool) -> None:
        context = mp.get_context("spawn")
        self._pipe, there = context.Pipe()
        self._process = context.Process(target=gpu_loads.serve, args=(there, device, small), daemon=True)
        self._process.start()
        self.versions: dict[str, str] = self._answer(120)

    def run(self, name: str, seconds: float, during: Callable[[], Any]) -> tuple[dict[str, Any], Any]:
        """Run a load for `seconds`, calling `during` once it has started: (accounting, its result)."""
        self._pipe.send((name, seconds))
        first = self._answer(90)
        if first != "started":
            return first, None
        result = during()
        return self._answer(seconds + 60), result

    def close(self) -> None:
        """End the child."""
        self._pipe.send(None)
        self._process.join(10)

    def _answer(self, seconds: float) -> Any:
        return self._pipe.recv() if self._pipe.poll(seconds) else {"error": f"no answer in {seconds:.0f} s"}


def watch(path: Path | None, seconds: float, gpm_interval_s: float) -> dict[str, Any]:
    """Watch for `seconds` as `advisor` does; record to `path`; return the first device's verdict."""
    feed = LiveFeed(interval_s=1.0, gpm_interval_s=gpm_interval_s)
    monitor = Monitor(MonitorOptions(command="benchmarks/gpu_session.py"))
    try:
        hello = feed.start()
        monitor.feed(hello)
        with Recorder(path, overwrite=True) if path else nullcontext() as recorder:
            if recorder:
                recorder.write(hello)
            end = time.monotonic() + seconds
            while (left := end - time.monotonic()) > 0:
                for message in feed.poll(min(0.25, left)):
                    monitor.feed(message)
                    if recorder:
                        recorder.write(message)
    finally:
        feed.close()
    document = monitor.diagnosis()
    if path:
        path.with_name(path.name.replace(".jsonl.gz", ".diagnosis.json")).write_bytes(encode(document))
    first = document.verdicts[0]
    return {
        "class": first.class_,
        "cause": first.cause,
        "confidence": first.confidence,
        "shares": {k: round(v, 4) for k, v in first.shares.items() if v},
        "dram_roof_frac": first.dram_roof_frac,
        "pipe_roof_frac": first.pipe_roof_frac,
        "findings": [f.code for f in document.findings],
        "watch_cost_frac": document.provenance.watch_cost_frac,
    }


def slow_down(loads: Loads, seconds: float) -> dict[str, Any]:
    """Steps per second of the launch-bound load and the copy, with and without watching, alternating."""
    found: dict[str, Any] = {}
    for name in ("launch_bound", "copy"):
        rates: dict[str, list[float]] = {"alone": [], "watched": []}
        for _ in range(2):
            for how, during in (
                ("alone", lambda: None),
                ("watched", partial(watch, None, seconds - 1.0, 0.2)),
            ):
                accounting, _ = loads.run(name, seconds, during)
                if "error" not in accounting:
                    rates[how].append(accounting["steps"] / accounting["wall_s"])
        found[name] = {**rates, "ratio": _ratio(rates)}
    return found


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


def session(args: argparse.Namespace, work: Path, start: float) -> dict[str, Any]:
    """Every load, watched twice; then what watching costs. Stops asking for more when the budget is spent."""
    loads = Loads("cpu" if args.dry else "cuda", args.dry)
    summary: dict[str, Any] = {
        "measured": not args.dry,
        "torch": loads.versions.get("torch"),
        "loads": {},
        "skipped": [],
    }
    chosen = [n for n in gpu_loads.LOADS if not args.only or n in args.only.split(",")]
    summary["loads"]["free"] = {
        "label": "idle",
        "cause": "free",
        "200ms": watch(work / "free-200ms.jsonl.gz", args.seconds / 2, 0.2),
    }
    for name in chosen:
        if time.perf_counter() - start > args.budget - 2 * args.seconds - RESERVE_S:
            summary["skipped"].append(name)
            continue
        summary["loads"][name] = one_load(loads, name, args.seconds, work)
        print(name, json.dumps(summary["loads"][name])[:300], flush=True)
        (work / "summary.json").write_text(json.dumps(summary, indent=1))
    summary["slow_down"] = slow_down(loads, min(6.0, args.seconds))
    loads.close()
    summary["wall_s"] = time.perf_counter() - start
    return summary


def one_load(loads: Loads, name: str, seconds: float, work: Path) -> dict[str, Any]:
    """One load watched with sub-windows of 200 ms, then for half as long with 1 s."""
    load = gpu_loads.LOADS[name]
    found: dict[str, Any] = {"label": load.label, "cause": load.cause}
    for tag, interval, span in (("200ms", 0.2, seconds), ("1s", 1.0, seconds / 2)):
        path = work / f"{name}-{tag}.jsonl.gz"
        accounting, verdict = loads.run(name, span + 2.0, partial(watch, path, span, interval))
        found[tag] = {"accounting": accounting, "verdict": verdict}
    return found


def main() -> int:
    """Run it all and pack it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--part", choices=("all", "probes", "loads"), default="all")
    parser.add_argument("--budget", type=float, default=560.0)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--only", default="")
    parser.add_argument("--device", type=int, default=0)
    parser.add_argument("--dry", action="store_true")
    args = parser.parse_args()
    start = time.perf_counter()
    work = args.out / "gpu-session"
    work.mkdir(parents=True, exist_ok=True)
    (work / "facts.json").write_text(json.dumps(facts(args.device), indent=1))
    if args.part != "loads":
        found = probes_and_peers(str(args.device), work, args.dry)
        (work / "probes_and_peers.json").write_text(json.dumps(found, indent=1))
    if args.part != "probes":
        (work / "summary.json").write_text(json.dumps(session(args, work, start), indent=1))
    with tarfile.open(args.out / "gpu-session.tar.gz", "w:gz") as tar:
        tar.add(work, arcname="gpu-session")
    print("wrote", args.out / "gpu-session.tar.gz")
    return 0


if __name__ == "__main__":
    sys.exit(main())
