"""The socket on which PyTorch's profiler looks for a daemon: ours for a while, or somebody else's."""

from __future__ import annotations

import errno
import os
import socket
import stat
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NoReturn

import msgspec

from advisor.traces.errors import TraceError
from advisor.traces.ondemand.places import acting_as, folder_of
from advisor.traces.ondemand.protocol import NAME, SOCKET_DIR, address
from advisor.traces.ondemand.target import Target, command_of

Say = Callable[[str], None]
# sockaddr_un.sun_path, less its end: what the process itself can name.
LONGEST = 107
OWN_NAME = 53  # of which the profiler's own socket, beside ours, takes so many
RETRY_S = 0.3


class Holder(msgspec.Struct, frozen=True):
    """Who serves the socket. pid: None where that may not be seen. command: its words."""

    pid: int | None
    command: tuple[str, ...] = ()

    @property
    def may_end_soon(self) -> bool:
        """Whether it is another `advisor trace --pid`, or may be."""
        return self.pid is None or {"trace", "--pid"} <= {word.split("=")[0] for word in self.command}


class Listener(socket.socket):
    """The daemon's socket. folder: descriptor of where it lies, where the process names that otherwise."""

    folder: int | None = None

    def answer(self, message: bytes, asked_from: str | bytes) -> None:
        """Sends to who asked, by the address that the kernel gives. Raises OSError."""
        if self.folder is None or isinstance(asked_from, bytes):
            self.sendto(message, asked_from)
        else:  # its folder is ours, and this one is
            self.sendto(message, f"/proc/self/fd/{self.folder}/{Path(asked_from).name}")


@contextmanager
def listening(who: Target, say: Say, busy_s: float) -> Iterator[Listener]:
    """The daemon's socket, ours until the block ends; busy_s: how long to wait for another advisor.

    Raises TraceError where it cannot be had.
    """
    with ExitStack() as stack:
        listener = stack.enter_context(Listener(socket.AF_UNIX, socket.SOCK_DGRAM))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        try:
            _open(stack, listener, who, _Wait(say, time.monotonic() + busy_s))
        except OSError as error:
            raise _unusable(who, error) from error
        yield listener


def _open(stack: ExitStack, listener: Listener, who: Target, wait: _Wait) -> None:
    if who.socket_dir is None:
        _bind(listener, who, None, wait)
        return
    if len(os.fsencode(who.socket_dir)) + 1 + len(NAME) > LONGEST:
        raise TraceError(
            f"{SOCKET_DIR} of process {who.pid} is too long for a socket: {who.socket_dir}",
            f"start it with a folder whose path has {LONGEST - OWN_NAME} characters or less",
        )
    folder = stack.enter_context(folder_of(who, who.socket_dir))
    _bind(listener, who, folder, wait)
    if who.root or not who.socket_dir.startswith("/"):
        listener.folder = folder
    stack.callback(_remove, who, folder, os.stat(NAME, dir_fd=folder, follow_symlinks=False).st_ino)


def _remove(who: Target, folder: int, inode: int) -> None:
    """Removes the socket's file, if it is still ours."""
    with suppress(OSError), acting_as(who):
        if os.stat(NAME, dir_fd=folder, follow_symlinks=False).st_ino == inode:
            os.unlink(NAME, dir_fd=folder)


def _unusable(who: Target, error: OSError) -> TraceError:
    said = error.strerror or str(error)
    if who.socket_dir is None:
        return TraceError(f"the profiler's socket cannot be opened: {said}", "")
    if error.errno == errno.EPERM and who.root:
        return TraceError(
            f"the folder {who.socket_dir} of process {who.pid} is in a container and not seen here",
            "run advisor in that container, or as root",
        )
    return TraceError(
        f"the profiler's socket cannot be opened in {who.socket_dir}: {said}",
        f"{SOCKET_DIR} of process {who.pid} has to name a folder in which it may write",
    )


class _Wait:
    """Waiting for another advisor, told once."""

    def __init__(self, say: Say, until: float) -> None:
        self._say, self._until, self._told = say, until, False

    def for_(self, holder: Holder) -> None:
        """Raises TraceError where waiting is over, or for nothing."""
        if not holder.may_end_soon or time.monotonic() >= self._until:
            raise _taken(holder)
        if not self._told:
            self._say(f"{_named(holder)} serves the profiler's socket; waiting for it to end")
            self._told = True
        time.sleep(RETRY_S)


def _bind(listener: socket.socket, who: Target, folder: int | None, wait: _Wait) -> None:
    """Binds; waits for another advisor, and puts away what a dead one left."""
    while True:
        try:
            return _bind_once(listener, who, folder)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
        if folder is None or not _put_away(who, folder):
            wait.for_(holder_of(abstract=folder is None, folder=who.socket_dir))


