"""One reading of an inference engine: its metrics under names that are the same for every engine."""

from __future__ import annotations

from itertools import pairwise

import msgspec

# What counters, gauges and histograms are called here. Tokens and requests are counts, times are seconds.
COUNTERS: tuple[str, ...] = (
    "prompt_tokens",
    "computed_tokens",
    "cached_tokens",
    "generation_tokens",
    "responses",
    "good_responses",
    "bad_responses",
    "preemptions",
    "prefill_s",
    "decode_s",
    "prefix_queries",
    "prefix_hits",
    "steps",
    "step_tokens",
    "decodes_graph",
    "decodes_plain",
    "batch_requests",
)
GAUGES: tuple[str, ...] = ("running", "waiting", "waiting_capacity", "kv_use", "prefix_hit")
HISTOGRAMS: tuple[str, ...] = ("ttft", "itl", "tpot", "e2e", "queue")


class Buckets(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A histogram. bounds: finite upper bounds, rising; counts: cumulative, the last one is of all."""

    bounds: tuple[float, ...]
    counts: tuple[float, ...]

    @property
    def total(self) -> float:
        """How many were counted."""
        return self.counts[-1] if self.counts else 0.0

    @property
    def sound(self) -> bool:
        """Whether bounds rise, and counts belong to them and never fall."""
        fits = len(self.counts) == len(self.bounds) + 1
        rises = all(a < b for a, b in pairwise(self.bounds))
        return fits and rises and all(a <= b for a, b in pairwise(self.counts))


class Reading(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One model of one engine at one instant: quantity -> series -> value.

    A series is one set of labels (a rank, a reason to finish), named by a digest of them. model: as the
    engine calls it, untrusted. started: what tells one process of the engine from the next. digits: how many
    significant digits the engine prints, None for all. damaged: lines that could not be read.
    """

    t_s: float
    model: str | None = None
    started: str | None = None
    digits: int | None = None
    damaged: int = 0
    counters: dict[str, dict[str, float]] = {}
    gauges: dict[str, dict[str, float]] = {}
    histograms: dict[str, dict[str, Buckets]] = {}
