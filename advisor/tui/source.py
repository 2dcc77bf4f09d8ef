"""What the screens read from: a live node, a replayed recording, or a fake in a test."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from advisor.snapshot import Snapshot
from rules.stacks import Stacks


class SnapshotSource(Protocol):
    """The node as it is now. `snapshot` never blocks; the screens call it from a thread of their own.

    recording_problem: why a recording that was running had to end, else None; None again when one begins.
    """

    @property
    def recording_problem(self) -> str | None: ...

    def snapshot(self) -> Snapshot:
        """The newest picture; the same object again while nothing changed."""
        ...

    def subscribe(self, changed: threading.Event) -> None:
        """Set this event whenever `snapshot` or `recording_problem` gives something new, from now on."""
        ...

    def look_inside(self, key: str, stop: Callable[[], bool]) -> Stacks:
        """Sample the stacks of the device's main process; the snapshots that follow hold the result too.

        Takes seconds. `missing` says why there are none. stop: asked often; True ends it. Called off the UI
        thread.
        """
        ...

    def pause(self, on: bool) -> None:
        """Freeze or resume what `snapshot` gives. Called off the UI thread."""
        ...

    def start_recording(self, path: Path) -> None:
        """Write the stream to `path` from now on; a recording that runs ends. Called off the UI thread.

        Raises OSError or RecordingError when the file cannot be made.
        """
        ...

    def stop_recording(self) -> None:
        """End the recording, if any. Called off the UI thread."""
        ...

    def close(self) -> None:
        """Stop everything behind this source. Safe to call twice. Called off the UI thread."""
        ...
