"""Folded stacks ("frame;frame;frame count") as py-spy's raw format has them, into threads and activities.

Names in it come from the watched process and are hostile: lines may be cut, endless or nonsense. What cannot
be read is left out; nothing is ever evaluated.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from advisor.reports.escape import terminal
from advisor.telemetry.stacks_activity import (
    DEPTH,
    ENTERING,
    WAITING,
    FrameText,
    Named,
    innermost_python,
    name_activity,
    shown_frame,
)
from rules.stacks import StackGroup

LINES_LIMIT = 10_000
LINE_LIMIT = 64_000
THREADS_LIMIT = 256
GROUPS_LIMIT = 64
NAME_LIMIT = 48
FRAME_LIMIT = 160
FUNCTION_LIMIT, FILE_LIMIT = 200, 400
# Activities below this share of a thread's samples are no evidence, and are left out.
SHOWN_FRAC = 0.005
# Less time off the core than this may be the clocks, which begin before the samples do.
BLOCKED_FRAC = 0.15
# A main thread that waits this much for another thread of its own feeds nothing.
ONLY_WAITS = 0.95

_COUNT = re.compile(r"^(?P<stack>.*\S) (?P<count>\d{1,9})$")
_THREAD = re.compile(r"^thread \((?P<id>0x[0-9A-Fa-f]{1,16}|\d{1,20})\)(?:: ?(?P<name>.*))?$")

SourceLine = Callable[[str, int], str]


class Thread(NamedTuple):
    """A thread's number as the sampler gives it (the kernel's, where it knows that), and its name."""

    number: int
    name: str


class Stack(NamedTuple):
    """One distinct stack of a thread, innermost frame first, and how often it was seen."""

    thread: Thread
    frames: tuple[FrameText, ...]
    seen: int


def parse(text: str) -> list[Stack]:
    """Every line that can be read; at most LINES_LIMIT of them."""
    lines = text.splitlines()[:LINES_LIMIT]
    return [stack for stack in map(_stack, lines) if stack is not None]


def _stack(line: str) -> Stack | None:
    found = _COUNT.match(line) if len(line) <= LINE_LIMIT else None
    if found is None:
        return None
    head, *frames = found["stack"].split(";")
    thread = _THREAD.match(head)
    if thread is None:
        return None
    named = Thread(int(thread["id"], 0), (thread["name"] or "").strip())
    return Stack(named, tuple(_frame(text) for text in reversed(frames[-DEPTH:])), int(found["count"]))


def _frame(text: str) -> FrameText:
    """ "function (file:line)"; without the line where there is none. Cut, since patterns search in it."""
    function, opened, place = text.removesuffix(")").rpartition(" (")
    if not opened or not text.endswith(")"):
        return FrameText(text[:FUNCTION_LIMIT], "")
    file, colon, line = place.rpartition(":")
    if not colon or not line.isascii() or not line.isdigit() or len(line) > 9:
        return FrameText(function[:FUNCTION_LIMIT], place[-FILE_LIMIT:])
    return FrameText(function[:FUNCTION_LIMIT], file[-FILE_LIMIT:], int(line))


def by_thread(stacks: Iterable[Stack]) -> dict[Thread, list[Stack]]:
    """Stacks by thread, the threads with the most samples first."""
    out: dict[Thread, list[Stack]] = {}
    for stack in stacks:
        out.setdefault(stack.thread, []).append(stack)
    ordered = sorted(out.items(), key=lambda item: -sum(s.seen for s in item[1]))
    return dict(ordered[:THREADS_LIMIT])


class ThreadTime(NamedTuple):
    """A thread by the kernel's count, as shares of the time: on a core, and waiting for one."""

    on_cpu: float
    runnable: float


class Tally(NamedTuple):
    """One thread: samples by activity, and for each activity the frame that named it most often."""

    thread: Thread
    samples: int
    counts: Counter[str]
    frames: Mapping[str, FrameText]

    def frac(self, activity: str) -> float:
        """Share of the thread's samples."""
        return self.counts[activity] / self.samples if self.samples else 0.0

    @property
    def works(self) -> float:
        """Share of samples in which it neither waits nor sleeps."""
        return sum(count for slug, count in self.counts.items() if slug not in WAITING) / max(1, self.samples)


def tally(thread: Thread, stacks: Sequence[Stack], source: SourceLine) -> Tally:
    """Samples of one thread by activity."""
    counts: Counter[str] = Counter()
    frames: dict[str, Counter[FrameText]] = {}
    for stack in stacks:
        named = _named(stack, source)
        counts[named.activity] += stack.seen
        frames.setdefault(named.activity, Counter())[shown_frame(stack.frames, named.frame)] += stack.seen
    best = {slug: seen.most_common(1)[0][0] for slug, seen in frames.items()}
    return Tally(thread, sum(counts.values()), counts, best)


