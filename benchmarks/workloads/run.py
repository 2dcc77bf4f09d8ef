#!/usr/bin/env python3
"""Run one labelled workload in this process, and account for it.

    python -m benchmarks.workloads.run NAME [--variant base|fix] [--seconds 10] [--device cuda|cpu] [--small]
                                            [--seed 1] [--accounting FILE]
    python -m benchmarks.workloads.run --list

Prints one JSON line when it starts to step (`started`) and one when it is done (its Account, see
benchmarks/workloads/spec.py). SIGUSR1: enough, finish the step and account. SIGTERM and Ctrl-C end it and its
workers at once. Exit codes: 0 done, 1 it failed, 2 wrong usage, 3 this machine cannot run it, 130 and 143
ended by a signal; of 1 and 3 the Account says why.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from benchmarks.workloads.catalogue import WORKLOADS
from benchmarks.workloads.hostwork import close, tie_to_parent
from benchmarks.workloads.spec import Account, Bench, Step, UnavailableError, Workload

WARM_STEPS, WARM_S = 3, 1.0
# Steps between two synchronisations: as many as take about this long, so that neither does the queue grow
# without end nor waiting for the device leave gaps that count.
SYNC_S, MOST_STEPS = 0.1, 1024
FAILED, USAGE, CANNOT_RUN = 1, 2, 3


class Counting:
    """Steps run, and what they returned, added up. enough: set by SIGUSR1."""

    def __init__(self, bench: Bench, step: Step) -> None:
        self._bench, self._step = bench, step
        self._between = 1
        self.enough = False

    def warm(self) -> None:
        """The first steps, which compile, allocate and fill caches."""
        begin = time.perf_counter()
        for _ in range(WARM_STEPS):
            self._step()
            self._bench.sync()
            if time.perf_counter() - begin > WARM_S:
                break

    def run(self, seconds: float) -> Account:
        """Steps until `seconds` have passed, and the device is done with all of them."""
        counts: dict[str, float] = {}
        steps, begin = 0, time.perf_counter()
        synced = begin
        while time.perf_counter() - begin < seconds and not self.enough:
            for name, value in self._step().items():
                counts[name] = counts.get(name, 0.0) + value
            steps += 1
            if steps % self._between == 0:
                synced = self._sync(synced)
        self._bench.sync()
        return Account(wall_s=time.perf_counter() - begin, steps=steps, counts=counts, pid=os.getpid())

    def _sync(self, last: float) -> float:
        self._bench.sync()
        now = time.perf_counter()
        if now - last < SYNC_S / 2:
            self._between = min(MOST_STEPS, self._between * 2)
        elif now - last > SYNC_S * 2:
            self._between = max(1, self._between // 2)
        return now


def bench(torch: Any, device: str, *, small: bool, seed: int, scratch: str) -> Bench:
    """Where a workload runs. Raises UnavailableError where torch does not see the device."""
    if device == "cuda" and not torch.cuda.is_available():
        raise UnavailableError(f"torch {torch.__version__} sees no CUDA device")
    if device == "cpu":  # a pool that waits for a busy core makes tiny steps last a hundred times as long
        torch.set_num_threads(1)
    random.seed(seed)
    torch.manual_seed(seed)
    where: Any = device
    return Bench(
        torch=torch, cupy=lambda: _cupy(device), device=where, small=small, seed=seed, scratch=scratch
    )


def _cupy(device: str) -> Any:
    if device == "cpu":
        raise UnavailableError("cupy needs a GPU")
    try:
        import cupy
    except ImportError as error:
        raise UnavailableError(f"cupy cannot be imported: {error}") from error
    return cupy


def _torch() -> Any:
    try:
        import torch
    except ImportError as error:
        raise UnavailableError(f"torch cannot be imported: {error}") from error
    return torch


def version_of(name: str) -> str | None:
    """Version of an installed distribution whose name begins so; None without one. Imports nothing."""
    from importlib import metadata

    names = (d for d in metadata.distributions() if (d.metadata["Name"] or "").lower().startswith(name))
    return next((d.version for d in names), None)


def chosen(workload: Workload, variant: str) -> Any:
    """The variant's setup. Raises UnavailableError where the workload has none."""
    found = workload.fixed if variant == "fix" else workload.setup
    if found is None:
        what = "fix to run" if variant == "fix" else "process"
        raise UnavailableError(f"{workload.name} has no {what}")
    return found


