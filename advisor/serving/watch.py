"""Watch: engines asked every few seconds beside a live feed, on a thread of their own."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from advisor.serving.discover import Listener, candidates, devices_of, owner
from advisor.telemetry.feed import Feed
from advisor.telemetry.records import EngineLook, Frame, Hello, Message, ProcessSample

if TYPE_CHECKING:
    from advisor.serving.fetch import Target
    from advisor.serving.scrape import Scraper

EVERY_S = 5.0
# How often the node's ports are looked through for engines that started meanwhile.
DISCOVER_S = 60.0
# An endpoint that never was an engine is asked so often, and then left alone until it is another's.
_CHANCES = 2
_LEAST_S = 0.1


class EngineWatch:
    """Asks engines for their metrics, and gives back what they said.

    targets: endpoints that a person named; None finds those that listen on this node. keys: devices that
    the named ones run on, where the person says so. rounds: how often all of them have been asked.
    """

    def __init__(
        self,
        targets: Sequence[Target] | None = None,
        *,
        every_s: float = EVERY_S,
        keys: tuple[str, ...] | None = None,
        find: Callable[[], Sequence[Listener]] = candidates,
    ) -> None:
        self._named = None if targets is None else [(_scraper(target), None) for target in targets]
        self._every_s = every_s
        self.keys = keys
        self._find = find
        self._found: dict[tuple[int, int], tuple[Scraper, Listener]] = {}
        self._failures: dict[tuple[int, int], int] = {}
        self._searched_s = float("-inf")
        self._holders: dict[str, set[int]] = {}
        self._done: queue.SimpleQueue[EngineLook] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._wake = threading.Event()
        self.rounds = 0
        self._thread = threading.Thread(target=self._run, name="advisor-engines", daemon=True)

    def start(self) -> None:
        """Begin to ask."""
        self._thread.start()

    def note_processes(self, processes: Sequence[ProcessSample]) -> None:
        """Who holds which device now."""
        holders: dict[str, set[int]] = {}
        for process in processes:
            holders.setdefault(process.key, set()).add(process.pid)
        self._holders = holders

    def taken(self) -> list[EngineLook]:
        """What was said since the last call."""
        found: list[EngineLook] = []
        while not self._done.empty():
            found.append(self._done.get())
        return found

    def ask_now(self) -> None:
        """Ask again at once, rather than when it is time. `rounds` counts up when all have been asked."""
        self._wake.set()

    def close(self) -> None:
        """Stop asking. Safe to call twice."""
        self._stop.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(1.0)

    def once(self) -> None:
        """Ask every endpoint once."""
        named = self._named
        for scraper, listener in self._discovered() if named is None else named:
            if self._stop.is_set():
                return
            look = scraper.look(self._keys_of(scraper, listener))
            if listener is None or self._is_engine(look, listener, scraper.spoke):
                self._done.put(look)

    def _run(self) -> None:
        while not self._stop.is_set():
            begun_s = time.monotonic()
            self._wake.clear()
            self.once()
            self.rounds += 1
            self._wake.wait(max(_LEAST_S, begun_s + self._every_s - time.monotonic()))

    def _discovered(self) -> list[tuple[Scraper, Listener]]:
        """Engines that listen now; a port that another process took is another engine."""
        if time.monotonic() - self._searched_s >= DISCOVER_S:
            self._searched_s = time.monotonic()
            listeners = {(one.port, one.inode): one for one in self._find()}
            self._found = {
                key: self._found.get(key) or (_scraper_of(one), one) for key, one in listeners.items()
            }
            self._failures = {key: n for key, n in self._failures.items() if key in listeners}
        return [pair for key, pair in self._found.items() if self._failures.get(key, 0) < _CHANCES]

    def _is_engine(self, look: EngineLook, listener: Listener, spoke: bool) -> bool:
        """Whether the look is worth telling: an engine's, or a refusal of a program known to serve models."""
        key = (listener.port, listener.inode)
        if look.readings:
            self._failures[key] = -(1 << 30)
            return True
        self._failures[key] = self._failures.get(key, 0) + 1
        return self._failures[key] < 0 or (spoke and listener.pid is not None)

    def _keys_of(self, scraper: Scraper, listener: Listener | None) -> tuple[str, ...]:
        if self.keys is not None:
            return self.keys
        pid = self._pid(scraper, listener) if self._holders else None
        return () if pid is None else devices_of(pid, self._holders)

    def _pid(self, scraper: Scraper, listener: Listener | None) -> int | None:
        """Whose endpoint it is: looked for among all processes once, where it is on this node."""
        if listener is not None and listener.pid is not None:
            return listener.pid
        return scraper.owner(listener.inode if listener is not None else None, owner)


def _scraper_of(listener: Listener) -> Scraper:
    from advisor.serving.fetch import Target

    return _scraper(Target(scheme="http", host=listener.host, port=listener.port))


def _scraper(target: Target) -> Scraper:
    """Imported where it is needed: HTTP and the parser take a tenth of a second that no screen waits for."""
    from advisor.serving.scrape import Scraper

    return Scraper(target)


class ServingFeed:
    """A live feed beside which engines are asked; what they say comes out of `poll` as EngineLooks."""

    def __init__(self, feed: Feed, watch: EngineWatch) -> None:
        self._feed = feed
        self._watch = watch

    def start(self, timeout_s: float = 10.0) -> Hello:
        """The feed's header. Raises NoFeedError when nothing can be measured."""
        hello = self._feed.start(timeout_s)
        self._watch.start()
        return hello

    def poll(self, timeout_s: float) -> list[Message]:
        """Messages that arrived, and engines that answered."""
        messages = self._feed.poll(timeout_s)
        for message in messages:
            if isinstance(message, Frame) and message.processes is not None:
                self._watch.note_processes(message.processes)
        return [*messages, *self._watch.taken()]

    def close(self) -> None:
        """Stop asking, and the feed. Safe to call twice."""
        self._watch.close()
        self._feed.close()
