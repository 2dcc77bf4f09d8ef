"""The messages between PyTorch's profiler (Kineto) and the daemon it asks for work, and what work reads like.

A process started with KINETO_USE_DAEMON=1 sends a datagram to the socket named `dynolog` every few seconds: a
size (8 bytes), a type (32 bytes, zero-filled) and a body. A `req` asks for a configuration on behalf of a job
and a list of process ids, its own first and its ancestors after; the answer is a configuration in lines of
KEY=VALUE, empty for "nothing to do". A `ctxt` announces a process; the answer is a count.

Source: pytorch/kineto libkineto/src/IpcFabricConfigClient.cpp and Config.cpp, facebookincubator/dynolog
dynolog/src/ipcfabric (Endpoint.h, FabricManager.h, Utils.h); checked against PyTorch 2.13.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

import msgspec

NAME = "dynolog"
SOCKET_DIR = "KINETO_IPC_SOCKET_DIR"
USE_DAEMON = "KINETO_USE_DAEMON"

_HEAD = struct.Struct("=Q32s")
_REQUEST = struct.Struct("=iiq")
_PID = struct.Struct("=i")
ACTIVITIES = 2  # the bit of a request's type that asks for work of the kind wanted here
# A process tree deeper than this is no process tree.
_MOST_PIDS = 4096


class MessageError(ValueError):
    """A datagram is not one of the profiler's."""


class Request(msgspec.Struct, frozen=True):
    """A process asks for work. pids: its own, then its ancestors', in its own process namespace."""

    wants: int
    job: int
    pids: tuple[int, ...]


class Announcement(msgspec.Struct, frozen=True):
    """A process says that it is there."""

    pid: int
    device: int
    job: int


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """What trace is asked for: `steps` optimizer steps, or seconds where that is None.

    log_file: where the process writes it, as the process sees its file system; the process puts its own id
    before the suffix. shapes, stacks: record operators' shapes, and Python stacks (which slows it).
    """

    log_file: str
    steps: int | None = None
    seconds: float = 1.0
    shapes: bool = True
    stacks: bool = False

    def text(self) -> str:
        """The configuration in the profiler's own words."""
        if self.steps is None:
            when = ["PROFILE_START_TIME=0", f"ACTIVITIES_DURATION_MSECS={max(1, round(self.seconds * 1e3))}"]
        else:
            when = [
                "PROFILE_START_ITERATION=0",
                "PROFILE_START_ITERATION_ROUNDUP=1",
                f"ACTIVITIES_ITERATIONS={self.steps}",
            ]
        how = [
            f"PROFILE_REPORT_INPUT_SHAPES={_word(self.shapes)}",
            f"PROFILE_WITH_STACK={_word(self.stacks)}",
        ]
        return "\n".join([f"ACTIVITIES_LOG_FILE={self.log_file}", *when, *how])

    def written_by(self, pid: int) -> str:
        """The file that process `pid` writes, as it sees its file system."""
        path = Path(self.log_file)
        return str(path.with_name(f"{path.stem}_{pid}{path.suffix}"))


def address(socket_dir: str | None) -> bytes:
    """Where the profiler sends to: an abstract socket, or a file in the folder that its environment names."""
    if socket_dir:
        return os.fsencode(f"{socket_dir}/{NAME}")
    return b"\0" + NAME.encode() + b"\0"


def parse(datagram: bytes) -> Request | Announcement:
    """The message in a datagram. Raises MessageError where it is none."""
    if len(datagram) < _HEAD.size:
        raise MessageError(f"{len(datagram)} bytes are too few for a message")
    size, kind = _HEAD.unpack_from(datagram)
    body = datagram[_HEAD.size :]
    if size != len(body):
        raise MessageError(f"the message says {size} bytes and has {len(body)}")
    match kind.split(b"\0", 1)[0]:
        case b"req":
            return _request(body)
        case b"ctxt":
            return _announcement(body)
    raise MessageError("the message is of no known type")


def reply(kind: str, body: bytes) -> bytes:
    """A message as the profiler reads it."""
    return _HEAD.pack(len(body), kind.encode()) + body


def count(of: int) -> bytes:
    """The body that answers an announcement: how many processes use the device."""
    return _PID.pack(of)


def _request(body: bytes) -> Request:
    if len(body) < _REQUEST.size:
        raise MessageError("a request is cut short")
    wants, n, job = _REQUEST.unpack_from(body)
    rest = body[_REQUEST.size :]
    if not 0 <= n <= _MOST_PIDS or len(rest) < n * _PID.size:
        raise MessageError(f"a request names {n} processes and holds {len(rest) // _PID.size}")
    return Request(wants, job, tuple(pid for (pid,) in _PID.iter_unpack(rest[: n * _PID.size])))


def _announcement(body: bytes) -> Announcement:
    layout = struct.Struct("=iiq")
    if len(body) < layout.size:
        raise MessageError("an announcement is cut short")
    device, pid, job = layout.unpack_from(body)
    return Announcement(pid, device, job)


def _word(wanted: bool) -> str:
    return "true" if wanted else "false"
