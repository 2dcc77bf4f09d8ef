"""Watch: engines asked every few seconds beside a live feed, on a thread of their own."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from advisor.serving.discover import Listener, are_kin, candidates, devices_of, is_alive, program
from advisor.telemetry.feed import Feed
from advisor.telemetry.records import EngineLook, Frame, Hello, Message, ProcessSample

if TYPE_CHECKING:
    from advisor.serving.fetch import Target
    from advisor.serving.scrape import Scraper

EVERY_S = 5.0
# How often the node's ports are looked through for engines that started meanwhile.
DISCOVER_S = 60.0
# An endpoint that never was an engine is asked so often, and then left alone until it is another's; one of a
# program known to serve models is then asked only as often as ports are looked through.
_CHANCES = 2
_LEAST_S = 0.1
# What a round waits for: the deadline of a fetch, and what parsing may take after it.
_ROUND_S = 6.0


class Endpoint:
    """One endpoint, and what is known of it. listener: None for one that a person named.

    is_engine: it was read once. silent: its last look, where that alone is not worth telling.
    """

    def __init__(self, scraper: Scraper, listener: Listener | None = None) -> None:
        self.scraper = scraper
        self.listener = listener
        self.is_engine = False
        self.silent: EngineLook | None = None
        self._failures = 0
        self._next_s = float("-inf")
        self._thread: threading.Thread | None = None

    @property
    def is_due(self) -> bool:
        """Whether it is to be asked now: not while it is still being asked."""
        asked = self._thread is not None and self._thread.is_alive()
        return not asked and time.monotonic() >= self._next_s

    @property
    def is_known(self) -> bool:
        """Whether it is of a program known to serve models, or a person says so."""
        return self.listener is None or self.listener.pid is not None

    def pid(self) -> int | None:
        """Whose it is, as far as that can be seen."""
        listener = self.listener
        if listener is not None and listener.pid is not None and is_alive(listener.pid):
            return listener.pid
        return self.scraper.owner()

    def begin(self, work: Callable[[], None]) -> None:
        """Do the work on a thread of its own, or here where there can be no more threads."""
        self._thread = threading.Thread(target=work, name="advisor-endpoint", daemon=True)
        try:
            self._thread.start()
        except RuntimeError:
            self._thread = None
            work()

    def wait(self, until_s: float) -> None:
        """Until it has answered, or this time."""
        if self._thread is not None:
            self._thread.join(max(0.0, until_s - time.monotonic()))

    def judge(self, look: EngineLook) -> bool:
        """Whether the look is worth telling: an engine's, or a refusal of a program known to serve models."""
        if look.readings:
            self.is_engine, self._failures = True, 0
        elif self.listener is not None and not self.is_engine and not self.scraper.loading:
            self._failures += 1
            if self._failures >= _CHANCES:
                self._next_s = time.monotonic() + DISCOVER_S if self.is_known else float("inf")
        return self.is_engine or self.listener is None or (self.is_known and self.scraper.spoke)

    def named(self, look: EngineLook) -> EngineLook:
        """The look, with whose it is where it failed."""
        pid = None if self.listener is None else self.listener.pid
        who = None if pid is None or not look.problem else program(pid)
        if who is None:
            return look
        return msgspec.structs.replace(look, problem=f"{look.problem} ({who}, pid {pid})")


