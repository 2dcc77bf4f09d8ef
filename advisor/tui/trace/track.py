"""A track: one device of one trace file, with everything that its timeline is drawn from."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from advisor.traces.attribution import Attribution
from advisor.traces.intervals import Spans, gaps, join
from advisor.traces.timeline import Timeline
from advisor.tui.text import safe
from advisor.tui.trace.cover import Cover, Ints
from advisor.tui.trace.lanes import Rows, StreamLane, ThreadLane, busy_threads, stream_lanes, thread_lane
from advisor.tui.trace.window import Window
from rules.traces.records import BUSY, CAUSES, DeviceTrace, TraceFile

# The longest gaps that together hold this part of the idle time are those worth a jump.
LONG_GAPS_FRAC = 0.5
MOST_GAPS = 100


class Track:
    """One device. Nothing is computed before it is drawn."""

    def __init__(
        self,
        timeline: Timeline,
        attribution: Attribution,
        figures: DeviceTrace,
        file: TraceFile | None,
        natures: NDArray[np.uint8],
    ) -> None:
        """natures: of every row of the GPU table, index into BUSY."""
        self.timeline = timeline
        self.attribution = attribution
        self.figures = figures
        self.file = file
        self.natures = natures
        self._threads: dict[int, ThreadLane] = {}

    @property
    def label(self) -> str:
        """ "GPU 1", with the rank where the file names one."""
        rank = self.figures.rank
        return f"GPU {self.figures.device}" if rank is None else f"r{rank} GPU {self.figures.device}"

    def window(self) -> Window:
        """All of it."""
        return Window.whole(self.attribution.start_ns, self.attribution.end_ns)

    @cached_property
    def covers(self) -> dict[str, Cover]:
        """Class of BUSY or cause of CAUSES -> when. They are disjoint and cover the track exactly."""
        return class_covers(self.attribution)

    @cached_property
    def rows(self) -> NDArray[np.intp]:
        """The device's rows of the GPU table."""
        device = self.timeline.gpu.device
        low, high = (
            int(np.searchsorted(device, self.figures.device, side=side)) for side in ("left", "right")
        )
        return np.arange(low, high)

    @cached_property
    def all_rows(self) -> Rows:
        """The same by start, to look up what ran when."""
        return Rows.of(self.rows, self.timeline.gpu.start_ns, self.timeline.gpu.end_ns)

    @cached_property
    def streams(self) -> list[StreamLane]:
        """Streams, busiest first."""
        return stream_lanes(self.timeline, self.rows, self.natures)

    @cached_property
    def threads(self) -> list[int]:
        """Host threads, the one that launches most first."""
        return busy_threads(self.timeline, self.rows)

    def thread(self, number: int) -> ThreadLane:
        """The lane of one thread, made when it is first drawn."""
        if number not in self._threads:
            self._threads[number] = thread_lane(self.timeline, number)
        return self._threads[number]

    @cached_property
    def gaps(self) -> Spans:
        """All times without anything on the device."""
        return gaps(join(*(self.covers[name].spans for name in BUSY)))

    @cached_property
    def long_gaps(self) -> Spans:
        """The longest gaps by time: those that hold half of the idle time, as far as one can look at them."""
        lengths = self.gaps.end_ns - self.gaps.start_ns
        order = np.argsort(-lengths, kind="stable")
        upto = int(np.searchsorted(np.cumsum(lengths[order]), lengths.sum() * LONG_GAPS_FRAC)) + 1
        chosen = np.sort(order[: min(upto, MOST_GAPS)])
        return Spans(self.gaps.start_ns[chosen], self.gaps.end_ns[chosen])

    @cached_property
    def steps(self) -> tuple[Ints, Ints, Ints]:
        """Start, end and number of each step."""
        steps = self.timeline.steps
        return steps.start_ns, steps.end_ns, steps.number

    def name_of(self, gpu_row: int) -> str:
        """What ran there, safe to show."""
        return self.name(int(self.timeline.gpu.name[gpu_row]))

    def name(self, index: int) -> str:
        """An interned name, safe to show."""
        names = self.timeline.names
        return safe(names[index]) if 0 <= index < len(names) else "unnamed"

    def kernel_cover(self, name: str) -> Cover:
        """When a kernel of this name ran."""
        numbers = [index for index, known in enumerate(self.timeline.names) if known == name]
        gpu = self.timeline.gpu
        mine = self.rows[np.isin(gpu.name[self.rows], numbers)]
        return Cover.of(gpu.start_ns[mine], gpu.end_ns[mine])

    def thread_words(self, number: int) -> str:
        """A thread's name, or its id."""
        known = self.timeline.threads
        if not 0 <= number < len(known):
            return f"thread {number}"
        return safe(known[number].label) or f"thread {known[number].tid}"


def class_covers(attribution: Attribution) -> dict[str, Cover]:
    """The parts of an attribution, class by class and cause by cause."""
    idle, busy = attribution.idle, attribution.busy
    found = {name: (busy.nature == i, busy.start_ns, busy.end_ns) for i, name in enumerate(BUSY)}
    found |= {name: (idle.cause == i, idle.start_ns, idle.end_ns) for i, name in enumerate(CAUSES)}
    return {name: Cover.of(start[of], end[of]) for name, (of, start, end) in found.items()}
