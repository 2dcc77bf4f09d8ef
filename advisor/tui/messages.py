"""What worker threads tell the screens. Threads post these and never touch a widget."""

from __future__ import annotations

from pathlib import Path

from textual.message import Message

from advisor.snapshot import Snapshot
from rules.stacks import Stacks


class SnapshotFetched(Message):
    """A newer picture of the node."""

    def __init__(self, snapshot: Snapshot) -> None:
        super().__init__()
        self.snapshot = snapshot


class FetchFailed(Message):
    """The source raised; the next tick tries again."""

    def __init__(self, error: str) -> None:
        super().__init__()
        self.error = error


class Exported(Message):
    """The report was written."""

    def __init__(self, paths: tuple[Path, ...]) -> None:
        super().__init__()
        self.paths = paths


class RecordingChanged(Message):
    """A recording began at `path`, or ended (None)."""

    def __init__(self, path: Path | None) -> None:
        super().__init__()
        self.path = path


class LookedInside(Message):
    """A look inside a device's process is over."""

    def __init__(self, key: str, stacks: Stacks) -> None:
        super().__init__()
        self.key = key
        self.stacks = stacks


class TaskFailed(Message):
    """Something asked for did not work: what, why and what to do."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text
