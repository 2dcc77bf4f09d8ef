"""`advisor trace --pid`: a running PyTorch process is asked for the trace that is then read."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from advisor.cli.diagnostics import CliError, cannot_measure, note, warn

if TYPE_CHECKING:
    from advisor.traces.timeline import Timeline

STEPS = 5
SECONDS = 1.0
_MOST_STEPS = 1000
_LEAST_S, _MOST_S = 0.01, 120.0
_STEP = "Optimizer.step#"
# Options that are about the asking, with a value and without.
_VALUES = frozenset({"--pid", "--steps", "--seconds", "--save"})
_FLAGS = frozenset({"--with-stacks"})


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What to ask which process for, as typed. save: where the trace is to be kept."""

    pid: int
    steps: int | None = None
    seconds: float | None = None
    stacks: bool = False
    save: str | None = None


def ordered(order: Order) -> Path:
    """Ask, and wait for the trace; its path. Raises CliError (exit code 3) where none could be had."""
    from advisor.traces.errors import TraceError
    from advisor.traces.ondemand.asking import Wanted, fetch_trace

    timed = order.seconds is not None
    wanted = Wanted(
        pid=order.pid,
        steps=None if timed else order.steps or STEPS,
        seconds=order.seconds if order.seconds is not None else SECONDS,
        stacks=order.stacks,
        save=None if order.save is None else Path(order.save),
    )
    try:
        path = fetch_trace(wanted, note)
    except TraceError as error:
        raise cannot_measure(error.message, error.fix) from error
    note(f"the trace is kept as {path}")
    return path


def read_ordered(order: Order, path: Path) -> list[Timeline]:
    """The trace that a process wrote, and a word where it is not what was asked for. Raises CliError."""
    from advisor.cli.trace_files import read_all

    try:
        timelines, _ = read_all([path])
    except CliError as error:
        raise cannot_measure(
            f"what process {order.pid} wrote holds nothing that can be read: {error}",
            f"ask for more: --seconds 1, or steps; what it wrote is {path}",
        ) from error
    if order.seconds is None:
        _tell_steps(order.steps or STEPS, steps_in(timelines[0]))
    return timelines


def _tell_steps(asked: int, found: int) -> None:
    if not found:
        warn(
            f"{asked} steps were asked for, and the process counted none: its profiler took half a second by "
            "itself. --seconds sets the time"
        )
    elif found < asked:
        warn(f"{asked} steps were asked for, and the trace holds {found}")


def steps_in(timeline: Timeline) -> int:
    """Steps as PyTorch's profiler counts them: calls of the optimizer that was called most."""
    import numpy as np

    counts = np.bincount(timeline.host.name, minlength=len(timeline.names)).tolist()
    named = zip(timeline.names, counts, strict=True)
    return max((count for name, count in named if name.startswith(_STEP)), default=0)


def of_the_trace(args: Sequence[str], kept: Path) -> list[str]:
    """The command line that reads the trace again that this one asked for: its process will be gone."""
    left: list[str] = []
    words = iter(args)
    for word in words:
        option, equals, _ = word.partition("=")
        if option in _VALUES:
            if not equals:
                next(words, None)
        elif word not in _FLAGS:
            left.append(word)
    name = f"./{kept}" if str(kept).startswith("-") else str(kept)
    place = left.index("trace") + 1 if "trace" in left else len(left)
    return [*left[:place], name, *left[place:]]


def order_of(
    pid: int | None,
    *,
    steps: int | None = None,
    seconds: float | None = None,
    stacks: bool = False,
    save: str | None = None,
) -> Order | None:
    """What was asked for; None without a process. Raises CliError before a running job is disturbed."""
    if pid is None:
        given = (("--steps", steps), ("--seconds", seconds), ("--with-stacks", stacks), ("--save", save))
        alone = next((option for option, value in given if value), None)
        if alone is not None:
            raise CliError(f"{alone} says what to ask a process for", "name the process with --pid")
        return None
    order = Order(pid=pid, steps=steps, seconds=seconds, stacks=stacks, save=save)
    _check(order)
    return order


def _check(order: Order) -> None:
    if order.steps is not None and order.seconds is not None:
        raise CliError("--steps and --seconds exclude each other", "ask for a number of steps, or for a time")
    if order.steps is not None and order.steps > _MOST_STEPS:
        raise CliError(
            f"{order.steps} steps are too many to trace", f"ask for {_MOST_STEPS} at most; 5 will do"
        )
    if order.seconds is not None and order.seconds > _MOST_S:
        raise CliError(
            f"{order.seconds:g} s are too long to trace", f"ask for {_MOST_S:g} s at most; 1 s will do"
        )
    if order.seconds is not None and order.seconds < _LEAST_S:
        raise CliError(f"{order.seconds:g} s is too short to trace", "ask for 10ms at least; 1s will do")
    if order.save is not None:
        _check_place(order.save)


def _check_place(name: str) -> None:
    if not name.strip() or name == "-":
        raise CliError("--save needs the name of a file", "such as --save run.json.gz")
    save = Path(name)
    if save.exists():
        raise CliError(f"{save} is there already", "give --save another name: a trace is never overwritten")
    if not save.parent.is_dir():
        raise CliError(f"there is no folder {save.parent}", "make it, or give --save another name")
    if not os.access(save.parent, os.W_OK | os.X_OK):
        raise CliError(f"no file can be made in {save.parent}", "give --save a folder in which you may write")
