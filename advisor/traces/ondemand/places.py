"""Folders of the process that is asked, reached so that it cannot lead this program astray.

The process, or root in its container, may put links wherever it may write. So folders are held by descriptor,
links are resolved inside the process's own root alone, and root takes the rights of the process's user before
anything is made, read or removed there: nothing can be had through this program that the user cannot have.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from advisor.traces.errors import TraceError
from advisor.traces.ondemand.target import Target

# Where the process may write whatever its own working directory is.
SCRATCH = "/tmp"  # noqa: S108
PREFIX = "advisor-trace-"
_MOST_LINKS = 40
_HOLD = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def acting_as(who: Target) -> Iterator[None]:
    """With the rights of the process's user where this program is root; else as it is.

    Raises TraceError where those rights cannot be had.
    """
    uid, gid, groups = os.geteuid(), os.getegid(), os.getgroups()
    if uid == who.uid:
        yield
        return
    try:
        try:
            os.setgroups([])
            os.setegid(who.gid)
            os.seteuid(who.uid)
        except OSError as error:
            raise TraceError(
                f"process {who.pid} belongs to another user", f"run as its user (id {who.uid}) or as root"
            ) from error
        yield
    finally:
        os.seteuid(uid)
        os.setegid(gid)
        with suppress(PermissionError):
            os.setgroups(groups)


@contextmanager
def folder_of(who: Target, path: str) -> Iterator[int]:
    """A descriptor of a folder by the path that the process has for it. Raises OSError."""
    root = os.open(who.root or "/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        start = root if path.startswith("/") else _working_folder(who)
        try:
            with acting_as(who):
                handle = _walk(root, start, path)
        finally:
            if start != root:
                os.close(start)
    finally:
        os.close(root)
    try:
        yield handle
    finally:
        os.close(handle)


def _working_folder(who: Target) -> int:
    return os.open(f"/proc/{who.pid}/cwd", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def _walk(root: int, start: int, path: str) -> int:
    """Follows a path step by step; links lead nowhere outside `root`."""
    held = [os.dup(start)]
    left, links = path.split("/")[::-1], 0
    try:
        while left:
            part = left.pop()
            if part == ".." and len(held) > 1:
                os.close(held.pop())
            elif part == ".." and not path.startswith("/"):
                raise OSError(errno.EINVAL, "a relative path that leads upwards")
            elif part not in ("", ".", ".."):
                handle = os.open(part, _HOLD, dir_fd=held[-1])
                held.append(handle)
                if stat.S_ISLNK(os.fstat(handle).st_mode):
                    links += 1
                    left += _link(root, held, links)[::-1]
                elif not stat.S_ISDIR(os.fstat(handle).st_mode):
                    raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        return held.pop()
    finally:
        for handle in held:
            os.close(handle)


def _link(root: int, held: list[int], links: int) -> list[str]:
    """The parts of the link held last, from the root of the process where it is absolute."""
    if links > _MOST_LINKS:
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    link = os.readlink("", dir_fd=held[-1])
    os.close(held.pop())
    if link.startswith("/"):
        while held:
            os.close(held.pop())
        held.append(os.dup(root))
    return link.split("/")


class Scratch:
    """A folder of the process's user alone, in which the process writes its trace.

    inside: its path as the process sees it; outside: as this program does.
    """

    def __init__(self, who: Target) -> None:
        self._who = who
        name = f"{PREFIX}{secrets.token_hex(6)}"
        self.inside = f"{SCRATCH}/{name}"
        self.outside = Path(f"{who.root}{self.inside}")
        self._name = name
        try:
            with folder_of(who, SCRATCH) as parent:
                self._parent = os.dup(parent)
            with acting_as(who):
                os.mkdir(name, 0o700, dir_fd=self._parent)
                flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
                self._handle = os.open(name, flags, dir_fd=self._parent)
        except OSError as error:
            raise TraceError(
                f"no folder for the trace can be made in {SCRATCH}: {error.strerror}",
                f"process {who.pid} has to be able to write there",
            ) from error

    def size(self, name: str) -> int:
        """Bytes of a regular file of the process's; -1 where there is none."""
        try:
            found = os.stat(name, dir_fd=self._handle, follow_symlinks=False)
        except OSError:
            return -1
        return found.st_size if self._is_theirs(found) else -1

    def open(self, name: str) -> int:
        """A descriptor to read a file of the process's. Raises TraceError where it is something else."""
        try:
            with acting_as(self._who):
                flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
                handle = os.open(name, flags, dir_fd=self._handle)
        except OSError as error:
            raise TraceError(f"{self.outside / name} cannot be read: {error.strerror}", "") from error
        if not self._is_theirs(os.fstat(handle)):
            os.close(handle)
            raise TraceError(
                f"{self.outside / name} is no file of process {self._who.pid}",
                "something else was put in its place: look at who may write there",
            )
        return handle

    def _is_theirs(self, found: os.stat_result) -> bool:
        return stat.S_ISREG(found.st_mode) and found.st_uid == self._who.uid

    def rename(self, name: str, to: str) -> None:
        """Gives a file in it another name."""
        with suppress(OSError), acting_as(self._who):
            os.rename(name, to, src_dir_fd=self._handle, dst_dir_fd=self._handle)

    def remove(self) -> None:
        """Removes it with the files in it."""
        with suppress(OSError, TraceError), acting_as(self._who):
            for name in os.listdir(self._handle):  # noqa: PTH208  of a descriptor
                os.unlink(name, dir_fd=self._handle)
            os.rmdir(self._name, dir_fd=self._parent)

    def close(self) -> None:
        """Lets go of it; it stays where it is."""
        os.close(self._handle)
        os.close(self._parent)