def _bind_once(listener: socket.socket, who: Target, folder: int | None) -> None:
    if folder is None or who.socket_dir is None:
        listener.bind(address(None))
        return
    code = _as_the_process_does(who, folder, lambda: listener.bind(address(who.socket_dir)))
    if code:
        raise OSError(code, os.strerror(code))


def _as_the_process_does(who: Target, folder: int, act: Callable[[], None]) -> int:
    """Does something with the process's user, and in a child with its root and folder where those are others.

    Returns the number of the error, or 0.

    The profiler ends its process where the name of a daemon's socket does not begin as the process itself
    names the folder: the name has to be the process's own, and a link in it has to lead where it does there.
    """
    with ExitStack() as stack:
        at: list[tuple[int, bool]] = []
        if who.root and not _seen_alike(who, folder):
            at.append((_held(stack, who.root), True))
        if who.socket_dir is not None and not who.socket_dir.startswith("/"):
            at.append((_held(stack, f"/proc/{who.pid}/cwd"), False))
        if not at:
            return _done(who, at, act)
        with warnings.catch_warnings(action="ignore"):  # that there may be threads: the child calls none
            child = os.fork()
        if not child:
            _end_with(who, at, act)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _end_with(who: Target, at: list[tuple[int, bool]], act: Callable[[], None]) -> NoReturn:
    """All that the child does; whatever happens, it goes no further."""
    code = errno.EIO
    try:
        code = _done(who, at, act)
    finally:
        os._exit(code)


def _held(stack: ExitStack, path: str) -> int:
    handle = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    stack.callback(os.close, handle)
    return handle


def _seen_alike(who: Target, folder: int) -> bool:
    """Whether the process's folder lies under the same path here: it is shared, and no root is needed."""
    try:
        here = Path(who.socket_dir or "").stat()
    except OSError:
        return False
    return os.path.samestat(here, os.fstat(folder))


def _done(who: Target, at: list[tuple[int, bool]], act: Callable[[], None]) -> int:
    try:
        for handle, is_root in at:
            os.fchdir(handle)
            if is_root:
                os.chroot(".")
        with acting_as(who):
            act()
    except OSError as error:
        return error.errno or errno.EIO
    except TraceError:
        return errno.EPERM
    return 0


def _put_away(who: Target, folder: int) -> bool:
    """Removes the file of a socket that nobody serves any more."""
    with acting_as(who):
        found = os.stat(NAME, dir_fd=folder, follow_symlinks=False)
        if not stat.S_ISSOCK(found.st_mode) or not _stale(f"/proc/self/fd/{folder}/{NAME}"):
            return False
        os.unlink(NAME, dir_fd=folder)
    return True


def _stale(where: str) -> bool:
    """Whether nobody serves a socket's file any more."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as asking:
        try:
            asking.connect(where)
        except OSError as error:
            return error.errno == errno.ECONNREFUSED
    return False


def _taken(holder: Holder) -> TraceError:
    said = f"{_named(holder)} serves the profiler's socket already"
    if holder.pid is None:
        said += ", perhaps a dynolog daemon"
    if "dynolog" in " ".join(holder.command) or holder.pid is None:
        return TraceError(
            said, "ask through it: `dyno gputrace --pids PID --log-file FILE`, then `advisor trace FILE`"
        )
    return TraceError(said, "ask again when it has ended")


def _named(holder: Holder) -> str:
    if holder.pid is None:
        return "another program"
    command = " ".join(holder.command)
    return f"process {holder.pid} ({command[:77]}{'...' if len(command) > 77 else ''})"


def holder_of(*, abstract: bool, folder: str | None = None, proc: Path = Path("/proc")) -> Holder:
    """Who holds the socket of this name, as far as may be seen. folder: where a file of that name lies."""
    inodes = _inodes(abstract, folder, proc)
    links = {f"socket:[{inode}]" for inode in inodes}
    for base in proc.iterdir() if links else ():
        if base.name.isdecimal() and _has_open(base, links):
            return Holder(int(base.name), command_of(int(base.name), proc))
    return Holder(None)


def _inodes(abstract: bool, folder: str | None, proc: Path) -> list[str]:
    """Sockets of this name: "@dynolog@" is an abstract one. Files are told by their path; by their last part
    where none is at that path, as processes may have bound it by another one.
    """
    try:
        lines = (proc / "net" / "unix").read_text(errors="replace").splitlines()[1:]
    except OSError:
        return []
    rows = [line.split(maxsplit=7) for line in lines]
    named = [(row[6], row[7]) for row in rows if len(row) == 8]
    if abstract:
        return [inode for inode, name in named if name.rstrip("@") == f"@{NAME}"]
    exact = [inode for inode, name in named if name == f"{folder}/{NAME}"]
    return exact or [inode for inode, name in named if name.endswith(f"/{NAME}")]


def _has_open(base: Path, links: set[str]) -> bool:
    with suppress(OSError):
        for entry in (base / "fd").iterdir():
            with suppress(OSError):
                if str(entry.readlink()) in links:
                    return True
    return False
