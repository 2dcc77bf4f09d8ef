"""Stand in for the profiler's daemon until one process has taken its orders and written its trace."""

from __future__ import annotations

import errno
import os
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from advisor.traces.errors import TraceError
from advisor.traces.ondemand.protocol import (
    ACTIVITIES,
    Announcement,
    Ask,
    MessageError,
    Request,
    address,
    count,
    parse,
    reply,
)
from advisor.traces.ondemand.target import RESTART, Target

# PyTorch looks for orders every 5 seconds (ConfigLoader) and, where nobody answers, tries for up to 10 more.
POLL_S = 15.0
# Steps that do not come: inference, or an optimizer that does not count them.
NO_STEPS_S = 30.0
TICK_S = 0.2
# A file that has not grown for this long, and ends as JSON does, is whole.
QUIET_S = 0.6
_LARGEST = 64 * 1024
_CREDENTIALS = struct.Struct("=iII")

Say = Callable[[str], None]


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """How long to wait, in seconds: for the process to ask, for steps to come, for the file after that."""

    poll_s: float = POLL_S
    steps_s: float = NO_STEPS_S
    write_s: float = 120.0


PATIENCE = Patience()


def ask_for_trace(who: Target, ask: Ask, say: Say, patience: Patience = PATIENCE) -> Path:
    """Have `who` write a trace; its path as this program sees it.

    Raises TraceError where the process does not ask for orders, ends, or writes nothing.
    """
    with _listening(who) as listener:
        _hand_over(listener, who, ask, patience.poll_s)
        say(f"process {who.pid} took the order; waiting for {_what(ask)}")
        path = who.seen_from_here(ask.written_by(who.inner_pid))
        if ask.steps is None:
            return _written(listener, who, path, ask.seconds + patience.write_s)
        if _appears(listener, who, path, patience.steps_s):
            return _written(listener, who, path, patience.write_s)
        timed = msgspec.structs.replace(ask, steps=None)
        say(f"no step came in {patience.steps_s:g} s; asking for {_what(timed)} instead")
        _hand_over(listener, who, timed, patience.poll_s)
        return _written(listener, who, path, timed.seconds + patience.write_s)


def _what(ask: Ask) -> str:
    return f"{ask.seconds:g} s" if ask.steps is None else f"{ask.steps} steps"


@contextmanager
def _listening(who: Target) -> Iterator[socket.socket]:
    """The daemon's socket, ours until the block ends."""
    where = address(None if who.socket_dir is None else str(who.seen_from_here(who.socket_dir)))
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    mine = False
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        listener.settimeout(TICK_S)
        try:
            _bind(listener, where, who)
        except OSError as error:
            raise _taken(error) from error
        mine = True
        yield listener
    finally:
        listener.close()
        if mine and not where.startswith(b"\0"):
            with suppress(OSError):
                Path(os.fsdecode(where)).unlink()


def _bind(listener: socket.socket, where: bytes, who: Target) -> None:
    listener.bind(where)
    if not where.startswith(b"\0"):
        with suppress(PermissionError):
            os.chown(where, who.uid, who.gid)


def _taken(error: OSError) -> TraceError:
    if error.errno == errno.EADDRINUSE:
        return TraceError(
            "another program serves the profiler's socket already, perhaps a dynolog daemon",
            "ask through it: `dyno gputrace --pids PID --log-file FILE`, then `advisor trace FILE`",
        )
    return TraceError(f"cannot open the profiler's socket: {error.strerror}", "")


def _hand_over(listener: socket.socket, who: Target, ask: Ask, within_s: float) -> None:
    """Give the order to the process when it next asks."""
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        if _serve(listener, who, ask):
            return
        _still_there(who)
    raise TraceError(
        f"process {who.pid} did not ask for orders in {within_s:g} s", "; ".join([*who.doubts, RESTART])
    )


def _serve(listener: socket.socket, who: Target, ask: Ask | None) -> bool:
    """Answer one message, with the order if it is from the process that is meant; True when it took it."""
    try:
        data, ancillary, _, sender = listener.recvmsg(_LARGEST, socket.CMSG_SPACE(_CREDENTIALS.size))
    except TimeoutError:
        return False
    try:
        message = parse(data)
    except MessageError:
        return False
    if isinstance(message, Announcement):
        return _answer(listener, sender, reply("ctxt", count(1))) and False
    meant = ask is not None and bool(message.wants & ACTIVITIES) and _is(who, message, _sender(ancillary))
    body = ask.text().encode() if ask is not None and meant else b""
    return _answer(listener, sender, reply("req", body)) and meant


def _answer(listener: socket.socket, sender: bytes | None, message: bytes) -> bool:
    """False where the process that asked is gone, or gave no address to answer to."""
    if not sender:
        return False
    try:
        listener.sendto(message, sender)
    except OSError:
        return False
    return True


def _sender(ancillary: list[tuple[int, int, bytes]]) -> tuple[int, int] | None:
    """Process and user id that the kernel vouches for."""
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_CREDENTIALS and len(data) >= _CREDENTIALS.size:
            pid, uid, _ = _CREDENTIALS.unpack_from(data)
            return pid, uid
    return None


def _is(who: Target, message: Request, sender: tuple[int, int] | None) -> bool:
    """Whether the sender is the process that is meant: by the kernel's word, not by its own."""
    if sender is not None and sender[0] > 0:
        return sender[0] == who.pid
    return message.pids[:1] == (who.inner_pid,)


def _still_there(who: Target) -> None:
    if not Path(f"/proc/{who.pid}").exists():
        raise TraceError(f"process {who.pid} ended before it wrote a trace", "")


def _appears(listener: socket.socket, who: Target, path: Path, within_s: float) -> bool:
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        if path.exists():
            return True
        _serve(listener, who, None)
        _still_there(who)
    return path.exists()


def _written(listener: socket.socket, who: Target, path: Path, within_s: float) -> Path:
    """Wait until the file is whole. A process that ends meanwhile leaves what it had written."""
    until = time.monotonic() + within_s
    size, since = -1, time.monotonic()
    while time.monotonic() < until:
        _serve(listener, who, None)
        now = path.stat().st_size if path.exists() else -1
        if now != size:
            size, since = now, time.monotonic()
        elif size > 0 and time.monotonic() - since >= QUIET_S and _whole(path):
            return path
        if size < 0:
            _still_there(who)
    if size > 0:
        return path
    raise TraceError(
        f"process {who.pid} wrote no trace to {path} in {within_s:g} s",
        "see the process's own standard error: its profiler says there why",
    )


def _whole(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 64))
        return file.read().rstrip().endswith(b"}")
