"""What it costs to launch a kernel, to wait for one, and to replay a CUDA graph of them.

The kernel does nothing: an empty one through cupy, and `torch.cuda._sleep(0)`, one thread that reads the
clock and ends, called past torch's dispatcher. Both are reported; the cheaper is the figure.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property, partial
from typing import Any

from probes.graphs import graphs
from probes.lab import Lab, device_lost, first_line
from probes.queued import Batch, Queue, batches
from probes.record import Conditions, Measurement
from probes.stats import quantile
from probes.timing import Call, CpuTimer

SPIN = "torch.cuda._sleep(0)"
EMPTY = "cupy RawKernel"
_SOURCE = 'extern "C" __global__ void advisor_empty() {}'
WALL_LAUNCHES = 10_000
WALL_WINDOWS = 5
_SYNCS = 100
_ROUND_TRIPS = 50


def launch(lab: Lab) -> Iterator[Measurement]:
    """Launch throughput and call cost, synchronisation, and CUDA graph replay; seconds each."""
    bench = Launches(lab)
    lab.say("kernel launches", 0.0)
    yield from lab.attempt("launch_interval", bench.interval)
    yield from lab.attempt("launch_call", bench.call)
    lab.say("synchronisation", 0.3)
    yield from lab.attempt("sync_idle", bench.sync_idle)
    yield from lab.attempt("sync_round_trip", bench.round_trip)
    lab.say("CUDA graphs", 0.5)
    yield from graphs(lab)
    lab.say("launches on the wall clock", 0.8)
    if lab.plan.mode == "quick":
        yield lab.left_out("launch_wall")
    else:
        yield from lab.unless_late("launch_wall", bench.wall)


class Launches:
    """The launchers there are, and what was seen of each."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._missing: dict[str, str] = {}

    @cached_property
    def launchers(self) -> dict[str, Call]:
        """A call that launches a kernel that does nothing, by what it is called."""
        found: dict[str, Call] = {}
        try:
            found[EMPTY] = empty_kernel(self._lab.cupy)
        except Exception as error:
            if device_lost(error):
                raise
            self._missing["cupy"] = first_line(error)
        return {**found, SPIN: partial(self._lab.torch.cuda._sleep, 0)}

    @cached_property
    def _seen(self) -> tuple[dict[str, list[Batch]], Any]:
        """Batches of each launcher, and what the device went through."""
        queue = Queue(self._lab.torch)

        def run() -> dict[str, list[Batch]]:
            return {name: batches(self._lab, queue, call) for name, call in self.launchers.items()}

        return self._lab.metered(run, quiet=True)

    @cached_property
    def cheapest(self) -> str:
        """The launcher whose call costs the host least."""
        by_name, _ = self._seen
        return min(by_name, key=lambda name: quantile([b.host_s for b in by_name[name]], 0.5))

    def interval(self) -> Measurement:
        """Seconds from one kernel to the next on the device, when the host is ahead."""
        by_name, seen = self._seen
        figures = {name: [b.device_s for b in found] for name, found in by_name.items()}
        text = "{} launches of {} queued behind a spinning kernel, between two CUDA events"
        return self._record("launch_interval", figures, by_name, seen, text)

    def call(self) -> Measurement:
        """Seconds a launch takes on the host while the device is busy."""
        by_name, seen = self._seen
        figures = {name: [b.host_s for b in found] for name, found in by_name.items()}
        text = "perf_counter_ns around {} launches of {} queued while the device spins"
        return self._record("launch_call", figures, by_name, seen, text)

    def wall(self) -> Measurement:
        """Wall-clock seconds per launch of 10,000, with the wait for the last."""
        torch, name = self._lab.torch, self.cheapest

        def burst() -> None:
            one = self.launchers[name]
            for _ in range(WALL_LAUNCHES):
                one()
            torch.cuda.synchronize()

        method = f"wall clock of {WALL_LAUNCHES} launches of {name} and one synchronisation"
        return self._on_host("launch_wall", burst, 1, WALL_WINDOWS, WALL_LAUNCHES, method)

    def sync_idle(self) -> Measurement:
        """Seconds that waiting for a stream takes which has nothing to do."""
        stream = self._lab.torch.cuda.current_stream()
        return self._on_host("sync_idle", stream.synchronize, _SYNCS, 20, 1, "Stream.synchronize, idle")

    def round_trip(self) -> Measurement:
        """Seconds from a launch until the host knows that it is done."""
        stream, name = self._lab.torch.cuda.current_stream(), self.cheapest
        one = self.launchers[name]

        def trip() -> None:
            one()
            stream.synchronize()

        method = f"{name}, then Stream.synchronize"
        return self._on_host("sync_round_trip", trip, _ROUND_TRIPS, 20, 1, method)

    def _on_host(
        self, metric: str, call: Call, calls: int, windows: int, work: int, method: str
    ) -> Measurement:
        """A record of calls on the host's clock, the device idle at the start of each window."""
        self._lab.torch.cuda.synchronize()
        call()
        taken, seen = self._lab.metered(lambda: CpuTimer().windows(call, calls, windows), quiet=True)
        figures = [s / calls / work for s in taken]
        told = Conditions(
            method=method, calls=calls * work, window_s=quantile(taken, 0.5), missing=self._missing
        )
        return self._lab.record(metric, figures, None, seen, told)

    def _record(
        self,
        metric: str,
        figures: dict[str, list[float]],
        by_name: dict[str, list[Batch]],
        seen: Any,
        text: str,
    ) -> Measurement:
        """The cheapest launcher's figures, the others beside them."""
        tried = {name: quantile(values, 0.5) for name, values in figures.items()}
        name = min(tried, key=tried.__getitem__)
        calls = by_name[name][0].calls
        told = Conditions(
            method=text.format(calls, name),
            calls=calls,
            window_s=tried[name] * calls,
            tried=tried,
            missing=self._missing,
        )
        return self._lab.record(metric, figures[name], None, seen, told)


def empty_kernel(cupy: Any) -> Call:
    """A launch of an empty kernel on cupy's current stream, compiled and run once."""
    kernel = cupy.RawKernel(_SOURCE, "advisor_empty")
    kernel((1,), (1,), ())
    cupy.cuda.runtime.deviceSynchronize()
    return partial(kernel, (1,), (1,), ())
