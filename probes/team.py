"""A team of threads, each on a core of its own, that run calls which let go of the interpreter's lock."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from types import TracebackType
from typing import Any

Job = Callable[[], Any]


class Team:
    """One pinned thread a core. The caller's own affinity stays as it is. Use as a context manager."""

    def __init__(self, cores: Sequence[int]) -> None:
        self.cores = tuple(cores)
        self._jobs: list[SimpleQueue[Job | None]] = [SimpleQueue() for _ in cores]
        self._done: SimpleQueue[tuple[int, Any, BaseException | None]] = SimpleQueue()
        self._threads = [
            threading.Thread(target=self._work, args=(at,), name=f"team-{core}", daemon=True)
            for at, core in enumerate(self.cores)
        ]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Team:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def run(self, jobs: Sequence[Job]) -> list[Any]:
        """Each core's job at once; their results in order. Raises the first error once all are over."""
        for queue, job in zip(self._jobs, jobs, strict=True):
            queue.put(job)
        over = sorted((self._done.get() for _ in jobs), key=lambda result: result[0])
        for _, _, error in over:
            if error is not None:
                raise error
        return [result for _, result, _ in over]

    def close(self) -> None:
        """End the threads. Safe to call twice."""
        for queue in self._jobs:
            queue.put(None)
        for thread in self._threads:
            thread.join()

    def _work(self, at: int) -> None:
        pin(self.cores[at])
        while (job := self._jobs[at].get()) is not None:
            try:
                self._done.put((at, job(), None))
            except BaseException as error:
                self._done.put((at, None, error))


def pin(core: int) -> None:
    """Keep the calling thread on a core where that is allowed; elsewhere it stays free."""
    try:
        os.sched_setaffinity(0, {core})
    except (AttributeError, OSError):
        return
