"""Stand in for the profiler's daemon until one process has taken its orders."""

from __future__ import annotations

import select
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable

import msgspec

from advisor.traces.errors import TraceError
from advisor.traces.ondemand.places import acting_as
from advisor.traces.ondemand.protocol import (
    ACTIVITIES,
    SOCKET_DIR,
    Announcement,
    Ask,
    MessageError,
    Request,
    count,
    parse,
    reply,
)
from advisor.traces.ondemand.sockets import LONGEST, OWN_NAME, Listener, listening
from advisor.traces.ondemand.target import RESTART, Target, command_of, state_of

# PyTorch looks for orders every 5 seconds (ConfigLoader) and, where nobody answers, tries for up to 10 more.
POLL_S = 15.0
# An advisor that asks another process has the socket no longer than until that one asks.
BUSY_S = 20.0
TICK_S = 0.2
_LARGEST = 64 * 1024
# More messages than this come from no profiler: the rest of that sender's is dropped unread.
_MOST_MESSAGES = 500
_CREDENTIALS = struct.Struct("=iII")

Say = Callable[[str], None]
Sender = tuple[int, int]


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """How long to wait, in seconds.

    busy_s: for another advisor to free the socket. poll_s: for the process to ask. steps_s: for all steps, at
    least; step_s: for one. write_s: for the file, after time asked for is over or since it last grew. tell_s:
    between words about it.
    """

    busy_s: float = BUSY_S
    poll_s: float = POLL_S
    steps_s: float = 600.0
    step_s: float = 60.0
    write_s: float = 120.0
    tell_s: float = 10.0


PATIENCE = Patience()


def hand_over(who: Target, ask: Ask, say: Say, patience: Patience = PATIENCE) -> None:
    """Give `who` the order when it next asks. Raises TraceError where it does not, or ends."""
    with listening(who, say, patience.busy_s) as listener:
        desk = Desk(listener, who, ask)
        until = time.monotonic() + patience.poll_s
        while time.monotonic() < until:
            if desk.serve():
                return
            if state_of(who) is None:
                raise TraceError(f"process {who.pid} ended before it asked for orders", "")
    raise TraceError(
        f"process {who.pid} did not ask for orders in {patience.poll_s:g} s{desk.noise()}", _why(who)
    )


def _why(who: Target) -> str:
    """What to do about a process that does not ask, by what is known of it."""
    if state_of(who) in ("T", "t"):
        return f"it is stopped: let it go on (kill -CONT {who.pid}), then ask again"
    said = list(who.doubts)
    if not who.told:
        return "; ".join([*said, RESTART])
    if who.socket_dir is not None and len(who.socket_dir) > LONGEST - OWN_NAME:
        said.append(f"its {SOCKET_DIR} may be too long: {LONGEST - OWN_NAME} characters can be used")
    said.append(
        "ask again once it has imported torch and runs; an order that it has still to finish comes first"
    )
    return "; ".join(said)


class Desk:
    """Answers messages, with the order for the process that is meant and with nothing for all others."""

    def __init__(self, listener: Listener, who: Target, ask: Ask) -> None:
        # With a time limit it would wait for readers too: who does not read answers must not stop others.
        listener.setblocking(False)
        self._listener = listener
        self._arrival = select.poll()
        self._arrival.register(listener, select.POLLIN)
        self._who = who
        self._ask = ask
        self._seen: Counter[int] = Counter()
        self._bad: Counter[int] = Counter()

    def serve(self) -> bool:
        """One message, or a moment's wait for one; True when the process took the order."""
        try:
            data, ancillary, _, address = self._listener.recvmsg(
                _LARGEST, socket.CMSG_SPACE(_CREDENTIALS.size)
            )
        except BlockingIOError:
            self._arrival.poll(TICK_S * 1e3)
            return False
        sender = _sender(ancillary)
        pid = sender[0] if sender is not None else 0
        self._seen[pid] += 1
        if pid != self._who.pid and self._seen[pid] > _MOST_MESSAGES:
            return False
        try:
            message = parse(data)
        except MessageError:
            self._bad[pid] += 1
            return False
        return self._take(message, sender, address)

    def _take(
        self, message: Request | Announcement, sender: Sender | None, address: str | bytes | None
    ) -> bool:
        if isinstance(message, Announcement):
            self._answer(address, reply("ctxt", count(1)))
            return False
        meant = bool(message.wants & ACTIVITIES) and _is(self._who, message, sender)
        body = self._ask.text().encode() if meant else b""
        return self._answer(address, reply("req", body)) and meant

    def _answer(self, address: str | bytes | None, message: bytes) -> bool:
        """False where the process that asked is gone, gave no address, or does not read its answers."""
        if not address:
            return False
        try:
            with acting_as(self._who):
                self._listener.answer(message, address)
        except OSError:
            return False
        return True

    def noise(self) -> str:
        """Words about messages that were none of the profiler's; "" where all were."""
        if not self._bad and max(self._seen.values(), default=0) <= _MOST_MESSAGES:
            return ""
        pid, _ = (self._seen if max(self._seen.values()) > _MOST_MESSAGES else self._bad).most_common(1)[0]
        command = " ".join(command_of(pid))[:60] if pid else ""
        who = f"process {pid}{f' ({command})' if command else ''}" if pid else "an unseen process"
        return (
            f"; {self._seen.total():,} messages came in, {self._bad.total():,} of those that were looked at "
            f"no profiler's, most from {who}"
        )


def _sender(ancillary: list[tuple[int, int, bytes]]) -> Sender | None:
    """Process and user id that the kernel vouches for."""
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_CREDENTIALS and len(data) >= _CREDENTIALS.size:
            pid, uid, _ = _CREDENTIALS.unpack_from(data)
            return pid, uid
    return None


def _is(who: Target, message: Request, sender: Sender | None) -> bool:
    """Whether the sender is the process that is meant: by the kernel's word, not by its own.

    The kernel names no process of a namespace that cannot be seen from here; its user it does name.
    """
    if sender is not None and sender[0] > 0:
        return sender[0] == who.pid
    same_user = sender is None or sender[1] == who.uid
    return same_user and message.pids[:1] == (who.inner_pid,)
