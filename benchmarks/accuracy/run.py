"""Run: every recording of a corpus replayed, by a few processes at once."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from itertools import repeat

from benchmarks.accuracy.corpus import Corpus, Problem, Recorded
from benchmarks.accuracy.replay import Replayed, replay_all
from benchmarks.accuracy.rival import Rival

WORKERS = 2
# Below this a second process costs more than it saves.
_WORTH_SHARING = 12


@cache
def known_rivals() -> tuple[Rival, ...]:
    """The rivals, looked up once a process: what they classify with cannot be sent to another."""
    from benchmarks.accuracy.rivals import rivals

    return rivals()


def replay_corpus(
    corpus: Corpus, *, ablations: bool, workers: int = WORKERS
) -> tuple[list[Replayed], list[Problem]]:
    """Every recording's verdicts, in the corpus's order, and those that could not be read."""
    outcomes = list(_outcomes(corpus.recordings, ablations, workers))
    good = [o for o in outcomes if isinstance(o, Replayed)]
    return good, [o for o in outcomes if isinstance(o, Problem)]


def _outcomes(recordings: Sequence[Recorded], ablations: bool, workers: int) -> Iterator[Replayed | Problem]:
    if workers < 2 or len(recordings) < _WORTH_SHARING:
        yield from (_one(recorded, ablations) for recorded in recordings)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        yield from pool.map(_one, recordings, repeat(ablations), chunksize=4)


def _one(recorded: Recorded, ablations: bool) -> Replayed | Problem:
    return replay_all(recorded, known_rivals(), ablations=ablations)
