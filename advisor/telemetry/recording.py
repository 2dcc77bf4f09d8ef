"""Recordings: the sample stream as append-only JSON Lines, plain or gzip, and its replay."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType

from advisor.telemetry.records import Hello, Message


class RecordingError(Exception):
    """A recording cannot be written or read. `fix` says what to do about it."""

    def __init__(self, message: str, fix: str = "") -> None:
        super().__init__(message)
        self.fix = fix


class Recorder:
    """Writes a stream to `path`, mode 0600, redacted unless redact is False; gzip when it ends in .gz."""

    def __init__(
        self,
        path: Path | str,
        *,
        overwrite: bool = False,
        redact: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path = Path(path)

    def write(self, message: Message) -> None:
        """Append one message; the first must be Hello."""
        raise NotImplementedError

    def close(self) -> None:
        """Flush and close. Safe to call twice."""

    def __enter__(self) -> Recorder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class RecordingReader:
    """A recording's header, then its messages one by one. `warnings` grows while it is read."""

    hello: Hello
    warnings: list[str]

    def __iter__(self) -> Iterator[Message]:
        raise NotImplementedError

    def close(self) -> None:
        """Close the file. Safe to call twice."""


def read_recording(path: Path | str) -> RecordingReader:
    """Open a recording. Raises RecordingError when it is none, is empty, or is from a newer advisor."""
    raise NotImplementedError


class ReplayFeed:
    """A recording as a Feed. speed: times real time; 0 or inf means as fast as possible."""

    def __init__(
        self,
        path: Path | str,
        speed: float = 1.0,
        seek_s: float = 0.0,
        loop: bool = False,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.path = Path(path)

    def start(self, timeout_s: float = 10.0) -> Hello:
        """Open the recording and return its header."""
        raise NotImplementedError

    def poll(self, timeout_s: float) -> list[Message]:
        """Messages that are due."""
        raise NotImplementedError

    def close(self) -> None:
        """Close the file. Safe to call twice."""

    def pause(self) -> None:
        """Hold the replay at its position."""

    def resume(self) -> None:
        """Go on from where it was held."""

    @property
    def warnings(self) -> list[str]:
        """What was skipped while reading."""
        raise NotImplementedError

    @property
    def duration_s(self) -> float:
        """Recorded time from the first to the last message."""
        raise NotImplementedError

    @property
    def position_s(self) -> float:
        """Recorded time reached so far."""
        raise NotImplementedError


def demo_feed(speed: float = 1.0, loop: bool = False) -> ReplayFeed:
    """The bundled demo recording."""
    raise NotImplementedError
