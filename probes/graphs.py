"""CUDA graphs of two lengths: the fixed cost of a replay, and what each node adds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property, partial
from typing import Any

import msgspec

from probes.lab import Lab, device_lost, first_line
from probes.meter import Observed
from probes.queued import Queue
from probes.record import Conditions, Measurement, Mode
from probes.stats import quantile
from probes.timing import Call, CpuTimer

SHORT, LONG = 20, 200
_REPLAYS = 20
_WINDOWS: dict[Mode, int] = {"quick": 8, "default": 30, "full": 60}
# Where the time is over before all are done.
_FEWEST_WINDOWS = 5
_DEVICE_BATCHES = 5
SPIN = "torch.cuda._sleep(0)"
ADD = "x.add_(1)"

Figures = Callable[[], dict[str, float]]


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """A replay of n nodes takes fixed_s + n * node_s seconds; one pair a window."""

    fixed_s: tuple[float, ...]
    node_s: tuple[float, ...]


def line(short_s: list[float], long_s: list[float]) -> Line:
    """The line through the times of a short and a long graph, window by window."""
    slopes = [(b - a) / (LONG - SHORT) for a, b in zip(short_s, long_s, strict=True)]
    fixed = [a - SHORT * slope for a, slope in zip(short_s, slopes, strict=True)]
    return Line(fixed_s=tuple(fixed), node_s=tuple(slopes))


def graphs(lab: Lab) -> Iterator[Measurement]:
    """The fixed cost of a replay, and the cost of each node; seconds. Both come from the same replays."""
    bench = Graphs(lab)
    if lab.time_left_s() <= 0:
        yield from (lab.left_out(metric) for metric in ("graph_replay", "graph_node"))
        return
    yield from lab.attempt("graph_replay", bench.replay)
    yield from lab.attempt("graph_node", bench.node)


class Graphs:
    """Graphs of kernels that do nothing, and but in quick mode of torch's smallest operation, in two lengths
    each."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab

    @cached_property
    def _calls(self) -> dict[str, Call]:
        spin = partial(self._lab.torch.cuda._sleep, 0)
        if self._lab.plan.mode == "quick":
            return {SPIN: spin}
        x = self._lab.torch.zeros(1, device=self._lab.device)
        return {SPIN: spin, ADD: partial(x.add_, 1)}

    @cached_property
    def _captured(self) -> dict[str, tuple[Any, Any]]:
        """The short and the long graph of each call."""
        torch = self._lab.torch
        return {n: (capture(torch, c, SHORT), capture(torch, c, LONG)) for n, c in self._calls.items()}

    @cached_property
    def _seen(self) -> tuple[dict[str, Line], Observed]:
        """Round trips of both lengths, alternating, so that both see the same clocks."""
        return self._lab.metered(
            lambda: {name: self._round_trips(pair) for name, pair in self._captured.items()}, quiet=True
        )

    def _round_trips(self, pair: tuple[Any, Any]) -> Line:
        short, long = (partial(self._trip, graph.replay) for graph in pair)
        taken: tuple[list[float], list[float]] = ([], [])
        while len(taken[1]) < _WINDOWS[self._lab.plan.mode]:
            if len(taken[1]) >= _FEWEST_WINDOWS and self._lab.time_left_s() <= 0:
                break
            for times, call in zip(taken, (short, long), strict=True):
                times += [s / _REPLAYS for s in CpuTimer().windows(call, _REPLAYS, 1)]
        return line(*taken)

    def _trip(self, call: Call) -> None:
        call()
        self._lab.torch.cuda.synchronize()

    def replay(self) -> Measurement:
        """What a replay costs beside its nodes: launch, start and synchronisation."""
        lines, seen = self._seen
        fixed = {name: list(found.fixed_s) for name, found in lines.items()}
        return self._record("graph_replay", fixed, "intercept", self._replay_extra, seen)

    def node(self) -> Measurement:
        """What each node adds to a replay."""
        lines, seen = self._seen
        slopes = {name: list(found.node_s) for name, found in lines.items()}
        return self._record("graph_node", slopes, "slope", self._node_extra, seen)

    def _record(
        self, metric: str, figures: dict[str, list[float]], part: str, extra: Figures, seen: Observed
    ) -> Measurement:
        beside, missing = self._beside(extra)
        told = Conditions(
            method=f"replay and synchronise graphs of {SHORT} and {LONG} nodes of {SPIN}: {part}",
            calls=_REPLAYS,
            tried={name: quantile(found, 0.5) for name, found in figures.items()},
            extra=beside,
            missing=missing,
        )
        return self._lab.record(metric, figures[SPIN], None, seen, told)

    def _beside(self, take: Figures) -> tuple[dict[str, float], dict[str, str]]:
        """Further figures, or why there are none: they never cost the main one."""
        if self._lab.plan.mode == "quick" or self._lab.time_left_s() <= 0:
            return {}, {"extra": self._lab.no_time}
        try:
            return take(), {}
        except Exception as error:
            if device_lost(error):
                raise
            return {}, {"extra": first_line(error)}

    def _replay_extra(self) -> dict[str, float]:
        """torch's operation LONG times, eagerly and by one replay; and the replay's call alone."""
        eager = self._calls[ADD]
        _, graph = self._captured[ADD]

        def one_by_one() -> None:
            for _ in range(LONG):
                eager()

        count = _WINDOWS[self._lab.plan.mode]
        times = [CpuTimer().windows(partial(self._trip, c), 1, count) for c in (one_by_one, graph.replay)]
        eager_s, replay_s = (quantile(found, 0.5) for found in times)
        return {
            f"eager_{LONG}_s": eager_s,
            f"replay_{LONG}_s": replay_s,
            "eager_over_replay": eager_s / replay_s,
            "call_s": self._queued(graph.replay)[0],
        }

    def _node_extra(self) -> dict[str, float]:
        """The slope on the device's clock, replays back to back."""
        short, long = (self._queued(graph.replay)[1] for graph in self._captured[SPIN])
        return {"node_device_s": (long - short) / (LONG - SHORT)}

    def _queued(self, call: Call) -> tuple[float, float]:
        """Seconds a call takes on the host and on the device, a few queued behind a spin."""
        queue = Queue(self._lab.torch)
        found = [queue.batch(call, 10) for _ in range(_DEVICE_BATCHES)]
        return quantile([b.host_s for b in found], 0.5), quantile([b.device_s for b in found], 0.5)


def capture(torch: Any, call: Call, nodes: int) -> Any:
    """A graph of `nodes` calls, warmed up and captured on a side stream, replayed once."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            call()
    torch.cuda.current_stream().wait_stream(side)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=side):
        for _ in range(nodes):
            call()
    graph.replay()
    torch.cuda.synchronize()
    return graph