def _named(stack: Stack, source: SourceLine) -> Named:
    leaf = innermost_python(stack.frames)
    return name_activity(stack.frames, source(leaf.file, leaf.line) if leaf is not None else "")


def entered(one: Tally, time: ThreadTime | None) -> Tally:
    """Samples at a `with`, told apart: as far as the thread was off its core it waited for a lock there."""
    standing = one.counts[ENTERING]
    if not standing:
        return one
    off = 0.0 if time is None else max(0.0, 1.0 - time.on_cpu - time.runnable)
    locked = min(standing, round(off * one.samples))
    counts = Counter({slug: seen for slug, seen in one.counts.items() if slug != ENTERING})
    counts += Counter({"lock": locked, "compute": standing - locked})
    here = one.frames[ENTERING]
    frames = {"lock": here, "compute": here, **one.frames}
    return Tally(one.thread, one.samples, counts, frames)


def with_blocked(one: Tally, time: ThreadTime | None) -> Tally:
    """Samples in plain Python beyond the time on a core, or waiting for one or the GIL: it stood there."""
    if time is None or not one.samples:
        return one
    blocked = round((one.frac("compute") - time.on_cpu - time.runnable) * one.samples)
    if blocked < BLOCKED_FRAC * one.samples:
        return one
    counts = one.counts + Counter({"blocked": blocked})
    counts["compute"] -= blocked
    return Tally(one.thread, one.samples, +counts, {"blocked": one.frames["compute"], **one.frames})


def with_gil(one: Tally, time: ThreadTime | None, others_hold: float) -> Tally:
    """Samples in plain Python at which the thread cannot have run, counted as waiting for the GIL.

    A thread in Python code is on a core, waits for one, or waits for the interpreter's lock; the first two
    are what the kernel counts. No more is moved than others held the lock (`others_hold`, a share).
    """
    if time is None or not one.samples:
        return one
    plain = one.frac("compute") + one.frac("launch")
    waits = min(plain - time.on_cpu - time.runnable, others_hold)
    moved = round(waits * one.samples)
    if waits < 0.05 or moved <= 0:
        return one
    counts = Counter(one.counts)
    counts["gil"] += moved
    for slug in ("compute", "launch"):
        taken = min(counts[slug], moved)
        counts[slug] -= taken
        moved -= taken
    frames = {"gil": one.frames.get("compute") or one.frames["launch"], **one.frames}
    return Tally(one.thread, one.samples, +counts, frames)


def feeding(tallies: Sequence[Tally], pid: int) -> Thread | None:
    """The thread that feeds the GPU: the main one, or the busiest where that one only waits for others."""
    if not tallies:
        return None
    main = next((t for t in tallies if is_main(t.thread, pid)), None)
    busiest = max(tallies, key=lambda t: t.works)
    if main is None:
        return busiest.thread
    passive = sum(main.frac(slug) for slug in ("lock", "idle", "child", "blocked"))
    return busiest.thread if passive >= ONLY_WAITS and busiest.works >= 0.2 else main.thread


def is_main(thread: Thread, pid: int) -> bool:
    """Whether it is the process's first thread."""
    return thread.number == pid or thread.name == "MainThread"


def groups(tallies: Sequence[Tally], pid: int) -> tuple[StackGroup, ...]:
    """Activities of every thread, those of the feeding one first, then by share; names escaped."""
    chosen = feeding(tallies, pid)
    found = [_group(one, slug, one.thread == chosen) for one in tallies for slug in one.counts]
    shown = [group for group in found if group.frac >= SHOWN_FRAC]
    return tuple(sorted(shown, key=lambda g: (not g.main, -g.frac))[:GROUPS_LIMIT])


def _group(one: Tally, slug: str, main: bool) -> StackGroup:
    name = one.thread.name or str(one.thread.number)
    return StackGroup(
        activity=slug,
        frac=round(one.frac(slug), 4),
        thread=terminal(name[:NAME_LIMIT]),
        main=main,
        frame=frame_text(one.frames[slug]),
    )


def frame_text(frame: FrameText) -> str:
    """ "function (file:line)", "function calling another (file:line)", one line; of a long path the end."""
    place = f"{frame.file}:{frame.line}" if frame.line else frame.file
    room = max(20, FRAME_LIMIT - min(len(frame.function), 60) - 3)
    place = place if len(place) <= room else "…" + place[1 - room :]
    called = f" calling {frame.inner[:60]}" if frame.inner else ""
    return terminal(f"{frame.function[:60]}{called} ({place})" if place else frame.function[:FRAME_LIMIT])
