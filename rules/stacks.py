"""Stacks: what the threads of a process were doing, as a sampling profiler saw it from outside."""

from __future__ import annotations

import msgspec


class StackGroup(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Samples of one thread that were doing the same kind of thing.

    activity: slug, such as `loader-wait`, `synchronise`, `launch`, `tokenise`, `serialise`, `lock`, `gil`,
    `io`, `compute`, `idle`, `other`. frac: share of that thread's samples. thread: its name, untrusted.
    main: the thread that feeds the GPU, as far as can be told. frame: the frame that named the activity,
    "function (file:line)", untrusted.
    """

    activity: str
    frac: float
    thread: str
    main: bool
    frame: str


class Stacks(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A look at one process. missing: why there is none, or why it holds less than it could.

    tool: name and version of the sampler. native: frames of C and CUDA libraries are in it.
    """

    pid: int
    tool: str
    samples: int
    seconds: float
    native: bool = False
    groups: tuple[StackGroup, ...] = ()
    missing: str | None = None

    def frac(self, activity: str) -> float:
        """Share of the feeding thread's samples with this activity; 0 when it was never seen."""
        return sum(g.frac for g in self.groups if g.main and g.activity == activity)
