"""A recording as a feed: the same messages, at the pace they were recorded or another."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from advisor.telemetry.lines import RecordingError
from advisor.telemetry.recording_reader import RecordingReader, read_recording
from advisor.telemetry.records import End, EngineLook, Frame, Gap, Hello, Message

# A gap of hours (a paused recording, a clock set anew) is not sat through again.
LONGEST_WAIT_S = 60.0
_BATCH = 64
SEAM = "the recording starts again"


class _Timed(msgspec.Struct):
    """A message, and where it stands on the replay's time line."""

    at_s: float
    message: Message


class ReplayFeed:
    """A recording as a Feed.

    speed: times real time; 0 or infinity means as fast as possible. seek_s: recorded time to skip. loop:
    start again at the end, with times that go on, and a Gap of kind `paused` between. A wait between two
    messages is never longer than LONGEST_WAIT_S of recorded time. `start` raises RecordingError on a bad
    file, speed or seek.
    """

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
        self._unpaced = speed == 0 or math.isinf(speed)
        self._speed = speed
        self._seek_s = seek_s
        self._loop = loop
        self._clock = clock
        self._sleep = sleep
        self._reader: RecordingReader | None = None
        self._timeline: Iterator[_Timed] = iter(())
        self._next: _Timed | None = None
        self._position_s = self._last_s = 0.0
        self._origin_s = 0.0
        self._paused_s: float | None = None
        self._ended = False
        self._duration_s: float | None = None

    def start(self, timeout_s: float = 10.0) -> Hello:  # noqa: ARG002
        """Open the recording at `seek_s` and return its header. timeout_s: files do not keep one waiting."""
        _check_pace(self._speed, self._seek_s)
        self._reader = read_recording(self.path)
        self._last_s = self._reader.hello.t_s
        self._timeline = self._messages(self._reader)
        carried = Frame(seq=0, t_s=0.0)
        self._next = next(self._timeline, None)
        while self._next is not None and self._next.at_s < self._seek_s:
            self._position_s = self._next.at_s
            carried = _carry(carried, self._next.message)
            self._next = next(self._timeline, None)
        if self._next is None and self._seek_s > 0:
            end_s = self._position_s
            self.close()
            raise RecordingError(
                f"{self.path} ends at {end_s:.0f} s, before {self._seek_s:g} s", "seek to an earlier place"
            )
        if self._next is not None and isinstance(self._next.message, Frame):
            self._next.message = _filled(self._next.message, carried)
        self._origin_s = self._clock() - self._seek_s / self._pace
        return self._reader.hello

    @property
    def _pace(self) -> float:
        return 1.0 if self._unpaced else self._speed

    def _messages(self, reader: RecordingReader) -> Iterator[_Timed]:
        """Every message on one time line, round after round when looping."""
        at_s, shift_s = 0.0, 0.0
        previous: float | None = None
        while True:
            first, ended_s = None, previous
            for message in reader:
                if isinstance(message, End) and self._loop:
                    continue
                moved = _shifted(message, shift_s) if shift_s else message
                first = message.t_s if first is None else first
                if previous is not None:
                    at_s += min(max(0.0, moved.t_s - previous), LONGEST_WAIT_S)
                previous = moved.t_s
                if ended_s is not None:  # the seam comes with what follows it: nothing was silent
                    yield _Timed(at_s, Gap(t_s=ended_s, kind="paused", reason=SEAM))
                    ended_s = None
                yield _Timed(at_s, moved)
            if not self._loop or first is None or previous is None:
                return
            reader = self._again(reader)
            shift_s = previous + _step_s(reader.hello) - first

    def _again(self, reader: RecordingReader) -> RecordingReader:
        reader.close()
        self._reader = read_recording(self.path)
        return self._reader

    def poll(self, timeout_s: float) -> list[Message]:
        """Messages that are due, oldest first; waits up to timeout_s for one. After `End`, always empty."""
        if self._ended or self._reader is None or self._paused_s is not None:
            self._sleep(max(0.0, timeout_s))
            return []
        wait_s = self._wait_s()
        if wait_s > 0:
            self._sleep(min(wait_s, max(0.0, timeout_s)))
        return self._due()

    def _wait_s(self) -> float:
        """Time until the next message is due."""
        if self._unpaced or self._next is None:
            return 0.0
        return self._origin_s + self._next.at_s / self._speed - self._clock()

    def _due(self) -> list[Message]:
        messages: list[Message] = []
        while not self._ended and len(messages) < _BATCH and self._wait_s() <= 0 and self._paused_s is None:
            messages.append(self._take())
        return messages

    def _take(self) -> Message:
        """The next message; an End is made up where the recording has none."""
        taken = self._next
        if taken is None:
            self._ended = True
            return End(t_s=self._last_s, reason="end of the recording")
        self._position_s = taken.at_s
        self._last_s = taken.message.t_s
        self._ended = isinstance(taken.message, End)
        self._next = next(self._timeline, None)
        return taken.message

    def close(self) -> None:
        """Close the file. Safe to call twice."""
        self._ended = True
        if self._reader is not None:
            self._reader.close()

    def pause(self) -> None:
        """Hold the replay at its position."""
        if self._paused_s is None:
            self._paused_s = self._clock()

    def resume(self) -> None:
        """Go on from where it was held."""
        if self._paused_s is not None:
            self._origin_s += self._clock() - self._paused_s
            self._paused_s = None

    @property
    def paused(self) -> bool:
        return self._paused_s is not None

    @property
    def warnings(self) -> list[str]:
        """What could not be read so far, in sentences."""
        return self._reader.warnings if self._reader is not None else []

    @property
    def duration_s(self) -> float:
        """Length on the replay's time line, waits cut to LONGEST_WAIT_S. Reads the file through, once."""
        if self._duration_s is None:
            self._duration_s = _length_s(self.path)
        return self._duration_s

    @property
    def position_s(self) -> float:
        """Where the last message stands between 0 and duration_s; in a loop, since the round began."""
        if not self._loop or self._reader is None:
            return self._position_s
        round_s = self.duration_s + _step_s(self._reader.hello)
        return min(self._position_s % round_s, self.duration_s)


