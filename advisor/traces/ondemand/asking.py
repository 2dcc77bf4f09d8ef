"""`advisor trace --pid`: a place for the trace, the order, and the file where the user wants it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import msgspec

from advisor.traces.errors import TraceError
from advisor.traces.ondemand.places import PREFIX, Scratch
from advisor.traces.ondemand.protocol import Ask
from advisor.traces.ondemand.saving import Kept
from advisor.traces.ondemand.server import PATIENCE, Patience, Say, hand_over
from advisor.traces.ondemand.target import Target, target
from advisor.traces.ondemand.waiting import later, wait_for_trace, what

_FILE = "trace.json"


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What the user asked for: `steps`, or seconds where that is None; `save`: where to keep the trace."""

    pid: int
    steps: int | None = None
    seconds: float = 1.0
    shapes: bool = True
    stacks: bool = False
    save: Path | None = None


def fetch_trace(wanted: Wanted, say: Say, patience: Patience = PATIENCE) -> Path:
    """Have a running process write a trace; its path. Raises TraceError with what to do.

    A trace that was written is never removed: where it cannot be kept as wanted, the error says where it
    lies.
    """
    who = target(wanted.pid)
    _refuse_other_user(who)
    for doubt in who.doubts:
        say(f"process {who.pid}: {doubt}")
    kept = None if wanted.save is None else Kept(wanted.save)
    try:
        return _fetched(who, wanted, kept, say, patience)
    except BaseException:
        if kept is not None:
            kept.discard()
        raise


def _refuse_other_user(who: Target) -> None:
    if os.geteuid() not in (0, who.uid):
        raise TraceError(
            f"process {who.pid} belongs to another user", f"run as its user (id {who.uid}) or as root"
        )


def _fetched(who: Target, wanted: Wanted, kept: Kept | None, say: Say, patience: Patience) -> Path:
    scratch = Scratch(who)
    try:
        ask = _ask(wanted, scratch)
        say(f"asking process {who.pid} for a trace; it looks for orders every few seconds")
        try:
            hand_over(who, ask, say, patience)
        except BaseException:
            scratch.remove()
            raise
        say(f"process {who.pid} took the order; waiting for {what(ask)}")
        name = _awaited(who, ask, scratch, say, patience)
        try:
            return _brought(who, scratch, name, kept)
        except KeyboardInterrupt:
            say(f"the trace lies in {scratch.outside / name}")
            raise
    finally:
        scratch.close()


def _ask(wanted: Wanted, scratch: Scratch) -> Ask:
    return Ask(
        log_file=f"{scratch.inside}/{_FILE}",
        steps=wanted.steps,
        seconds=wanted.seconds,
        shapes=wanted.shapes,
        stacks=wanted.stacks,
    )


def _awaited(who: Target, ask: Ask, scratch: Scratch, say: Say, patience: Patience) -> str:
    """The file's name. Who stops waiting is told what the process still does: orders cannot be taken back."""
    try:
        return wait_for_trace(who, ask, scratch, say, patience)
    except KeyboardInterrupt:
        say(later(who, scratch, Path(ask.written_by(who.inner_pid)).name))
        raise


def _brought(who: Target, scratch: Scratch, name: str, kept: Kept | None) -> Path:
    """The trace where it is wanted. What another user could still change is copied before it is read."""
    theirs = scratch.outside / name
    if kept is None and not who.root and os.geteuid() == who.uid:
        return theirs
    if kept is None:
        kept = Kept(Path(tempfile.mkdtemp(prefix=PREFIX)) / name)
    handle = scratch.open(name)
    try:
        kept.fill(handle, theirs)
    finally:
        os.close(handle)
    scratch.remove()
    return kept.path
