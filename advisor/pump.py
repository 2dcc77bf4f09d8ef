"""Pump: moves messages from a feed into a monitor on a thread, so that a screen never waits for either."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from advisor.host_facts import main_process
from advisor.monitor import Monitor
from advisor.snapshot import Snapshot
from advisor.telemetry.feed import Feed
from advisor.telemetry.records import DeviceInfo, End, EngineLook, Frame, Gap, Hello, Message, StackLook
from advisor.telemetry.stacks import look, nothing
from rules.stacks import Stacks

POLL_S = 0.25
# A replay at a hundred times real time is not diagnosed a hundred times a second.
PUBLISH_S = 0.2
# How often a silence is seen to grow.
SILENCE_S = 1.0
# A step takes a poll and a diagnosis; one that takes this long waits for something, such as a dead disk.
STUCK_S = 5.0
STOPPED = "stopped by the user"


class Sink(Protocol):
    """Something that keeps messages, such as a Recorder."""

    def write(self, message: Message) -> None:
        """Keep one message; the first is a Hello. Raises OSError or RecordingError when it cannot."""
        ...

    def close(self) -> None:
        """Finish the file. Safe to call twice."""
        ...


def let_time_pass(monitor: Monitor, messages: Sequence[Message]) -> None:
    """Let a silence grow: on a live node with the clock, in a recording up to its end and no further."""
    if monitor.options.source in ("live", "run"):
        monitor.tick(time.time())
        return
    for message in messages:
        if isinstance(message, End):
            monitor.tick(message.t_s)


class Tape:
    """The part of a stream that is recorded, from any moment on and to any other.

    `take` is called by the thread that reads the stream, the others by any thread. problem: why a recording
    that was running had to end.
    """

    def __init__(self, hello: Hello) -> None:
        self._hello = hello
        self._devices: tuple[DeviceInfo, ...] = hello.devices
        self._ceilings = dict(hello.ceilings)
        self._now_s = hello.t_s
        self._gap: Gap | None = None
        self._ended = False
        self._lock = threading.Lock()
        self._sink: Sink | None = None
        self.problem: str | None = None

    def begin(self, sink: Sink) -> None:
        """Write the stream from here on into `sink`; a recording that runs ends. Raises what `sink` does."""
        with self._lock:
            try:
                self._write_start(sink)
            except BaseException:
                sink.close()
                raise
            self._finish()
            self._sink = sink
            self.problem = None

    def end(self, why: str) -> None:
        """Finish the recording, if one runs."""
        with self._lock:
            if self._sink is not None and not self._ended:
                with contextlib.suppress(Exception):
                    self._sink.write(End(t_s=time.time(), reason=why))
            self._finish()

    def fail(self, problem: str) -> None:
        """Finish the recording, if one runs, because it cannot go on."""
        with self._lock:
            if self._sink is not None:
                self.problem = problem
            self._finish()

    def take(self, message: Message) -> bool:
        """Keep one message if a recording runs; False when that failed, which ends the recording alone."""
        with self._lock:
            self._note(message)
            if self._sink is None:
                return True
            try:
                self._sink.write(message)
            except Exception as error:  # a file is never worth the screen
                self.problem = str(error) or type(error).__name__
                self._finish()
            return self._sink is not None

    def _note(self, message: Message) -> None:
        """What a recording that begins after this message has to start with."""
        if isinstance(message, StackLook | EngineLook):
            return
        self._now_s = message.t_s
        self._gap = message if isinstance(message, Gap) else None
        self._ended = isinstance(message, End)
        if isinstance(message, Frame) and message.devices is not None:
            self._devices = message.devices
            self._ceilings.update(message.ceilings)

    def _write_start(self, sink: Sink) -> None:
        t_s = self._now_s if self._gap is None else max(self._now_s, time.time())
        start = {"t_s": t_s, "devices": self._devices, "ceilings": dict(self._ceilings)}
        sink.write(msgspec.structs.replace(self._hello, **start))
        if self._gap is not None:
            sink.write(msgspec.structs.replace(self._gap, t_s=t_s))

    def _finish(self) -> None:
        sink, self._sink = self._sink, None
        if sink is not None:
            with contextlib.suppress(Exception):
                sink.close()


class MonitorThread:
    """Pumps a feed on a thread of its own; a screen reads the latest Snapshot without ever blocking.

    open_recorder: makes the file of a recording; None where nothing can be recorded. When the feed or the
    monitor fails, the last snapshot stays, with the reason in its `stale`.
    """

    def __init__(
        self,
        feed: Feed,
        monitor: Monitor,
        hello: Hello,
        *,
        open_recorder: Callable[[Path], Sink] | None = None,
    ) -> None:
        self._feed = feed
        self._monitor = monitor
        self._open_recorder = open_recorder
        self._tape = Tape(hello)
        self._looks: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._paused = False
        self._stop = threading.Event()
        self._changed = threading.Event()
        monitor.feed(hello)
        self._latest = monitor.snapshot()
        self._published_s = self._beat_s = time.monotonic()
        self._due = False
        self._thread = threading.Thread(target=self._run, name="advisor-pump", daemon=True)
        self._thread.start()

    @property
    def recording_problem(self) -> str | None:
        """Why a recording that was running had to end, None while none had."""
        return self._tape.problem

    def snapshot(self) -> Snapshot:
        """The newest picture, stale when reading is stuck; the last one before a pause while paused."""
        stuck_s = time.monotonic() - self._beat_s
        if stuck_s < STUCK_S or not self._thread.is_alive():
            return self._latest
        stale = f"advisor is stuck: it has read nothing for {stuck_s:.0f} s"
        return msgspec.structs.replace(self._latest, stale=stale)

    def subscribe(self, changed: threading.Event) -> None:
        """Set this event whenever there is a newer picture, or a recording had to end."""
        self._changed = changed

    def look_inside(self, key: str, stop: Callable[[], bool]) -> Stacks:
        """Sample the stacks of the device's main process, and send the result along in the stream.

        Blocks for seconds; `missing` says why there are none. stop: asked often; True ends it.
        """
        seen = self._look(key, lambda: stop() or self._stop.is_set())
        self._looks.put(StackLook(t_s=time.time(), key=key, stacks=seen))
        return seen

    def _look(self, key: str, stop: Callable[[], bool]) -> Stacks:
        view = next((v for v in self._latest.devices if v.info.key == key), None)
        main = main_process(view.processes) if view is not None else None
        pid = main.pid if main is not None else 0
        if self._monitor.options.source not in ("live", "run"):
            return nothing(pid, "this is a recording: its processes are not here to be looked at")
        if main is None:
            return nothing(pid, "no process that uses this GPU can be seen")
        return look(pid, stop=stop)

    def pause(self, on: bool) -> None:
        """Freeze what is shown; sampling and recording go on behind it. A replay stands still."""
        self._paused = on
        hold = getattr(self._feed, "pause" if on else "resume", None)
        if hold is not None:
            hold()

    def start_recording(self, path: Path) -> None:
        """Record from now on; a recording that runs ends where this one begins.

        Raises OSError or RecordingError when the file cannot be made; a recording that runs then goes on.
        """
        if self._open_recorder is None:
            raise OSError("this source cannot be recorded")
        self._tape.begin(self._open_recorder(path))

    def stop_recording(self) -> None:
        """Finish the recording, if one runs."""
        self._tape.end(STOPPED)

    def close(self) -> None:
        """Stop the thread, the recording and the feed. Safe to call twice."""
        self._stop.set()
        self._thread.join(timeout=2.0)
        self.stop_recording()
        self._feed.close()

    def _run(self) -> None:
        try:
            while not self._stop.is_set() and (self._due or self._monitor.end is None):
                self._beat_s = time.monotonic()
                self._step()
        except Exception as error:  # a thread that ends without a word leaves a screen that looks alive
            why = f"{type(error).__name__}: {error}"
            self._tape.fail(f"advisor failed: {why}")
            self._publish(msgspec.structs.replace(self._latest, stale=f"advisor failed: {why}"))

    def _step(self) -> None:
        messages = self._read(self._patience_s())
        for message in messages:
            if not self._tape.take(message):
                self._changed.set()
            self._monitor.feed(message)
        let_time_pass(self._monitor, messages)
        self._due = self._due or bool(messages) or self._silence_grew()
        if self._due and not self._paused and self._patience_s() <= 0:
            self._publish(self._monitor.snapshot())

    def _read(self, timeout_s: float) -> list[Message]:
        """What the feed has; a stream that is over is waited on without it, until the pause ends."""
        if self._monitor.end is None:
            return [*self._feed.poll(timeout_s), *self._looked()]
        self._stop.wait(timeout_s)
        return self._looked()

    def _looked(self) -> list[Message]:
        """Looks inside processes that are done."""
        done: list[Message] = []
        while not self._looks.empty():
            done.append(self._looks.get())
        return done

    def _patience_s(self) -> float:
        """How long to wait for messages: less when a picture is due, not at all at the stream's end."""
        if not self._due or self._paused:
            return POLL_S
        if self._monitor.end is not None:
            return 0.0
        return min(POLL_S, max(0.0, self._published_s + PUBLISH_S - time.monotonic()))

    def _silence_grew(self) -> bool:
        live = self._monitor.options.source in ("live", "run")
        age_s = time.monotonic() - self._published_s
        return live and self._monitor.gap is not None and age_s >= SILENCE_S

    def _publish(self, snapshot: Snapshot) -> None:
        self._latest = snapshot
        self._published_s = time.monotonic()
        self._due = False
        self._changed.set()
