"""Seconds and memory of a command and all it starts."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import psutil

TICK_S = 0.02


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One run. peak_mb: the largest sum of proportional memory (PSS) over the process and its children."""

    wall_s: float
    peak_mb: float
    out: str
    failed: str | None = None


def measure(argv: Sequence[str], timeout_s: float = 1800.0, env: Mapping[str, str] | None = None) -> Run:
    """Run a command to its end. `failed` holds the end of its standard error where it did not succeed."""
    begin = time.perf_counter()
    with subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **(env or {})}
    ) as started:
        peaks = [0.0]
        watcher = threading.Thread(target=_watch, args=(started.pid, peaks), daemon=True)
        watcher.start()
        try:
            out, err = started.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            started.kill()
            out, err = started.communicate()
            err += f"\nstopped after {timeout_s:g} s"
        wall = time.perf_counter() - begin
    watcher.join()
    return Run(wall_s=wall, peak_mb=max(peaks), out=out, failed=err[-2000:] if started.returncode else None)


def _watch(pid: int, peaks: list[float]) -> None:
    try:
        root = psutil.Process(pid)
        while root.is_running() and root.status() != psutil.STATUS_ZOMBIE:
            peaks.append(_tree_mb(root))
            time.sleep(TICK_S)
    except psutil.Error:
        return


def _tree_mb(root: psutil.Process) -> float:
    return sum(_own_mb(process.pid) for process in [root, *root.children(recursive=True)])


def _own_mb(pid: int) -> float:
    """Resident memory: pages that several processes share are counted once in all where the kernel tells."""
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    return 0.0