class EngineWatch:
    """Asks engines for their metrics, and gives back what they said.

    targets: endpoints that a person named; None finds those that listen on this node. keys: devices that
    the named ones run on, where the person says so. rounds: how often all of them have been asked.
    problem: why a round could not be done, "" where all were.
    """

    def __init__(
        self,
        targets: Sequence[Target] | None = None,
        *,
        every_s: float = EVERY_S,
        keys: tuple[str, ...] | None = None,
        find: Callable[[], Sequence[Listener]] = candidates,
    ) -> None:
        self._named = None if targets is None else [Endpoint(_scraper(target)) for target in targets]
        self._every_s = every_s
        self.keys = keys
        self._find = find
        self._found: dict[tuple[int, int], Endpoint] = {}
        self._searched_s = float("-inf")
        self._holders: dict[str, set[int]] = {}
        self._done: queue.SimpleQueue[EngineLook] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._wake = threading.Event()
        self.rounds = 0
        self.problem = ""
        self._thread = threading.Thread(target=self._run, name="advisor-engines", daemon=True)

    @property
    def is_running(self) -> bool:
        """Whether it still asks."""
        return self._thread.is_alive()

    @property
    def is_in_vain(self) -> bool:
        """Whether all has been asked twice, and nothing is an engine or says that it loads."""
        asked = tuple(self._found.values()) if self._named is None else tuple(self._named)
        hopes = any(one.is_engine or one.scraper.loading for one in asked)
        return self.rounds >= _CHANCES and not hopes

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
        """Stop asking; what is on the way is given up. Safe to call twice."""
        self._stop.set()
        self._wake.set()
        for endpoint in [*(self._named or ()), *self._found.values()]:
            endpoint.scraper.close()
        if self.is_running:
            self._thread.join(1.0)

    def once(self) -> None:
        """Ask every endpoint once, all at the same time: one that hangs holds up no other."""
        self.problem = ""
        until_s = time.monotonic() + _ROUND_S
        due = [endpoint for endpoint in self._endpoints() if endpoint.is_due and not self._stop.is_set()]
        for endpoint in due:
            endpoint.begin(partial(self._guarded, partial(self._ask, endpoint)))
        for endpoint in due:
            endpoint.wait(until_s)
        for endpoint in due:
            self._tell_silent(endpoint)

    def _ask(self, endpoint: Endpoint) -> None:
        look = endpoint.scraper.look(self._keys_of(endpoint))
        endpoint.silent = None
        if self._stop.is_set():
            return
        if endpoint.judge(look):
            self._done.put(endpoint.named(look))
        else:
            endpoint.silent = look

    def _tell_silent(self, endpoint: Endpoint) -> None:
        """Once all have been asked: where one port of a server answers, the others are no news."""
        if endpoint.silent is not None and self._hangs(endpoint):
            self._done.put(endpoint.named(endpoint.silent))

    def _hangs(self, endpoint: Endpoint) -> bool:
        """Whether a program known to serve models says nothing here, and at none of its other ports."""
        if endpoint.listener is None or (pid := endpoint.listener.pid) is None:
            return False
        answered = [one for one in tuple(self._found.values()) if one.is_engine or one.scraper.spoke]
        pids = [one.listener.pid for one in answered if one.listener is not None]
        return not any(other is not None and are_kin(pid, other) for other in pids)

    def _guarded(self, work: Callable[[], None]) -> None:
        """Do it; what goes wrong is told in `problem`: the next round may do better, and no screen ends."""
        try:
            work()
        except Exception as error:
            self.problem = f"{type(error).__name__}: {error}"

    def _run(self) -> None:
        while True:
            begun_s = time.monotonic()
            self._wake.clear()
            if self._stop.is_set():  # asked after `clear`: a close in between has set both
                return
            self._guarded(self.once)
            self.rounds += 1
            self._wake.wait(max(_LEAST_S, begun_s + self._every_s - time.monotonic()))

    def _endpoints(self) -> Sequence[Endpoint]:
        """Those to ask."""
        if self._named is not None:
            return self._named
        if time.monotonic() - self._searched_s >= DISCOVER_S or self._has_ended():
            self._searched_s = time.monotonic()
            self._guarded(self._search)
        return tuple(self._found.values())

    def _search(self) -> None:
        """Look through the node's ports; one that another process took is another endpoint."""
        found = {(one.port, one.inode): one for one in self._find()}
        self._found = {
            key: self._found.get(key) or Endpoint(_scraper_of(one), one) for key, one in found.items()
        }

    def _has_ended(self) -> bool:
        """Whether a program that was found is no more: another may have taken its port."""
        pids = [one.listener.pid for one in self._found.values() if one.listener is not None]
        return any(pid is not None and not is_alive(pid) for pid in pids)

    def _keys_of(self, endpoint: Endpoint) -> tuple[str, ...]:
        if self.keys is not None:
            return self.keys
        pid = endpoint.pid() if self._holders else None
        return () if pid is None else devices_of(pid, self._holders)


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
        messages, looks = self._feed.poll(timeout_s), self._watch.taken()
        for message in messages:
            if isinstance(message, Frame) and message.processes is not None:
                self._watch.note_processes(message.processes)
        # Looks first: they are from before the messages, or as new, and a clock that was set shows in these.
        return [*looks, *messages]

    def close(self) -> None:
        """Stop asking, and the feed. Safe to call twice."""
        self._watch.close()
        self._feed.close()
