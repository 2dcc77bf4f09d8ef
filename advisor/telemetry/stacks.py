"""Stack samples of a running Python process, taken from outside with py-spy.

By default the process is never paused: py-spy reads its memory while it runs, and throws away what it catches
half-changed. That shows Python frames alone. Frames of C and CUDA libraries need the process to stand still
for the milliseconds that one sample takes; `native` asks for that.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from advisor.telemetry import stacks_parse as parsing
from advisor.telemetry.procfs import read_stat, read_text
from advisor.telemetry.stacks_pyspy import Ran, find_tool, never, record, tool_name
from advisor.telemetry.stacks_reasons import INSTALL, why_not, why_not_before
from advisor.telemetry.stacks_source import SourceLines
from rules.stacks import Stacks

RATE_HZ = 100
NATIVE_RATE_HZ = 20  # each sample pauses the process
SECONDS = 5.0
FEW_SAMPLES = 20

_PLAIN = ("--rate", str(RATE_HZ), "--threads", "--full-filenames", "--nonblocking")
_WITH_NATIVE = ("--rate", str(NATIVE_RATE_HZ), "--threads", "--full-filenames", "--idle", "--native")


def look(
    pid: int,
    seconds: float = SECONDS,
    *,
    native: bool = False,
    stop: Callable[[], bool] = never,
    tool: str | None = None,
) -> Stacks:
    """What the threads of process `pid` do, over about `seconds`. Never raises: `missing` says why not.

    stop: asked often; True ends the look. tool: py-spy's path, found where it is not given.
    """
    refused = why_not_before(pid)
    program = tool or find_tool()
    if refused or program is None:
        return nothing(pid, refused or INSTALL)
    with_clock = _Clock(pid)
    ran, holders = _both(program, pid, seconds, native, stop)
    made = _stacks(pid, tool_name(program), ran, holders, with_clock, native)
    if native and made.missing is not None and ran.why == "":
        return _without_native(pid, seconds, made.missing, stop, program)
    return made


def nothing(pid: int, why: str, tool: str = "py-spy") -> Stacks:
    """No look, and the reason."""
    return Stacks(pid=pid, tool=tool, samples=0, seconds=0.0, missing=why)


def _without_native(pid: int, seconds: float, why: str, stop: Callable[[], bool], tool: str) -> Stacks:
    """Native frames did not work (no unwinding there, or no ptrace): a plain look may."""
    import msgspec

    plain = look(pid, seconds, stop=stop, tool=tool)
    if plain.missing is not None:
        return plain
    return msgspec.structs.replace(plain, missing=f"without native frames: {why}")


def _both(
    tool: str, pid: int, seconds: float, native: bool, stop: Callable[[], bool]
) -> tuple[Ran, Ran | None]:
    """One run over all threads; beside it, where nothing is paused, one of whoever holds the GIL."""
    if native:
        stood = _stands_still(pid)
        ran = record(tool, pid, seconds, _WITH_NATIVE, stop)
        if not stood and ran.why:
            _let_go_on(pid)
        return ran, None
    held: list[Ran] = []
    beside = threading.Thread(
        target=lambda: held.append(record(tool, pid, seconds, (*_PLAIN, "--gil"), stop)),
        name="advisor-gil",
        daemon=True,
    )
    beside.start()
    try:
        ran = record(tool, pid, seconds, (*_PLAIN, "--idle"), stop)
    finally:
        beside.join()
    return ran, held[0] if held else None


def _stands_still(pid: int) -> bool:
    """Whether the process is stopped or traced."""
    seen = read_stat(f"/proc/{pid}/stat")
    return seen is not None and seen.state in ("stopped", "tracing-stop")


def _let_go_on(pid: int) -> None:
    """A sampler that had to be killed may leave its process stopped (ptrace(2), death of the tracer)."""
    if _stands_still(pid):
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGCONT)


def _stacks(pid: int, tool: str, ran: Ran, holders: Ran | None, clock: _Clock, native: bool) -> Stacks:
    stacks = parsing.parse(ran.text)
    if not stacks:
        return nothing(pid, ran.why or why_not(pid, ran.errors), tool)
    threads = parsing.by_thread(stacks)
    source = SourceLines(pid)
    times = clock.times()
    tallies = [
        parsing.entered(parsing.tally(thread, seen, source.line), times.get(_tid(thread, pid)))
        for thread, seen in threads.items()
    ]
    samples = max(one.samples for one in tallies)
    if not native:
        tallies = _with_waits(tallies, pid, holders, samples, times)
    few = f"only {samples} samples" if samples < FEW_SAMPLES else None
    rate = NATIVE_RATE_HZ if native else RATE_HZ
    return Stacks(
        pid=pid,
        tool=tool,
        samples=samples,
        seconds=round(samples / rate, 2),
        native=native,
        groups=parsing.groups(tallies, pid),
        missing=ran.why or few,
    )


def _with_waits(
    tallies: list[parsing.Tally],
    pid: int,
    holders: Ran | None,
    samples: int,
    times: Mapping[int, parsing.ThreadTime],
) -> list[parsing.Tally]:
    """Time off the core in plain Python: first as far as others held the GIL, the rest in some call."""
    held = _held(holders, samples)
    total = min(1.0, sum(held.values()))
    found: list[parsing.Tally] = []
    for one in tallies:
        clock = times.get(_tid(one.thread, pid))
        with_gil = parsing.with_gil(one, clock, total - held.get(one.thread, 0.0))
        found.append(parsing.with_blocked(with_gil, clock))
    return found


def _held(holders: Ran | None, samples: int) -> dict[parsing.Thread, float]:
    """Share of the samples at which each thread held the GIL."""
    found = parsing.by_thread(parsing.parse(holders.text)) if holders is not None else {}
    return {thread: sum(s.seen for s in seen) / samples for thread, seen in found.items()}


def _tid(thread: parsing.Thread, pid: int) -> int:
    return pid if parsing.is_main(thread, pid) else thread.number


class _Clock:
    """What the kernel counts of each thread's time, from now on (/proc/PID/task/TID/schedstat)."""

    def __init__(self, pid: int) -> None:
        self._tasks = Path(f"/proc/{pid}/task")
        self._begin = time.monotonic()
        self._first = self._read()

    def times(self) -> dict[int, parsing.ThreadTime]:
        """Thread id -> shares of the time since."""
        elapsed = max(1e-3, time.monotonic() - self._begin)
        both = {tid: (self._first[tid], now) for tid, now in self._read().items() if tid in self._first}
        return {
            tid: parsing.ThreadTime((now[0] - then[0]) / 1e9 / elapsed, (now[1] - then[1]) / 1e9 / elapsed)
            for tid, (then, now) in both.items()
        }

    def _read(self) -> dict[int, tuple[int, int]]:
        found: dict[int, tuple[int, int]] = {}
        try:
            names = [task.name for task in self._tasks.iterdir() if task.name.isdigit()]
        except OSError:
            return found
        for name in names[: parsing.THREADS_LIMIT]:
            try:
                on_cpu, waited, *_ = read_text(self._tasks / name / "schedstat").split()
                found[int(name)] = (int(on_cpu), int(waited))
            except (OSError, ValueError):
                continue
        return found
