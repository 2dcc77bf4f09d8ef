"""Feed: where messages come from. The live sampler and a replayed recording look the same from here."""

from __future__ import annotations

from typing import Protocol

from advisor.telemetry.records import Hello, Message


class NoFeedError(Exception):
    """Nothing can be measured here (no driver, no permission). `fix` says what to do about it."""

    def __init__(self, message: str, fix: str = "") -> None:
        super().__init__(message)
        self.fix = fix


class Feed(Protocol):
    """A stream of messages. `poll` never blocks longer than its timeout, even when the driver hangs."""

    def start(self, timeout_s: float = 10.0) -> Hello:
        """Begin, and return the stream's header. Raises NoFeedError when nothing can be measured."""
        ...

    def poll(self, timeout_s: float) -> list[Message]:
        """Messages that arrived, oldest first; empty when none came within timeout_s, and after `End`."""
        ...

    def close(self) -> None:
        """Stop, and leave no process behind. Safe to call twice."""
        ...