def run(workload: Workload, args: argparse.Namespace) -> Account:
    """Set the workload up and run it. Raises what it raises; its workers have ended afterwards."""
    setup = chosen(workload, args.variant)
    torch = _torch()
    with tempfile.TemporaryDirectory(prefix=f"{workload.name}-") as scratch, _no_children():
        where = bench(torch, args.device, small=args.small, seed=args.seed, scratch=scratch)
        step = setup(where)
        try:
            counting = Counting(where, step)
            counting.warm()
            _on_enough(counting)
            _say(_started(torch, args.device))
            return counting.run(args.seconds)
        finally:
            close(step)


def _started(torch: Any, device: str) -> Mapping[str, Any]:
    name = torch.cuda.get_device_name() if device == "cuda" else "CPU"
    return {
        "started": True,
        "pid": os.getpid(),
        "device": name,
        "torch": str(torch.__version__),
        "cupy": version_of("cupy"),
    }


def _on_enough(counting: Counting) -> None:
    def enough(*_: object) -> None:
        counting.enough = True

    signal.signal(signal.SIGUSR1, enough)


@contextlib.contextmanager
def _no_children() -> Iterator[None]:
    """Afterwards no child process is left."""
    try:
        yield
    finally:
        children = multiprocessing.active_children()
        for child in children:
            child.terminate()
        for child in children:
            child.join(2)
            if child.is_alive():
                child.kill()


def _say(line: Mapping[str, Any]) -> None:
    print(json.dumps(line), flush=True)


def _end(number: int, _: object) -> None:
    signal.signal(number, signal.SIG_IGN)
    raise SystemExit(128 + number)


def accounted(workload: Workload, args: argparse.Namespace) -> tuple[Account, int]:
    """The Account and the exit code; what goes wrong is in the Account."""
    try:
        return run(workload, args), 0
    except UnavailableError as error:
        return Account(pid=os.getpid(), error=str(error)), CANNOT_RUN
    except Exception as error:  # a workload may fail in any way, and its Account says how
        return Account(pid=os.getpid(), error=f"{type(error).__name__}: {error}"[:400]), FAILED


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.workloads.run",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", nargs="?", metavar="NAME")
    parser.add_argument("--list", action="store_true", help="name every workload, and exit")
    parser.add_argument("--variant", choices=("base", "fix"), default="base")
    parser.add_argument("--seconds", type=positive, default=10.0)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--small", action="store_true", help="everything shrunk, to test the program itself")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--accounting", type=Path, help="also write the Account to this file")
    parser.add_argument("--tied", action="store_true", help="end with the process that started this one")
    args = parser.parse_args(argv)
    if not args.list and args.name not in WORKLOADS:
        parser.error(
            f"there is no workload called {args.name}; --list names them" if args.name else "name one"
        )
    return args


def positive(text: str) -> float:
    """Seconds given by a user: finite and more than 0. Raises what argparse reports."""
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is no length of time")
    return value


def main(argv: list[str] | None = None) -> int:
    """Run what the command line asks for."""
    args = _arguments(argv)
    if args.list:
        for name, w in WORKLOADS.items():
            print(f"{name:26} {w.label:8} {w.cause:16} {w.fix or '-'}")
        return 0
    if args.tied:
        tie_to_parent()
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGINT, _end)
    account, code = accounted(WORKLOADS[args.name], args)
    line = msgspec.json.encode(account)
    if args.accounting:
        args.accounting.write_bytes(line)
    print(line.decode(), flush=True)
    if account.error is not None:
        print(f"{args.name}: {account.error}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
