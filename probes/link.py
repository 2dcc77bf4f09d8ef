"""One worker process as its parent sees it: what it tells, how it ends, and that it ends for certain."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec

import probes
from probes.job import DEVICE_LOST, PARENT_GONE, Job

LINE_MAX_BYTES = 1 << 20
STDERR_KEPT_BYTES = 4000
# How often to see whether it still lives: its pipe may be held open by a child of its own.
LOOK_S = 0.2
# A process stuck in the driver outlives SIGKILL until the driver lets go; then it is left.
GONE_WITHIN_S = 5.0
_CHUNK_BYTES = 1 << 16


class BadLineError(Exception):
    """It sent a line that can be no event."""


def start_command() -> list[str]:
    """How to start a worker. -P keeps the working folder, with files named like modules, out of the path."""
    return [sys.executable, "-P", "-m", "probes.worker"]


def start_environment() -> dict[str, str]:
    """This process's environment; from a source tree that is not installed, also the way back to it."""
    environment = dict(os.environ)
    tree = str(Path(probes.__file__).parent.parent)
    if str(Path.cwd()) == tree:
        earlier = environment.get("PYTHONPATH")
        environment["PYTHONPATH"] = f"{earlier}{os.pathsep}{tree}" if earlier else tree
    return environment


class Link:
    """A worker in a process group of its own. Raises OSError where it cannot be started.

    job: its events_fd and parent_pid are filled in here.
    """

    def __init__(self, job: Job) -> None:
        self._events, write = os.pipe()
        try:
            self._process = self._start(job, write)
        except BaseException:
            os.close(self._events)
            raise
        finally:
            os.close(write)
        assert self._process.stdout is not None  # noqa: S101
        self._noise = self._process.stdout.fileno()
        self._selector = selectors.DefaultSelector()
        for fd in (self._events, self._noise):
            os.set_blocking(fd, False)
            self._selector.register(fd, selectors.EVENT_READ)
        self._buffer = bytearray()
        self._said = b""
        self._left = False

    def _start(self, job: Job, write: int) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            start_command(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=(write,),
            env=start_environment(),
        )
        asked = msgspec.structs.replace(job, events_fd=write, parent_pid=os.getpid())
        with contextlib.suppress(BrokenPipeError):
            assert process.stdin is not None  # noqa: S101
            process.stdin.write(msgspec.json.encode(asked))
            process.stdin.close()
        return process

    @property
    def pid(self) -> int:
        """Its process id, and that of its group."""
        return self._process.pid

    def lines(self, timeout_s: float) -> list[bytes]:
        """What it has sent since, waiting for it at most `timeout_s`. Raises BadLineError."""
        for key, _ in self._selector.select(timeout_s):
            self._read(key.fd)
        *whole, rest = bytes(self._buffer).split(b"\n")
        self._buffer = bytearray(rest)
        return [line for line in whole if line]

    def rest(self) -> list[bytes]:
        """All it has sent, once it has ended. Raises BadLineError."""
        found: list[bytes] = []
        while self._events in self._selector.get_map():
            size, before = len(self._buffer), len(found)
            found += self.lines(0)
            if len(found) == before and len(self._buffer) == size:
                break
        return found

    def _read(self, fd: int) -> None:
        try:
            data = os.read(fd, _CHUNK_BYTES)
        except BlockingIOError:
            return
        if not data:
            self._selector.unregister(fd)
        elif fd == self._events:
            self._buffer += data
            if len(self._buffer) > LINE_MAX_BYTES and b"\n" not in data:
                raise BadLineError(f"it sent a line of more than {LINE_MAX_BYTES >> 20} MiB")
        else:
            self._said = (self._said + data)[-STDERR_KEPT_BYTES:]

    def ended(self) -> bool:
        """Whether it has ended. It is not reaped: until `close` its process group cannot be another's."""
        with contextlib.suppress(ChildProcessError):
            return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None
        return True

    def close(self) -> None:
        """Kill it and all it started, and wait. Safe to call twice."""
        if self._left:
            return
        self._left = True
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(GONE_WITHIN_S)
        self._last_words()
        self._selector.close()
        os.close(self._events)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    def _last_words(self) -> None:
        begin = time.monotonic()
        while self._noise in self._selector.get_map() and time.monotonic() - begin < LOOK_S:
            if not self._selector.select(0):
                return
            with contextlib.suppress(BadLineError):
                self.lines(0)

    @property
    def code(self) -> int | None:
        """Its exit code, negative for a signal; None before `close`, or when it outlives SIGKILL."""
        return self._process.returncode

    def why(self) -> str:
        """How it ended, with the last line it said to people."""
        said = self._said.decode(errors="replace").strip().splitlines()
        return f"{_how(self.code)}: {_bounded(said[-1])}" if said else _how(self.code)


def _how(code: int | None) -> str:
    if code is None:
        return "the worker does not answer, not even to SIGKILL"
    if code in (-signal.SIGKILL, 128 + signal.SIGKILL):
        return "the worker was killed by SIGKILL: by the kernel where host memory runs out, else by somebody"
    if code < 0:
        return f"the worker was killed by {_signal(-code)}"
    known = {0: "the worker ended before it was done", DEVICE_LOST: "the device was lost to the worker"}
    known[PARENT_GONE] = "the worker found nobody listening"
    return known.get(code, f"the worker failed with exit code {code}")


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _bounded(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text).strip()[:200]
