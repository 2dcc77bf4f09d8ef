"""What one torch operation costs the host: autograd on, autograd off, and compiled.

One element, so that nothing but the call costs; queued while the device spins, so that the host never waits.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from functools import cached_property, partial
from types import FrameType
from typing import Any

from probes.lab import Lab, UnsupportedError
from probes.meter import Observed
from probes.queued import Queue, batches
from probes.record import Conditions, Measurement
from probes.stats import quantile
from probes.timing import Call

ADD = "x.add_(1)"
# A compilation from nothing takes several seconds, most of them imports; longer than this it is given up.
COMPILE_NEEDS_S = 5.0
COMPILE_LIMIT_S = 40.0
_BESIDE_BATCHES = 5
# Triton's kernels need it (torch._inductor refuses older GPUs).
_TRITON_CC = 7.0

# Further figures, and why others are missing.
Beside = tuple[dict[str, float], dict[str, str]]


def dispatch(lab: Lab) -> Iterator[Measurement]:
    """Seconds that one torch operation takes on the host, by how it is called."""
    bench = Dispatch(lab)
    lab.say("torch dispatch", 0.0)
    yield from lab.attempt("dispatch_eager", bench.eager)
    yield from lab.unless_late("dispatch_no_grad", bench.no_grad)
    if not compile_wanted(lab):
        yield lab.unsupported(
            "dispatch_compiled", "in this mode; --full compiles, and so does naming `dispatch`"
        )
        return
    lab.say("torch.compile", 0.4)
    yield from lab.attempt("dispatch_compiled", bench.compiled)


def compile_wanted(lab: Lab) -> bool:
    """Whether there is time to compile: in full mode, or where this probe was asked for by name."""
    if lab.plan.mode == "quick":
        return False
    return "dispatch" in lab.plan.names or lab.time_left_s() >= COMPILE_NEEDS_S


class Dispatch:
    """One element on the device, and the queue it is worked on in."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab

    @cached_property
    def _queue(self) -> Queue:
        return Queue(self._lab.torch)

    @cached_property
    def _x(self) -> Any:
        return self._lab.torch.zeros(1, device=self._lab.device)

    def eager(self) -> Measurement:
        """Autograd on; beside it the same without a graph to record, and with one."""
        torch = self._lab.torch
        leaf = torch.zeros(1, device=self._lab.device, requires_grad=True)
        with torch.enable_grad():
            extra = self._beside(
                {
                    "out_of_place_s": partial(torch.add, self._x, 1),
                    "recorded_s": partial(torch.add, leaf, 1),
                }
            )
            return self._measure("dispatch_eager", partial(self._x.add_, 1), f"{ADD}, autograd on", extra)

    def no_grad(self) -> Measurement:
        """Autograd off; beside it inference mode."""
        torch = self._lab.torch
        with torch.inference_mode():
            y = torch.zeros(1, device=self._lab.device)
            extra = self._beside({"inference_mode_s": partial(y.add_, 1)})
        with torch.no_grad():
            return self._measure("dispatch_no_grad", partial(self._x.add_, 1), f"{ADD} in no_grad", extra)

    def compiled(self) -> Measurement:
        """The same operation through torch.compile."""
        torch = self._lab.torch
        if why := no_compiler(torch):
            raise UnsupportedError(why)
        try:
            with one_compile_thread(), time_limit(COMPILE_LIMIT_S):
                call = compiled_add(torch, self._x)
            return self._measure("dispatch_compiled", call, f"torch.compile of {ADD}, called", ({}, {}))
        finally:
            torch._dynamo.reset()

    def _measure(self, metric: str, call: Call, what: str, beside: Beside) -> Measurement:
        figures, calls, seen = self._figures(call)
        told = Conditions(
            method=f"{what}: perf_counter_ns around {calls} calls queued while the device spins",
            dtype="fp32",
            shape="1",
            calls=calls,
            window_s=quantile(figures, 0.5) * calls,
            extra=beside[0],
            missing=beside[1],
        )
        return self._lab.record(metric, figures, None, seen, told)

    def _figures(self, call: Call) -> tuple[list[float], int, Observed]:
        """Host seconds per call, calls a batch, and what the device went through."""
        found, seen = self._lab.metered(lambda: batches(self._lab, self._queue, call), quiet=True)
        return [b.host_s for b in found], found[0].calls, seen

    def _beside(self, calls: dict[str, Call]) -> Beside:
        """Other ways to call, or that there was no time for them."""
        if self._lab.plan.mode == "quick" or self._lab.time_left_s() <= 0:
            return {}, dict.fromkeys(calls, self._lab.no_time)
        return {name: self._median(call) for name, call in calls.items()}, {}

    def _median(self, call: Call) -> float:
        """Host seconds per call, of a few batches: enough for a figure that stands beside another."""
        self._queue.batch(call)
        return quantile([self._queue.batch(call).host_s for _ in range(_BESIDE_BATCHES)], 0.5)


def compiled_add(torch: Any, x: Any) -> Call:
    """A compiled `x.add_(1)`, compiled and run. Raises UnsupportedError where compiling is switched off."""

    def add(tensor: Any) -> Any:
        return tensor.add_(1)

    if getattr(importlib.import_module("torch._dynamo.config"), "disable", False):
        raise UnsupportedError("torch.compile is switched off in this environment")
    compiled = torch.compile(add, fullgraph=True)
    counters = importlib.import_module("torch._dynamo.utils").counters
    before = counters["stats"]["unique_graphs"]
    for _ in range(3):
        compiled(x)
    torch.cuda.synchronize()
    if counters["stats"]["unique_graphs"] == before:
        raise UnsupportedError("torch.compile did not compile a single operation here")
    return partial(compiled, x)


def no_compiler(torch: Any) -> str | None:
    """What torch.compile would need that is not here, or None."""
    if importlib.util.find_spec("triton") is None:
        return "torch.compile needs triton, which is not installed"
    major, minor = torch.cuda.get_device_capability()
    if major + minor / 10 < _TRITON_CC:
        return f"torch.compile needs compute capability 7.0, this GPU has {major}.{minor}"
    if not (os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang")):
        return "torch.compile needs a C compiler (gcc, clang or CC)"
    return None


@contextlib.contextmanager
def one_compile_thread() -> Iterator[None]:
    """Inductor compiles in this process, so that no pool of its own is left behind."""
    name = "TORCHINDUCTOR_COMPILE_THREADS"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        config = importlib.import_module("torch._inductor.config")
        with config.patch(compile_threads=1):
            yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


@contextlib.contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise TimeoutError in the main thread after so many seconds; in another thread there is no limit."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def late(_signal: int, _frame: FrameType | None) -> None:
        raise TimeoutError(f"not done after {seconds:g} s")

    before: Callable[[int, FrameType | None], Any] | int | None = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL if before is None else before)
