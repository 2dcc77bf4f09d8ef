"""Captures the traces under data/ anew: `python -m tests.advisor.traces.capture` (PyTorch, CPU alone).

torch-cpu-steps: three steps of a small training loop with a DataLoader, as torch.profiler writes them.
torch-cpu-ordered: what such a process wrote when `advisor trace --pid` asked it for three steps.
"""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, cast

from advisor.traces.ondemand.asking import Wanted, fetch_trace

DATA = Path(__file__).with_name("data")
PROFILED = Path(__file__).with_name("ondemand") / "profiled.py"


def steps(out: Path) -> None:
    """A training loop under torch.profiler, with a schedule and stacks."""
    import torch
    from torch.profiler import ProfilerActivity, profile, schedule

    data = torch.utils.data.TensorDataset(torch.randn(20, 8), torch.randn(20, 1))
    model = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with profile(
        activities=[ProfilerActivity.CPU],
        schedule=schedule(wait=0, warmup=1, active=3, repeat=1),
        record_shapes=True,
        with_stack=True,
    ) as profiler:
        for batch, target in torch.utils.data.DataLoader(data, batch_size=4):
            optimizer.zero_grad()
            torch.nn.functional.mse_loss(model(batch), target).backward()
            optimizer.step()
            profiler.step()
    profiler.export_chrome_trace(str(out))


def ordered(out: Path) -> None:
    """The same kind of loop, asked from outside."""
    environment = {**os.environ, "KINETO_USE_DAEMON": "1"}
    command = [sys.executable, str(PROFILED), "60"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as started:
        try:
            assert started.stdout is not None
            started.stdout.read(3)
            fetch_trace(Wanted(pid=started.pid, steps=3, save=out), lambda _: None)
        finally:
            started.kill()


def file(made: Path, name: str) -> None:
    """Compress a capture into data/, without what names this machine."""
    trace = cast("dict[str, Any]", json.loads(made.read_text()))
    trace["host_name"] = "node"
    trace["traceName"] = name
    text = json.dumps(trace).replace(sys.prefix, "/venv").replace(str(Path.cwd()), "/work")
    (DATA / name).write_bytes(gzip.compress(text.encode(), mtime=0))


def main() -> None:
    """Make both."""
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "trace.json"
        steps(made)
        file(made, "torch-cpu-steps.json.gz")
        ordered(made)
        file(made, "torch-cpu-ordered.json.gz")


if __name__ == "__main__":
    main()