def _check_pace(speed: float, seek_s: float) -> None:
    if math.isnan(speed) or speed < 0:
        raise RecordingError(
            f"a recording cannot be replayed at a speed of {speed:g}",
            "give a positive number, or 0 for no waiting",
        )
    if not 0 <= seek_s < math.inf:
        raise RecordingError(f"{seek_s:g} s is no place in a recording", "give seconds from its start")


def _step_s(hello: Hello) -> float:
    """Time between two rounds of a loop. Never 0, so that a loop always moves on."""
    return min(max(hello.interval_s, 0.1), LONGEST_WAIT_S)


def _length_s(path: Path) -> float:
    at_s, previous = 0.0, None
    with read_recording(path) as reader:
        for message in reader:
            if previous is not None:
                at_s += min(max(0.0, message.t_s - previous), LONGEST_WAIT_S)
            previous = message.t_s
    return at_s


def _carry(carried: Frame, skipped: Message) -> Frame:
    """What frames before the place sought to said last of devices, processes and host."""
    return _filled(skipped, carried) if isinstance(skipped, Frame) else carried


def _filled(frame: Frame, carried: Frame) -> Frame:
    return msgspec.structs.replace(
        frame,
        devices=frame.devices if frame.devices is not None else carried.devices,
        ceilings={**carried.ceilings, **frame.ceilings},
        processes=frame.processes if frame.processes is not None else carried.processes,
        host=frame.host if frame.host is not None else carried.host,
    )


def _shifted(message: Message, by_s: float) -> Any:
    """The message with every time in it moved."""
    changes: dict[str, Any] = {"t_s": message.t_s + by_s}
    if isinstance(message, Frame):
        changes["samples"] = tuple(
            msgspec.structs.replace(
                sample, t_s=sample.t_s + by_s, gpm=tuple(_moved(gpm, by_s) for gpm in sample.gpm)
            )
            for sample in message.samples
        )
        changes["host"] = _moved(message.host, by_s) if message.host is not None else None
    elif isinstance(message, EngineLook):
        changes["readings"] = tuple(_moved(reading, by_s) for reading in message.readings)
    return msgspec.structs.replace(message, **changes)


def _moved(record: Any, by_s: float) -> Any:
    return msgspec.structs.replace(record, t_s=record.t_s + by_s)
