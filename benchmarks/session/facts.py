"""What the driver answers: the cost of its calls, GPM's smallest interval, and whether GPM needs root."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

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
