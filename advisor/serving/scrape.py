"""Scrape: an endpoint asked once, on the paths that engines use, and what came of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from advisor.serving.discover import is_alive, listening, owner
from advisor.serving.engines import ENGINES, PATHS
from advisor.serving.exposition import ExpositionError
from advisor.serving.fetch import DEADLINE_S, LOADING, Attempt, FetchError, Page, Target
from advisor.serving.reading import UnknownEngineError, read_page
from advisor.telemetry.records import EngineLook

NO_METRICS = 501
# How often the owner of a socket is looked for that nobody seen here holds.
SEARCH_S = 60.0
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")


class Scraper:
    """Asks one endpoint again and again; the path that answered is the first to be asked next time.

    spoke: it answered over HTTP, whatever it said. loading: it last said that it is not ready.
    """

    def __init__(self, target: Target, *, deadline_s: float = DEADLINE_S) -> None:
        self.target = target
        self._deadline_s = deadline_s
        self._paths: Sequence[str] = (target.path,) if target.path else PATHS
        self._owner = Owner()
        self._attempt: Attempt | None = None
        self._closed = False
        self.spoke = False
        self.loading = False

    def owner(self, find: Callable[[int], int | None] = owner) -> int | None:
        """The process behind a loopback endpoint, None where it cannot be seen."""
        if self.target.host not in LOOPBACK_NAMES:
            return None
        return self._owner.of(
            next((one.inode for one in listening() if one.port == self.target.port), None), find
        )

    def look(self, keys: tuple[str, ...] = ()) -> EngineLook:
        """What the endpoint says now. Never raises: `problem` says why there is no reading."""
        until_s = time.monotonic() + self._deadline_s
        problems: dict[str, str] = {}
        self.loading = False
        for path in self._paths:
            left_s = until_s - time.monotonic()
            if left_s <= 0 or self._closed:
                if not problems:
                    problems[path] = "there was no time left to ask"
                break
            look, problem = self._one(path, left_s, keys)
            if look is not None:
                self._paths = (path, *(p for p in self._paths if p != path))
                return look
            problems[path] = problem
        return EngineLook(t_s=time.time(), endpoint=self.target.endpoint, keys=keys, problem=_said(problems))

    def close(self) -> None:
        """Give up what is on the way, from any thread; it is not asked again."""
        self._closed = True
        attempt = self._attempt
        if attempt is not None:
            attempt.give_up()

    def _one(self, path: str, deadline_s: float, keys: tuple[str, ...]) -> tuple[EngineLook | None, str]:
        try:
            page = self._page(path, deadline_s)
            t_s = time.time()
            made = read_page(page.text, t_s, page.started)
        except FetchError as error:
            self.spoke = self.spoke or error.status is not None
            self.loading = self.loading or error.status == LOADING
            return None, f"{error}{_switch(error)}"
        except (ExpositionError, UnknownEngineError) as error:
            self.spoke = True
            return None, str(error)
        except Exception as error:  # no page, and no lack of threads, ends the watching of other endpoints
            return None, f"could not be read ({type(error).__name__}: {error})"[:200]
        endpoint = self.target.endpoint
        look = EngineLook(
            t_s=t_s, endpoint=endpoint, engine=made.engine.name, keys=keys, readings=made.readings
        )
        return look, ""

    def _page(self, path: str, deadline_s: float) -> Page:
        attempt = self._attempt = Attempt(self.target, path, deadline_s)
        if self._closed:
            attempt.give_up()
        return attempt.page()


class Owner:
    """Who listens: looked for among all processes only where it may have changed."""

    def __init__(self) -> None:
        self._inode: int | None = None
        self._pid: int | None = None
        self._asked_s = float("-inf")

    def of(self, inode: int | None, find: Callable[[int], int | None]) -> int | None:
        """The process whose listening socket this is. An engine that restarts has another socket."""
        now_s = time.monotonic()
        gone = self._pid is not None and not is_alive(self._pid)
        again = self._pid is None and now_s - self._asked_s >= SEARCH_S
        if inode != self._inode or gone or again:
            self._inode, self._asked_s = inode, now_s
            self._pid = None if inode is None else find(inode)
        return self._pid


def _switch(error: FetchError) -> str:
    """llama.cpp answers so where its metrics are off."""
    if error.status != NO_METRICS:
        return ""
    return "; llama-server: " + next(engine.switch for engine in ENGINES if engine.name == "llama.cpp")


def _said(problems: dict[str, str]) -> str:
    """One sentence of all paths; the same reason is said once."""
    reasons = dict.fromkeys(problems.values())
    if len(reasons) == 1:
        return next(iter(reasons))
    return "; ".join(f"{path.partition('?')[0]}: {why}" for path, why in problems.items())
