"""Numbers of several processes as the numbers of one merger."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from advisor.traces.kineto.merge import Merger
from advisor.traces.kineto.messages import Reply


class Numberings:
    """Per process three lists that grow: its numbers of names, threads and shapes -> the merger's."""

    def __init__(self, merger: Merger) -> None:
        self._merger = merger
        self._of: dict[int, tuple[NDArray[np.int32], ...]] = {}

    def add(self, maker: int, reply: Reply) -> None:
        """A reply, whose columns go to the merger in the merger's numbers."""
        none = np.empty(0, np.int32)
        names, threads, shapes = self._of.get(maker, (none, none, none))
        merger = self._merger
        names = _grown(names, merger.name_numbers(reply.names))
        threads = _grown(threads, merger.thread_numbers(reply.threads))
        shapes = _grown(shapes, merger.shape_numbers(reply.shapes, names))
        self._of[maker] = (names, threads, shapes)
        merger.add(reply.block, names, threads, shapes)


def _grown(column: NDArray[np.int32], more: list[int]) -> NDArray[np.int32]:
    return np.concatenate([column, np.array(more, np.int32)]) if more else column
