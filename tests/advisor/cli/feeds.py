"""A Feed made of messages at hand, for tests of what is done with a feed."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable

from advisor.telemetry.feed import NoFeedError
from advisor.telemetry.records import Hello, Message


class CannedFeed:
    """Gives `batches` out one a poll, then nothing. problem: what `start` raises instead of the header."""

    def __init__(
        self, header: Hello, batches: Iterable[Iterable[Message]] = (), problem: NoFeedError | None = None
    ) -> None:
        self.header = header
        self.batches = deque(list(batch) for batch in batches)
        self.problem = problem
        self.polls: list[float] = []
        self.closed = 0

    def start(self, timeout_s: float = 10.0) -> Hello:
        if self.problem is not None:
            raise self.problem
        return self.header

    def poll(self, timeout_s: float) -> list[Message]:
        self.polls.append(timeout_s)
        if self.batches:
            return self.batches.popleft()
        time.sleep(min(timeout_s, 0.02))
        return []

    def close(self) -> None:
        self.closed += 1


class InterruptedFeed(CannedFeed):
    """Ctrl-C arrives once the batches are used up."""

    def poll(self, timeout_s: float) -> list[Message]:
        if not self.batches:
            raise KeyboardInterrupt
        return super().poll(timeout_s)
