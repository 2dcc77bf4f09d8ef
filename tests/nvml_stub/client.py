"""Asks the simulated library through the real pynvml, each time in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import time
from typing import Any

from tests.conftest import NvmlStub

PRELUDE = """
import ctypes, json, os, sys, time
import pynvml as p

def code(call, *arguments):
    try:
        return call(*arguments)
    except p.NVMLError as error:
        return f"E{error.value}"

def out(value):
    print(json.dumps(value))

def sample(handle, gi=None):
    taken = p.nvmlGpmSampleAlloc()
    return p.nvmlGpmSampleGet(handle, taken) if gi is None else p.nvmlGpmMigSampleGet(handle, gi, taken)

def metrics(first, second, ids):
    get = p.c_nvmlGpmMetricsGet_t()
    get.version, get.numMetrics, get.sample1, get.sample2 = 1, len(ids), first, second
    for i, metric in enumerate(ids):
        get.metrics[i].metricId, get.metrics[i].nvmlReturn, get.metrics[i].value = metric, 777, -1
    p.nvmlGpmMetricsGet(get)
    return [[m.metricId, m.nvmlReturn, round(m.value, 3)] for m in get.metrics[:len(ids)]]

def measure(handle, ids, gi=None, seconds=0.11):
    first = sample(handle, gi)
    time.sleep(seconds)
    return metrics(first, sample(handle, gi), ids)
"""

START = "p.nvmlInit()\nh = p.nvmlDeviceGetHandleByIndex(0)\n"


def launch(
    env: dict[str, str], code: str, start: str = START, *arguments: str
) -> subprocess.CompletedProcess[str]:
    """Runs the code after the prelude."""
    program = PRELUDE + start + textwrap.dedent(code)
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env=env,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def ask(env: dict[str, str], code: str, start: str = START) -> Any:
    """What the code printed with out()."""
    done = launch(env, code, start)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def node(gpu: dict[str, Any] | None = None, **keys: Any) -> dict[str, Any]:
    """A scenario of one GPU."""
    return {"gpus": [gpu or {}], **keys}


def at(nvml_stub: NvmlStub, gpu: dict[str, Any], t: float, code: str, **keys: Any) -> Any:
    """What the code prints at scenario time t; a large negative or positive t costs no waiting."""
    return ask(nvml_stub.env(node(gpu, t0=time.time() - t, **keys)), code)
