"""Names: string ids of an export to indices into Timeline.names."""

from __future__ import annotations

import re
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from advisor.traces.limits import Limits
from advisor.traces.nsight.database import Columns, Database
from advisor.traces.timeline import UNKNOWN, Small

_BEYOND = "(a name beyond the limit)"
_API_VERSION = re.compile(r"(?:_ptsz|_ptds)?(?:_v\d{4,5})?$")


@lru_cache(maxsize=4096)
def api_name(name: str) -> str:
    """An API call's name without the version Nsight appends ("cudaLaunchKernel_v7000")."""
    return _API_VERSION.sub("", name, count=1) if name.startswith("cu") else name


class Names:
    """Interned names, and which string ids they came from; no more of them, or of text, than the limits.

    What is beyond shares one name.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._room = self._strings_room = limits.interned_bytes
        self._missed = 0
        self._index: dict[str, int] = {}
        self._strings: dict[int, str] = {}
        self._read: set[int] = set()

    def intern(self, name: str) -> int:
        """The index of a name."""
        found = self._index.get(name)
        if found is not None:
            return found
        self._room -= len(name)
        if len(self._index) >= self._limits.names or self._room < 0:
            self._missed += 1
            name = _BEYOND
        return self._index.setdefault(name, len(self._index))

    def note_missed(self, database: Database) -> None:
        """Notes as a loss that names met a limit."""
        if self._missed:
            most = f"{self._limits.names:,} names, or {self._limits.interned_bytes >> 20} MiB of them"
            database.lose("limit", f"more than {most}: the others share one name", self._missed)

    def all(self) -> tuple[str, ...]:
        """All names, by index."""
        return tuple(self._index)

    def read(self, database: Database, ids: NDArray[np.int64]) -> None:
        """Reads those strings that are not known yet, in one pass over the table."""
        wanted = set(np.unique(ids[ids >= 0]).tolist()) - self._read
        if not wanted or not database.has("StringIds", "id", "value"):
            return
        self._read |= wanted
        low, high = min(wanted), max(wanted)
        query = f"SELECT id, {database.text('value')} FROM StringIds WHERE id BETWEEN {low} AND {high}"  # noqa: S608
        for rows in database.rows("StringIds", query):
            for i, value in rows:
                if isinstance(i, int) and i in wanted:
                    self._keep(i, str(value))
        if "StringIds" in database.unread:
            for i, text in database.strings("StringIds", wanted - self._strings.keys()):
                self._keep(i, text)

    def _keep(self, string_id: int, text: str) -> None:
        self._strings_room -= len(text)
        self._strings[string_id] = text if self._strings_room >= 0 else _BEYOND
        self._missed += self._strings_room < 0

    def kernels(self, database: Database, columns: Columns, otherwise: str) -> Small:
        """Names of kernels: with template arguments where the file has them, else short."""
        best = columns["demangledName"]
        for other in ("shortName", "name"):
            best = np.where(best >= 0, best, columns[other])
        self.read(database, best)
        return self.column(best, otherwise)

    def text(self, string_id: int) -> str | None:
        """The string of an id that was read; None where the file does not have it."""
        return self._strings.get(string_id)

    def api(self, string_id: int) -> str:
        """The API call of a string id, without its version; "" where the file does not have it."""
        return api_name(self._strings.get(string_id, ""))

    def column(self, ids: NDArray[np.int64], otherwise: str, *, api: bool = False) -> Small:
        """Indices of names for a column of string ids; `otherwise` where the file lacks the string."""
        unique, inverse = np.unique(ids, return_inverse=True)
        made = [self._name(int(i), otherwise, api) for i in unique]
        return np.asarray([self.intern(name) for name in made], np.int32)[inverse.reshape(-1)]

    def _name(self, string_id: int, otherwise: str, api: bool) -> str:
        found = self._strings.get(string_id)
        if found is None or string_id == UNKNOWN:
            return otherwise
        return api_name(found) if api else found
