"""Scrape: an endpoint asked once, on the paths that engines use, and what came of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from advisor.serving.discover import listening
from advisor.serving.engines import ENGINES, PATHS
from advisor.serving.exposition import ExpositionError
from advisor.serving.fetch import DEADLINE_S, FetchError, Target, fetch
from advisor.serving.reading import UnknownEngineError, read_page
from advisor.telemetry.records import EngineLook

NO_METRICS = 501
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")


class Scraper:
    """Asks one endpoint again and again; the path that answered is the first to be asked next time.

    spoke: it answered over HTTP, whatever it said.
    """

    def __init__(self, target: Target, *, deadline_s: float = DEADLINE_S) -> None:
        self.target = target
        self._deadline_s = deadline_s
        self._paths: Sequence[str] = (target.path,) if target.path else PATHS
        self._owner: tuple[int | None] | None = None
        self.spoke = False

    def owner(self, inode: int | None, find: Callable[[int], int | None]) -> int | None:
        """The process behind a loopback endpoint, None where it cannot be seen; looked for once.

        inode: its listening socket's, where it is known.
        """
        if self._owner is None:
            here = self.target.host in LOOPBACK_NAMES
            listeners = listening() if inode is None and here else ()
            known = inode or next((one.inode for one in listeners if one.port == self.target.port), None)
            self._owner = (None if known is None else find(known),)
        return self._owner[0]

    def look(self, keys: tuple[str, ...] = ()) -> EngineLook:
        """What the endpoint says now. Never raises: `problem` says why there is no reading."""
        until_s = time.monotonic() + self._deadline_s
        problems: dict[str, str] = {}
        for path in self._paths:
            left_s = until_s - time.monotonic()
            if left_s <= 0:
                problems[path] = "there was no time left to ask"
                break
            look, problem = self._one(path, left_s, keys)
            if look is not None:
                self._paths = (path, *(p for p in self._paths if p != path))
                return look
            problems[path] = problem
        return EngineLook(t_s=time.time(), endpoint=self.target.endpoint, keys=keys, problem=_said(problems))

    def _one(self, path: str, deadline_s: float, keys: tuple[str, ...]) -> tuple[EngineLook | None, str]:
        try:
            page = fetch(self.target, path, deadline_s=deadline_s)
            t_s = time.time()
            made = read_page(page.text, t_s, page.started)
        except FetchError as error:
            self.spoke = self.spoke or error.status is not None
            return None, f"{error}{_switch(error)}"
        except (ExpositionError, UnknownEngineError) as error:
            self.spoke = True
            return None, str(error)
        endpoint = self.target.endpoint
        look = EngineLook(
            t_s=t_s, endpoint=endpoint, engine=made.engine.name, keys=keys, readings=made.readings
        )
        return look, ""


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
