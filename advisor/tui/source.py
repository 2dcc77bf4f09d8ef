"""What the screens read from: a live node, a replayed recording, or a fake in a test."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from advisor.snapshot import Snapshot


class SnapshotSource(Protocol):
    """The node as it is now. `snapshot` never blocks; the screens call it from a thread of their own.

    recording_problem: why a recording that was running had to end, else None.
    """

    recording_problem: str | None

    def snapshot(self) -> Snapshot:
        """The newest picture; the same object again while nothing changed."""
        ...

    def pause(self, on: bool) -> None:
        """Freeze or resume what `snapshot` gives. Called off the UI thread."""
        ...

    def start_recording(self, path: Path) -> None:
        """Write the stream to `path` from now on. Raises OSError when it cannot. Called off the UI thread."""
        ...

    def stop_recording(self) -> None:
        """End the recording, if any. Called off the UI thread."""
        ...

    def close(self) -> None:
        """Stop everything behind this source. Safe to call twice. Called off the UI thread."""
        ...
