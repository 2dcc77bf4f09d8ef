"""Pump: moves messages from a feed into a monitor on a thread, so that a screen never waits for either."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from advisor.monitor import Monitor
from advisor.snapshot import Snapshot
from advisor.telemetry.feed import Feed
from advisor.telemetry.records import End, Hello, Message

POLL_S = 0.25


class Sink(Protocol):
    """Something that keeps messages, such as a Recorder."""

    def write(self, message: Message) -> None:
        """Keep one message."""
        ...

    def close(self) -> None:
        """Finish the file."""
        ...


class MonitorThread:
    """Pumps a feed on a thread of its own; a screen reads the latest Snapshot without ever blocking."""

    def __init__(
        self,
        feed: Feed,
        monitor: Monitor,
        hello: Hello,
        *,
        open_recorder: Callable[[Path, Hello], Sink] | None = None,
    ) -> None:
        self._feed = feed
        self._monitor = monitor
        self._open_recorder = open_recorder
        self._lock = threading.Lock()
        self._sink: Sink | None = None
        self.recording_problem: str | None = None
        self._paused = False
        self._stop = threading.Event()
        monitor.feed(hello)
        self._hello = hello
        self._latest = monitor.snapshot()
        self._thread = threading.Thread(target=self._run, name="advisor-pump", daemon=True)
        self._thread.start()

    def snapshot(self) -> Snapshot:
        """The newest picture; the last one taken before a pause while paused."""
        return self._latest

    def pause(self, on: bool) -> None:
        """Freeze what is shown; sampling and recording go on behind it. A replay stands still."""
        self._paused = on
        hold = getattr(self._feed, "pause" if on else "resume", None)
        if hold is not None:
            hold()

    def start_recording(self, path: Path) -> None:
        """Record from now on. Raises OSError or RecordingError when the file cannot be made."""
        if self._open_recorder is None:
            raise OSError("this source cannot be recorded")
        sink = self._open_recorder(path, self._hello)
        with self._lock:
            self._sink = sink

    def stop_recording(self) -> None:
        """Finish the recording, if one runs."""
        with self._lock:
            sink, self._sink = self._sink, None
        if sink is not None:
            sink.close()

    def close(self) -> None:
        """Stop the thread, the recording and the feed."""
        self._stop.set()
        self._thread.join(timeout=2.0)
        self.stop_recording()
        self._feed.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            messages = self._feed.poll(POLL_S)
            for message in messages:
                self._keep(message)
                self._monitor.feed(message)
            silent = self._monitor.gap is not None
            if silent:
                self._monitor.tick(time.time())
            if (messages or silent) and not self._paused:
                self._latest = self._monitor.snapshot()
            if any(isinstance(m, End) for m in messages):
                return

    def _keep(self, message: Message) -> None:
        with self._lock:
            if self._sink is None:
                return
            try:
                self._sink.write(message)
            except OSError as problem:
                self._sink = None
                self.recording_problem = str(problem)
