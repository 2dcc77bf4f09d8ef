"""Keeps one sampler process alive: deadlines, restarts, and gaps marked in the stream."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal

import msgspec

import advisor
from advisor.telemetry.phase import SLOW, VARIABLE, Activity, Phase, PhaseReader, look_again_s, silence
from advisor.telemetry.records import DeviceInfo, End, Frame, Gap, Hello, Message

LATE_INTERVALS = 3.0
LATE_MIN_S = 10.0
SILENT_LOOK_S = 0.5
KILL_AFTER_S = 30.0
CRASHES_MAX = 5
CRASH_WINDOW_S = 60.0
BACKOFF_S = (0.5, 1.0, 2.0, 4.0)
STOP_GRACE_S = 1.0
GREETING_S = 10.0
LINE_MAX = 64 * 1024 * 1024
STDERR_KEPT = 2000


def worker_command(interval_s: float, gpm_interval_s: float | None, processes_s: float) -> list[str]:
    """The command line of the sampler process; gpm_interval_s None leaves GPM out.

    -P keeps the working folder out of the module path: people run this among files named like modules.
    """
    command = [sys.executable, "-P", "-m", "advisor.telemetry.worker"]
    gpm = ["--no-gpm"] if gpm_interval_s is None else ["--gpm-interval", str(gpm_interval_s)]
    return [*command, "--interval", str(interval_s), *gpm, "--processes", str(processes_s)]


def worker_environment() -> dict[str, str]:
    """This process's environment; run from a source tree that is not installed, also the way back to it."""
    environment = dict(os.environ)
    tree = str(Path(advisor.__file__).parent.parent)
    if str(Path.cwd()) == tree:
        earlier = environment.get("PYTHONPATH")
        environment["PYTHONPATH"] = f"{earlier}{os.pathsep}{tree}" if earlier else tree
    return environment


def late_after_s(interval_s: float) -> float:
    """How long without a frame is too long though every call returns: the driver is alive and very slow.

    A call that does not return is seen much earlier, see `advisor.telemetry.phase`.
    """
    return max(LATE_MIN_S, LATE_INTERVALS * interval_s)


