#!/usr/bin/env python3
"""What watching costs: CPU and memory of `advisor`, headless and TUI, beside nvitop, in one run.

    python benchmarks/overhead.py [--seconds 30] [--gpus 1 8]

All of them read the simulated NVML library (tests/nvml_stub), so the driver's own cost is left out:
compare the programs, not a GPU node. CPU is the share of one core used by the whole process tree after
a warm-up; memory is the tree's unique set size. The last table replays an hour of eight GPUs through
the monitor and shows whether memory grows.
"""

from __future__ import annotations

import argparse
import fcntl
import gc
import json
import os
import pty
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import psutil

WARM_UP_S = 6.0
ROWS, COLUMNS = 40, 120


def commands() -> dict[str, list[str]]:
    """What is compared. Every one refreshes once a second."""
    python = sys.executable
    return {
        "advisor headless": [python, "-m", "advisor", "diagnose", "--duration", "1h", "--interval", "1s"],
        "advisor TUI": [python, "-m", "advisor", "--interval", "1s"],
        "nvitop": [python, "-m", "nvitop", "--monitor", "full", "--interval", "1"],
    }


def environment(gpus: int, folder: Path) -> dict[str, str]:
    """The simulated library with the first `gpus` GPUs of the mixed node."""
    from tests.nvml_stub.build import build_stub
    from tests.nvml_stub.scenarios import eight_gpus

    node = eight_gpus()
    node["gpus"] = node["gpus"][:gpus]
    path = folder / f"{gpus}.json"
    path.write_text(json.dumps(node))
    library = build_stub(folder / "lib")
    return {
        **os.environ,
        "LD_LIBRARY_PATH": str(library),
        "ADVISOR_NVML_SCENARIO": str(path),
        "TERM": "xterm-256color",
    }


def measure(command: list[str], env: dict[str, str], seconds: float) -> dict[str, float]:
    """CPU share of a core and memory (MiB) of a command's process tree, on a terminal of its own."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    process = subprocess.Popen(
        command, stdin=slave, stdout=slave, stderr=slave, env=env, start_new_session=True
    )
    os.close(slave)
    said = bytearray()
    threading.Thread(target=_drain, args=(master, said), daemon=True).start()
    try:
        time.sleep(WARM_UP_S)
        if process.poll() is not None:
            raise SystemExit(f"{' '.join(command[1:4])} ended by itself: {said.decode(errors='replace')}")
        tree = psutil.Process(process.pid)
        before, start = _cpu_s(tree), time.monotonic()
        time.sleep(seconds)
        used, took = _cpu_s(tree) - before, time.monotonic() - start
        return {"cpu_frac": used / took, "mib": _memory(tree)}
    finally:
        if process.poll() is None:
            for one in reversed(_tree(psutil.Process(process.pid))):
                one.kill()
        process.wait()
        os.close(master)


def _drain(master: int, said: bytearray) -> None:
    """Read what the program draws, as a terminal would; keep the end of it for an error."""
    while True:
        try:
            said += os.read(master, 65536)
        except OSError:
            return
        del said[:-2000]


def _tree(root: psutil.Process) -> list[psutil.Process]:
    return [root, *root.children(recursive=True)]


def _cpu_s(root: psutil.Process) -> float:
    """Seconds on a CPU by the scheduler's own clock; utime and stime count ticks of 10 ms."""
    tasks = [task for one in _tree(root) for task in Path(f"/proc/{one.pid}/task").iterdir()]
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def _memory(root: psutil.Process) -> float:
    return sum(p.memory_full_info().uss for p in _tree(root)) / 2**20


def hour_of_eight(window_s: float | None) -> list[tuple[int, float]]:
    """(simulated seconds, MiB) while an hour at 1 Hz of eight GPUs goes through a monitor.

    window_s: 60 for a screen, None for `run` and `diagnose`, which keep the whole stream.
    """
    from advisor.monitor import Monitor, MonitorOptions
    from tests.advisor.streams import device, frames, hello

    devices = tuple(device(i) for i in range(8))
    monitor = Monitor(MonitorOptions(window_s=window_s, env={}))
    monitor.feed(hello(*devices))
    me, seen = psutil.Process(), []
    for i, message in enumerate(frames({"dram_active": 0.8}, 3600, *devices), start=1):
        monitor.feed(message)
        if window_s is not None and i % 10 == 0:
            monitor.snapshot()
        if i in (900, 1800, 2700, 3600):
            gc.collect()
            seen.append((i, me.memory_full_info().uss / 2**20))
    return seen


def main() -> int:
    """Print the tables as Markdown, or everything as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--gpus", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for gpus in args.gpus:
            env = environment(gpus, Path(folder))
            results[str(gpus)] = {n: measure(c, env, args.seconds) for n, c in commands().items()}
    results["hour"] = {"screen": hour_of_eight(60.0), "whole run": hour_of_eight(None)}
    print(json.dumps(results, indent=1) if args.json else tables(results))
    return 0


def tables(results: dict[str, Any]) -> str:
    """Two Markdown tables."""
    lines = [
        "| simulated GPUs | program | CPU of one core | of nvitop's | memory |",
        "|---:|---|---:|---:|---:|",
    ]
    for gpus, programs in results.items():
        if gpus == "hour":
            continue
        peer = programs["nvitop"]["cpu_frac"]
        for name, r in programs.items():
            ratio = f"{r['cpu_frac'] / peer:.2f}×" if peer else "-"
            lines.append(f"| {gpus} | {name} | {100 * r['cpu_frac']:.2f} % | {ratio} | {r['mib']:.0f} MiB |")
    lines += ["", "| 8 GPUs, simulated time | " + " | ".join(results["hour"]) + " |", "|---:|---:|---:|"]
    for row in zip(*results["hour"].values(), strict=True):
        lines.append(f"| {row[0][0] // 60} min | " + " | ".join(f"{mib:.1f} MiB" for _, mib in row) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
