"""From the order that a process took to the trace that it writes: both steps and writing take time."""

from __future__ import annotations

import os
import time
from pathlib import Path

from advisor.traces.errors import TraceError
from advisor.traces.ondemand.places import Scratch
from advisor.traces.ondemand.protocol import Ask
from advisor.traces.ondemand.server import Patience, Say
from advisor.traces.ondemand.target import Target, state_of

TICK_S = 0.2
# A file that has not grown for this long, and ends as JSON does, is whole.
QUIET_S = 0.6
# The profiler writes under this name, and renames the file when it is whole.
_UNFINISHED = ".tmp"


def wait_for_trace(who: Target, ask: Ask, scratch: Scratch, say: Say, patience: Patience) -> str:
    """The name of the file that the process wrote into `scratch`.

    It appears when all steps are done, so that patience is for all of them. A process that ends meanwhile
    leaves what it had written. Raises TraceError where that is nothing, or where patience ends.
    """
    name = Path(ask.written_by(who.inner_pid)).name
    watch = _Watch(who, ask, scratch, say, patience, name)
    while not watch.whole():
        if state_of(who) is None:
            return _left_behind(who, scratch, name, say)
        if watch.over():
            return watch.given_up()
        watch.tell()
        time.sleep(TICK_S)
    return name


def what(ask: Ask) -> str:
    """What was asked for, in words."""
    return f"{ask.seconds:g} s" if ask.steps is None else f"{ask.steps} step{'s' if ask.steps > 1 else ''}"


def _left_behind(who: Target, scratch: Scratch, name: str, say: Say) -> str:
    if scratch.size(name) <= 0:
        if scratch.size(name + _UNFINISHED) <= 0:
            scratch.remove()
            raise TraceError(f"process {who.pid} ended before it wrote a trace", "")
        scratch.rename(name + _UNFINISHED, name)
    say(f"process {who.pid} ended; what it had written is read")
    return name


class _Watch:
    """The file as it grows, and how long that may take."""

    def __init__(
        self, who: Target, ask: Ask, scratch: Scratch, say: Say, patience: Patience, name: str
    ) -> None:
        self._who, self._ask, self._scratch, self._say, self._patience = who, ask, scratch, say, patience
        self._name = name
        self._began = self._since = self._told = time.monotonic()
        self._size = self._unfinished = -1
        self._until = self._began + _allowed_s(ask, patience)

    def whole(self) -> bool:
        """Whether the file is complete."""
        now = time.monotonic()
        size, unfinished = self._scratch.size(self._name), self._scratch.size(self._name + _UNFINISHED)
        if (size, unfinished) != (self._size, self._unfinished):
            self._size, self._unfinished, self._since = size, unfinished, now
            self._until = max(self._until, now + self._patience.write_s)
        return size > 0 and now - self._since >= QUIET_S and _ends_well(self._scratch, self._name)

    def over(self) -> bool:
        """Whether patience is."""
        return time.monotonic() >= self._until

    def given_up(self) -> str:
        """The file as far as it goes. Raises TraceError where there is none."""
        if self._size > 0:
            return self._name
        waited = time.monotonic() - self._began
        raise TraceError(
            f"process {self._who.pid} wrote no trace of {what(self._ask)} in {waited:.0f} s{self._stopped()}",
            f"{later(self._who, self._scratch, self._name)}. Its profiler says on its standard error what "
            "it does",
        )

    def tell(self) -> None:
        """Says every now and then what is being waited for."""
        now = time.monotonic()
        if now - self._told < self._patience.tell_s:
            return
        self._told = now
        written = max(self._size, self._unfinished)
        said = f"it has written {written / 1e6:,.1f} MB" if written > 0 else f"waiting for {what(self._ask)}"
        self._say(f"{said}, {now - self._began:.0f} s so far{self._stopped()}; Ctrl-C leaves")

    def _stopped(self) -> str:
        if state_of(self._who) not in ("T", "t"):
            return ""
        return f"; the process is stopped (kill -CONT {self._who.pid} lets it go on)"


def later(who: Target, scratch: Scratch, name: str) -> str:
    """What a process that is no longer waited for still does."""
    return f"process {who.pid} goes on, and writes {scratch.outside / name} when it is done"


def _allowed_s(ask: Ask, patience: Patience) -> float:
    if ask.steps is None:
        return ask.seconds + patience.write_s
    return max(patience.steps_s, ask.steps * patience.step_s)


def _ends_well(scratch: Scratch, name: str) -> bool:
    handle = scratch.open(name)
    try:
        size = os.fstat(handle).st_size
        return os.pread(handle, 64, max(0, size - 64)).rstrip().endswith((b"}", b"]"))
    finally:
        os.close(handle)
