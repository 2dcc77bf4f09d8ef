"""Run: every recording of a corpus replayed, one after the other: a minute of stream takes some 0.1 s."""

from __future__ import annotations

from functools import cache

from benchmarks.accuracy.corpus import Corpus, Problem
from benchmarks.accuracy.replay import Replayed, replay_all
from benchmarks.accuracy.rival import Rival
from benchmarks.accuracy.rivals import rivals


@cache
def known_rivals() -> tuple[Rival, ...]:
    """The rivals, looked up once: one of them is imported where it is installed."""
    return rivals()


def replay_corpus(corpus: Corpus, *, ablations: bool) -> tuple[list[Replayed], list[Problem]]:
    """Every recording's verdicts, in the corpus's order, and those that could not be read."""
    outcomes = [replay_all(recorded, known_rivals(), ablations=ablations) for recorded in corpus.recordings]
    good = [o for o in outcomes if isinstance(o, Replayed)]
    return good, [o for o in outcomes if isinstance(o, Problem)]
