"""User names of user ids, without waiting for a directory service that does not answer."""

from __future__ import annotations

import threading
from collections.abc import Callable


def _name_of(uid: int) -> str:
    import pwd

    return pwd.getpwuid(uid).pw_name


class UserNames:
    """Looks names up once. A lookup that takes longer than `patience_s` goes on in the background.

    A user directory (LDAP, SSSD) can hang for minutes; telemetry must not hang with it.
    """

    def __init__(self, lookup: Callable[[int], str] = _name_of, patience_s: float = 0.2) -> None:
        self._lookup = lookup
        self._patience_s = patience_s
        self._names: dict[int, str] = {}
        self._asked: set[int] = set()

    def of(self, uid: int) -> str:
        """The name, or "uid:<number>" while it is not known."""
        if uid not in self._asked:
            self._asked.add(uid)
            thread = threading.Thread(target=self._find, args=(uid,), name="user-names", daemon=True)
            thread.start()
            thread.join(self._patience_s)
        return self._names.get(uid, f"uid:{uid}")

    def _find(self, uid: int) -> None:
        try:
            self._names[uid] = self._lookup(uid)
        except (KeyError, OSError, ImportError):
            return
