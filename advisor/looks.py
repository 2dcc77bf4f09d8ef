"""Looks inside processes on demand: stack samples taken beside the stream, and sent along in it."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Collection, Sequence

from advisor.host_facts import main_process
from advisor.telemetry.feed import Feed
from advisor.telemetry.records import Frame, Hello, Message, ProcessSample, StackLook
from advisor.telemetry.stacks import SECONDS, look
from advisor.telemetry.stacks_pyspy import START_S
from rules.stacks import Stacks

# A node has up to eight busy ranks; each look costs two samplers of a few percent of a core.
AT_ONCE = 4

Look = Callable[[int, Callable[[], bool]], Stacks]


def look_for(seconds: float = SECONDS, native: bool = False) -> Look:
    """A look of this length. native: with frames of compiled libraries, which pauses the process."""
    return lambda pid, stop: look(pid, seconds, native=native, stop=stop)


class StackFeed:
    """A live feed that also looks once inside the main process of every device that has one.

    keys: devices to look at, None for all. mine: which processes may be looked at. Sampling goes on
    meanwhile: looks run on threads of their own, and come out of `poll` as StackLook messages.
    """

    def __init__(
        self,
        feed: Feed,
        take: Look,
        *,
        keys: Collection[str] | None = None,
        mine: Callable[[int], bool] = lambda _pid: True,
    ) -> None:
        self._feed = feed
        self._take = take
        self.keys = keys
        self._mine = mine
        self._asked: set[str] = set()
        self._done: queue.SimpleQueue[StackLook] = queue.SimpleQueue()
        self._slots = threading.Semaphore(AT_ONCE)
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self, timeout_s: float = 10.0) -> Hello:
        """The feed's header. Raises NoFeedError when nothing can be measured."""
        return self._feed.start(timeout_s)

    def poll(self, timeout_s: float) -> list[Message]:
        """Messages that arrived, and looks that are done."""
        messages = self._feed.poll(timeout_s)
        for message in messages:
            if isinstance(message, Frame) and message.processes and not self._stop.is_set():
                self._begin(message.processes)
        return [*messages, *self._finished()]

    def rest(self, timeout_s: float | None = None) -> list[StackLook]:
        """Looks that still ran: waits for them, at most as long as one takes, and asks for no more."""
        until_s = time.monotonic() + (SECONDS + START_S if timeout_s is None else timeout_s)
        try:
            for thread in self._threads:
                thread.join(max(0.0, until_s - time.monotonic()))
        finally:
            self._stop.set()
        return self._finished()

    def close(self) -> None:
        """Stop the looks and the feed. Safe to call twice."""
        self._stop.set()
        for thread in self._threads:
            thread.join(START_S)
        self._feed.close()

    def _begin(self, processes: Sequence[ProcessSample]) -> None:
        """Look at the main process of each device that was not looked at yet, once a process."""
        fresh: dict[int, list[str]] = {}
        for key in dict.fromkeys(p.key for p in processes):
            wanted = key not in self._asked and (self.keys is None or key in self.keys)
            main = (
                main_process([p for p in processes if p.key == key and self._mine(p.pid)]) if wanted else None
            )
            if main is not None:
                self._asked.add(key)
                fresh.setdefault(main.pid, []).append(key)
        for pid, keys in fresh.items():
            thread = threading.Thread(target=self._look, args=(pid, keys), name="advisor-stacks", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _look(self, pid: int, keys: Sequence[str]) -> None:
        with self._slots:
            if self._stop.is_set():
                return
            seen = self._take(pid, self._stop.is_set)
        for key in keys:
            self._done.put(StackLook(t_s=time.time(), key=key, stacks=seen))

    def _finished(self) -> list[StackLook]:
        found: list[StackLook] = []
        while not self._done.empty():
            found.append(self._done.get())
        return found
