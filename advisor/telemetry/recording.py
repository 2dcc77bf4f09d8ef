"""Recordings: the sample stream as append-only JSON Lines, plain or gzip, and its replay.

A recording is a Hello, then the messages of the stream, one JSON document a line (advisor.telemetry.records).
"""

from __future__ import annotations

from pathlib import Path

from advisor.telemetry.lines import LINE_LIMIT_BYTES, RecordingError
from advisor.telemetry.recorder import Recorder
from advisor.telemetry.recording_reader import RecordingReader, read_recording
from advisor.telemetry.replay import ReplayFeed

__all__ = [
    "LINE_LIMIT_BYTES",
    "Recorder",
    "RecordingError",
    "RecordingReader",
    "ReplayFeed",
    "demo_feed",
    "demo_path",
    "read_recording",
]


def demo_path() -> Path:
    """Where the bundled demo recording is, in this installation."""
    from importlib import resources

    return Path(str(resources.files("advisor.data") / "demo.jsonl.gz"))


def demo_feed(speed: float = 1.0, loop: bool = False) -> ReplayFeed:
    """The bundled demo recording as a feed. Its start raises RecordingError where the file is missing."""
    return ReplayFeed(demo_path(), speed=speed, loop=loop)
