"""Serialised ids: which process, which thread, and numbers that stay unique when a file holds several.

Nsight packs hardware, virtual machine, process and thread into one number: pid = (id >> 24) & 0xFFFFFF, tid =
id & 0xFFFFFF (Nsight Systems export documentation, "Serialized process and thread identifiers").
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from advisor.traces.timeline import UNKNOWN, Small, Thread

_LOW = 0xFFFFFF
_ID = 0xFFFFFFFF


def pid_of(global_id: NDArray[np.int64]) -> NDArray[np.int64]:
    """Process ids of serialised process or thread ids; UNKNOWN stays."""
    return np.where(global_id < 0, UNKNOWN, (global_id >> 24) & _LOW)


def tid_of(global_id: NDArray[np.int64]) -> NDArray[np.int64]:
    """Thread ids of serialised thread ids; UNKNOWN stays."""
    return np.where(global_id < 0, UNKNOWN, global_id & _LOW)


def own_id(apart: NDArray[np.int64]) -> NDArray[np.int64]:
    """Ids as the process has them, of those that `Processes.apart` made; UNKNOWN stays."""
    return np.where(apart < 0, UNKNOWN, apart & _ID)


class Processes:
    """Numbers of processes in the order met, so that ids of the second and later ones can be set apart."""

    def __init__(self) -> None:
        self._index: dict[int, int] = {}

    def apart(self, ids: NDArray[np.int64], pids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Ids that are unique per process only (correlations), made unique in the file.

        Those of the first process stay as they are; UNKNOWN (and 0, which CUPTI uses for none) stays so.
        """
        unique, inverse = np.unique(pids, return_inverse=True)
        shift = np.asarray([self._index.setdefault(int(p), len(self._index)) for p in unique], np.int64)
        moved = (ids & _ID) + (shift[inverse.reshape(-1)] << 32)
        return np.where(ids <= 0, UNKNOWN, moved)


class Threads:
    """Host threads by serialised id, with the labels that the file gives them."""

    def __init__(self, labels: dict[int, str]) -> None:
        self._labels = labels
        self._index: dict[int, int] = {}

    def column(self, global_tid: NDArray[np.int64]) -> Small:
        """Indices into Timeline.threads."""
        unique, inverse = np.unique(global_tid, return_inverse=True)
        made = [self._index.setdefault(int(t), len(self._index)) for t in unique]
        return np.asarray(made, np.int32)[inverse.reshape(-1)]

    def all(self) -> tuple[Thread, ...]:
        """All threads, by index."""
        return tuple(self._thread(global_tid) for global_tid in self._index)

    def _thread(self, global_tid: int) -> Thread:
        if global_tid < 0:
            return Thread(UNKNOWN, UNKNOWN)
        return Thread((global_tid >> 24) & _LOW, global_tid & _LOW, self._labels.get(global_tid, ""))
