"""Names of this machine and its users in text that was made here: what no document can tell."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import msgspec

from advisor.reports.redact import host_hash, user_hash
from advisor.reports.redact_text import redact_text
from advisor.telemetry.records import Frame, Message, ProcessSample

# Hosts of these names are everywhere, and the words occur in sentences of our own.
_COMMON = frozenset({"localhost", "localdomain", "host", "node", "gpu", "ubuntu", "debian", "root"})
_SHORTEST_HOST = 3
_HASHED = re.compile(r"(?:node-|user:)[0-9a-f]{6}")


class Scrubber:
    """Takes out secrets, home folders, and these hosts and users. off: leaves everything as it is.

    A host goes wherever it stands as a word; a user goes inside paths and before an @, as elsewhere a name
    may be an ordinary word. homes: folders that are written as `~`.
    """

    def __init__(
        self,
        hosts: Iterable[str] = (),
        users: Iterable[str] = (),
        homes: Iterable[str] = (),
        off: bool = False,
    ) -> None:
        self._off = off
        self._hosts = sorted({name for host in hosts for name in _names(host)}, key=len, reverse=True)
        self._users = {user for user in users if user and not _HASHED.fullmatch(user)}
        self._homes = sorted({h.rstrip("/") for h in homes if len(h.rstrip("/")) > 1}, key=len, reverse=True)

    def knows(self, user: str | None) -> None:
        """One more user, met on the way."""
        if user and not _HASHED.fullmatch(user):
            self._users.add(user)

    def text(self, text: str) -> str:
        """The text without what must not leave."""
        if self._off or not text:
            return text
        for home in self._homes:
            text = re.sub(rf"{re.escape(home)}(?=/|\Z|[\s'\",:;)])", "~", text)
        text = redact_text(text)[0]
        for user in sorted(self._users):
            name = re.escape(user)
            text = re.sub(rf"(?<=/){name}(?=/|\Z|[\s'\",:;)])|(?<![\w.-]){name}(?=@)", user_hash(user), text)
        for host in self._hosts:
            text = re.sub(rf"(?i)(?<![\w.-]){re.escape(host)}(?![\w-])", host_hash(host), text)
        return text

    def record(self, record: Any) -> Any:
        """Every string of a record."""
        if self._off:
            return record
        return msgspec.convert(self._walk(msgspec.to_builtins(record)), type(record))

    def _walk(self, node: Any) -> Any:
        if isinstance(node, str):
            return self.text(node)
        if isinstance(node, dict):
            return {key: self._walk(value) for key, value in node.items()}
        if isinstance(node, list | tuple):
            return [self._walk(value) for value in node]
        return node

    def message(self, message: Message) -> Message:
        """A message of the stream; what processes are called names users where it is a path."""
        if self._off:
            return message
        if not isinstance(message, Frame):
            scrubbed: Message = self.record(message)
            return scrubbed
        if not message.processes:
            return message
        for process in message.processes:
            self.knows(process.user)
        return msgspec.structs.replace(message, processes=tuple(map(self._process, message.processes)))

    def _process(self, process: ProcessSample) -> ProcessSample:
        command = None if process.command is None else self.text(process.command)
        return msgspec.structs.replace(process, name=self.text(process.name), command=command)


def _names(host: str) -> list[str]:
    """A host's whole name and the part before its first dot, unless they say nothing."""
    names = [host.strip(), host.strip().partition(".")[0]]
    return [
        name
        for name in names
        if len(name) >= _SHORTEST_HOST and name.lower() not in _COMMON and not _HASHED.fullmatch(name)
    ]


def of_this_machine(more_hosts: Iterable[str], more_users: Iterable[str], off: bool = False) -> Scrubber:
    """What is known of where the program runs, beside what documents say."""
    import getpass
    import os
    import platform
    from pathlib import Path

    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = ""
    homes = [os.environ.get("HOME", ""), str(Path("~").expanduser())]
    return Scrubber([platform.node(), *more_hosts], [user, *more_users], homes, off)