class Worker:
    """One run of the sampler process and what has been read of it."""

    def __init__(self, command: Sequence[str]) -> None:
        self._phase = PhaseReader()
        try:
            self.process = self._start(command)
        except OSError:
            self._phase.close()
            raise
        assert self.process.stdout is not None and self.process.stderr is not None  # noqa: S101
        self.stdout_fd = self.process.stdout.fileno()
        self.stderr_fd = self.process.stderr.fileno()
        self.started_s = time.monotonic()
        self.heard_s = self.started_s
        self.heard_at = time.time()
        self.greeted = False
        self.killed = False
        self.farewell: End | None = None
        self._buffer = bytearray()
        self._stderr = b""
        self._decoder = msgspec.json.Decoder(Message)

    def _start(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            list(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            pass_fds=(self._phase.fd,),
            env=worker_environment() | {VARIABLE: str(self._phase.fd)},
        )

    def overdue_at_s(self, late_s: float) -> float:
        """When it is to be called silent, if nothing changes before. It may take GREETING_S to say hello."""
        return self._activity().overdue_at_s(
            self.heard_s, late_s if self.greeted else max(late_s, GREETING_S)
        )

    def stuck_for_s(self, now_s: float) -> float:
        """How long it has been at one call; 0 while its calls return."""
        since_s = self._activity().stuck_since_s(self.heard_s, now_s)
        return 0.0 if since_s is None else now_s - since_s

    def silence(self, now_s: float) -> Gap:
        """What its silence means, and since when."""
        activity = self._activity()
        since_s = activity.stuck_since_s(self.heard_s, now_s)
        words = SLOW if since_s is None else silence(activity.phase)
        began_at = self.heard_at + max(0.0, (since_s or self.heard_s) - self.heard_s)
        since = time.strftime("%H:%M:%S", time.localtime(began_at))
        blame: Literal["driver", "sampler"] = "driver" if words.startswith("driver") else "sampler"
        return Gap(t_s=round(began_at, 3), kind="silent", reason=f"{words} {since}", blame=blame)

    def _activity(self) -> Activity:
        return self._phase.read() if self.greeted else Activity(Phase.STARTING, None)

    def messages(self) -> Iterator[Message] | None:
        """What its stdout holds now; None at its end. Raises msgspec.MsgspecError on what is no message,
        when iteration comes to it: the good messages before it are not lost."""
        data = os.read(self.stdout_fd, 1 << 16)
        if not data:
            return None
        self._buffer += data
        *lines, rest = bytes(self._buffer).split(b"\n") if b"\n" in data else (bytes(self._buffer),)
        if len(rest) > LINE_MAX:
            raise msgspec.ValidationError("a message without end")
        self._buffer = bytearray(rest)
        return (self._decoder.decode(line) for line in lines if line)

    def drain_stderr(self) -> bool:
        """Keep the end of what it said on stderr; False at its end."""
        data = os.read(self.stderr_fd, 1 << 16)
        self._stderr = (self._stderr + data)[-STDERR_KEPT:]
        return bool(data)

    def why_it_ended(self) -> str:
        """How the process ended, with the last line of its stderr."""
        code = self.process.returncode
        how = "ended unasked" if code in (0, None) else f"failed with exit code {code}"
        if code is not None and code < 0:
            with contextlib.suppress(ValueError):
                how = f"was killed by {signal.Signals(-code).name}"
        said = self._stderr.decode(errors="replace").strip().splitlines()
        return f"{how}: {said[-1][:200]}" if said else how

    def kill(self) -> None:
        """SIGKILL. A process stuck in the driver outlives it until the driver lets go."""
        self.killed = True
        with contextlib.suppress(OSError):
            self.process.kill()

    def gone_within(self, timeout_s: float) -> bool:
        """Whether the process ends in this time."""
        try:
            self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def close(self) -> None:
        """Close our ends of its pipes, so that a live worker stops."""
        self._phase.close()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


class Continuity:
    """Makes one stream of what successive workers send: one header, running numbers, changes of devices."""

    def __init__(self) -> None:
        self._devices: tuple[DeviceInfo, ...] = ()
        self._changed: tuple[DeviceInfo, ...] | None = None
        self._seq = 0
        self.begun = False

    def greeted(self, hello: Hello) -> Hello | None:
        """The header if it is the stream's first; of a later one only its devices matter, if they changed."""
        first, self.begun = not self.begun, True
        if not first and hello.devices != self._devices:
            self._changed = hello.devices
        self._devices = hello.devices
        return hello if first else None

    def framed(self, frame: Frame) -> Frame:
        """The frame with its number in the whole stream."""
        devices, self._changed = frame.devices or self._changed, None
        if devices is not None:
            self._devices = devices
        self._seq += 1
        return msgspec.structs.replace(frame, seq=self._seq - 1, devices=devices)


class CrashBudget:
    """How long to wait before the next start, and when to give up."""

    def __init__(self) -> None:
        self._crashes: deque[float] = deque()

    def spend(self, now_s: float) -> float | None:
        """Note a crash; seconds to wait, or None when there were too many in too short a time."""
        self._crashes.append(now_s)
        while now_s - self._crashes[0] > CRASH_WINDOW_S:
            self._crashes.popleft()
        count = len(self._crashes)
        return None if count >= CRASHES_MAX else BACKOFF_S[min(count, len(BACKOFF_S)) - 1]


class Supervisor:
    """Runs workers until `stop`, and puts one continuous stream out through `emit`.

    late_s: time without a frame that becomes a Gap; a call that does not return becomes one sooner.
    kill_after_s: how long after that call began the worker is killed and restarted.
    """

    def __init__(
        self,
        command: Sequence[str],
        emit: Callable[[Message], None],
        *,
        late_s: float,
        kill_after_s: float = KILL_AFTER_S,
    ) -> None:
        self._command = command
        self._late_s = late_s
        self._kill_after_s = max(kill_after_s, 2 * late_s)
        self._emit = emit
        self._stop_read, self._stop_write = os.pipe()
        self._stopping = False
        self._selector = selectors.DefaultSelector()
        self._worker: Worker | None = None
        self._continuity = Continuity()
        self._crashes = CrashBudget()
        self._start_s = 0.0
        self._silent = False
        self._last_silence = ""
        self.last_crash = ""

    def run(self) -> None:
        """The supervisor thread: returns after `stop`, or after emitting End."""
        self._selector.register(self._stop_read, selectors.EVENT_READ, self._noop)
        try:
            while not self._stopping:
                self._step()
        except Exception as error:  # the stream must end rather than fall silent
            self._end(f"the sampler's supervisor failed: {type(error).__name__}: {error}", "")
        finally:
            self._dismiss()
            self._selector.close()

    def stop(self) -> None:
        """Ask `run` to return. Callable from any thread, more than once."""
        self._stopping = True
        with contextlib.suppress(OSError):
            os.write(self._stop_write, b"x")

    def release(self) -> None:
        """Give the wake-up pipe back, once `run` has returned. Safe to call twice."""
        fds, self._stop_read, self._stop_write = (self._stop_read, self._stop_write), -1, -1
        for fd in fds:
            if fd >= 0:
                os.close(fd)

    def _noop(self) -> None:
        """Waking up was all."""

    def _step(self) -> None:
        if self._worker is None and time.monotonic() >= self._start_s:
            self._start_worker()
        for key, _ in self._selector.select(self._wait_s()):
            key.data()
        if self._worker is not None:
            self._check(self._worker, time.monotonic())

    def _wait_s(self) -> float:
        now = time.monotonic()
        if self._worker is None:
            return max(0.0, self._start_s - now)
        if self._worker.killed or self._silent:
            return SILENT_LOOK_S
        return look_again_s(self._worker.overdue_at_s(self._late_s), now)

    def _start_worker(self) -> None:
        try:
            worker = Worker(self._command)
        except OSError as error:
            self._crashed(f"could not be started: {error}", "")
            return
        self._worker = worker
        self._silent = False
        self._selector.register(worker.stdout_fd, selectors.EVENT_READ, self._read)
        self._selector.register(worker.stderr_fd, selectors.EVENT_READ, self._read_stderr)

    def _read(self) -> None:
        worker = self._worker
        if worker is None:
            return
        try:
            messages = worker.messages()
            if messages is None:
                self._ended(worker)
                return
            for message in messages:
                self._take(worker, message)
        except msgspec.MsgspecError as error:
            worker.kill()
            self._crashed(f"sent what is no message: {error}", "")

    def _read_stderr(self) -> None:
        if self._worker is not None and not self._worker.drain_stderr():
            self._selector.unregister(self._worker.stderr_fd)

    def _take(self, worker: Worker, message: Message) -> None:
        worker.heard_s, worker.heard_at = time.monotonic(), time.time()
        if not worker.killed:
            self._silent = False
        if isinstance(message, Hello):
            worker.greeted = True
            if first := self._continuity.greeted(message):
                self._emit(first)
        elif isinstance(message, Frame):
            self._emit(self._continuity.framed(message))
        elif isinstance(message, End):
            worker.farewell = message

    def _check(self, worker: Worker, now_s: float) -> None:
        if worker.killed or not self._continuity.begun:
            return
        if self._silent:
            if worker.stuck_for_s(now_s) >= self._kill_after_s:
                worker.kill()
        elif now_s >= worker.overdue_at_s(self._late_s):
            self._silent = True
            gap = worker.silence(now_s)
            self._last_silence = gap.reason
            self._emit(gap)

    def _ended(self, worker: Worker) -> None:
        """Its stdout is at its end: find out why, and begin anew or give up."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            worker.process.wait(STOP_GRACE_S)
        if self._selector.get_map().get(worker.stderr_fd):
            worker.drain_stderr()
        farewell = worker.farewell
        if farewell is not None and not self._continuity.begun:
            self._dismiss()
            self._end(farewell.reason, farewell.fix)
        elif worker.killed:
            self._restart(worker, f"silent for {self._kill_after_s:g} s, {self._last_silence}", 0.0)
        elif farewell is not None:
            self._crashed(farewell.reason, farewell.fix)
        else:
            self._crashed(worker.why_it_ended(), "")

    def _crashed(self, reason: str, fix: str) -> None:
        self.last_crash = reason
        wait_s = self._crashes.spend(time.monotonic())
        if wait_s is None:
            self._dismiss()
            what = f"the sampler stopped {CRASHES_MAX} times within {CRASH_WINDOW_S:g} s, the last: {reason}"
            self._end(what, fix or "Run `advisor doctor`; look at `dmesg | grep -i -e nvrm -e xid`.")
        else:
            self._restart(self._worker, reason, wait_s)

    def _restart(self, worker: Worker | None, reason: str, wait_s: float) -> None:
        heard_at = time.time() if worker is None else worker.heard_at
        self._dismiss()
        self._start_s = time.monotonic() + wait_s
        if self._continuity.begun:
            words = f"sampler restarted: {reason}"
            self._emit(Gap(t_s=round(heard_at, 3), kind="restart", reason=words, blame="sampler"))

    def _end(self, reason: str, fix: str) -> None:
        self._stopping = True
        self._emit(End(t_s=round(time.time(), 3), reason=reason, error=True, fix=fix))

    def _dismiss(self) -> None:
        """Let the worker go: it stops when its stdin closes; else it is killed, and left if stuck."""
        worker, self._worker = self._worker, None
        if worker is None:
            return
        for fd in (worker.stdout_fd, worker.stderr_fd):
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(fd)
        worker.close()
        answering = worker.greeted and not self._silent and not worker.killed
        if answering and worker.gone_within(STOP_GRACE_S):
            return
        worker.kill()
        worker.gone_within(STOP_GRACE_S)
