"""The host: cores, pressure, memory, disk, and the limits of this process's own cgroup."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from advisor.telemetry.records import HostInfo, HostSample


class HostReader:
    """Reads the host from /proc and /sys below `root`. One reader per stream: rates need its memory."""

    def __init__(self, root: Path = Path("/"), clock: Callable[[], float] = time.time) -> None:
        self._root = root
        self._clock = clock

    def info(self) -> HostInfo:
        """Static facts of the node; the host's name only as a hash."""
        raise NotImplementedError

    def sample(self) -> HostSample:
        """The node now. Rates are since the previous call; the first call has none and says so."""
        raise NotImplementedError
