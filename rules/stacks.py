"""Stacks: what the threads of a process were doing, as a sampling profiler saw it from outside."""

from __future__ import annotations

import msgspec

# Activity of the feeding thread -> the cause of a gap that it points to (slugs of rules.headline.CAUSES).
CAUSE_OF: dict[str, str] = {
    "loader-wait": "input-pipeline",
    "queue-wait": "lock",
    "collective": "collective-wait",
    "synchronise": "sync",
    "launch": "launch-rate",
    "tokenise": "tokeniser",
    "serialise": "serialisation",
    "checkpoint": "checkpoint",
    "lock": "lock",
    "gil": "gil",
    "io": "storage",
    "remote": "storage",
    "network": "no-demand",
    "child": "lock",
    "blocked": "lock",
    "transfer": "transfer",
    "decode": "main-thread",
    "compute": "main-thread",
    "idle": "no-demand",
}

# What each activity is called where people read it.
ACTIVITY_WORDS: dict[str, str] = {
    "loader-wait": "waits for the data loader",
    "queue-wait": "waits for a queue",
    "collective": "waits for other ranks",
    "synchronise": "synchronises with the GPU",
    "launch": "prepares and launches kernels",
    "tokenise": "tokenises",
    "serialise": "serialises data",
    "checkpoint": "saves a checkpoint",
    "lock": "waits for a lock",
    "gil": "waits for the GIL",
    "io": "reads or writes files",
    "remote": "reads from a remote data store",
    "network": "waits for the network",
    "child": "waits for a child process",
    "blocked": "stands in a call without using a core",
    "transfer": "copies to or from the GPU",
    "decode": "decodes or transforms data",
    "compute": "runs other Python code",
    "idle": "sleeps",
    "other": "does something else",
}


class StackGroup(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Samples of one thread that were doing the same kind of thing.

    activity: a key of ACTIVITY_WORDS. frac: share of that thread's samples. thread: its name, untrusted.
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

    def leading(self, activities: tuple[str, ...]) -> StackGroup | None:
        """The feeding thread's largest group among these activities."""
        mine = [g for g in self.groups if g.main and g.activity in activities]
        return max(mine, key=lambda g: g.frac, default=None)

    def others(self, activities: tuple[str, ...]) -> float:
        """The largest share that any other thread spends on these activities together."""
        threads: dict[str, float] = {}
        for g in self.groups:
            if not g.main and g.activity in activities:
                threads[g.thread] = threads.get(g.thread, 0.0) + g.frac
        return max(threads.values(), default=0.0)


def activity_words(slug: str) -> str:
    """An activity in words; an unknown slug as it is."""
    return ACTIVITY_WORDS.get(slug, slug.replace("-", " "))
