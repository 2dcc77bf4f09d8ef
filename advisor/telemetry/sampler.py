"""The live feed: watches the sampler process from outside, so that a hung driver never hangs the program.

One supervisor thread starts the worker, reads its pipe and keeps the deadlines. It lives as long as the feed,
because the worker asks the kernel to be killed when the thread that started it ends.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Sequence

from advisor.telemetry.feed import NoFeedError
from advisor.telemetry.records import End, Hello, Message
from advisor.telemetry.supervisor import Supervisor, late_after_s, worker_command

_NOT_STARTED_FIX = (
    "If `nvidia-smi` hangs too, the driver is hung: look at `dmesg | grep -i -e nvrm -e xid`; a GPU reset or "
    "a reboot is usually needed. If it is only slow to start, turn persistence on: `sudo nvidia-smi -pm 1`."
)


class LiveFeed:
    """Live samples of this node's GPUs, host and GPU processes (a `Feed`).

    interval_s: time between frames, at least 0.1. gpm_interval_s: length of a GPM sub-window, at least 0.1.
    gpm: False leaves GPM out. processes_s: time between looks at processes, at least 5.
    command: what to run as the worker instead, for tests.
    """

    def __init__(
        self,
        interval_s: float = 1.0,
        gpm_interval_s: float = 0.2,
        *,
        gpm: bool = True,
        processes_s: float = 5.0,
        command: Sequence[str] | None = None,
    ) -> None:
        if command is None:
            command = worker_command(interval_s, gpm_interval_s if gpm else None, max(processes_s, 5.0))
        self._messages: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._supervisor = Supervisor(command, self._messages.put, late_s=late_after_s(interval_s))
        self._thread: threading.Thread | None = None
        self._ended = False

    def start(self, timeout_s: float = 10.0) -> Hello:
        """Start the worker and wait for its header.

        Raises NoFeedError when nothing can be measured here or the driver does not answer within timeout_s.
        """
        self._thread = threading.Thread(target=self._supervisor.run, name="sampler", daemon=True)
        self._thread.start()
        deadline = time.monotonic() + timeout_s
        try:
            return self._first(deadline, timeout_s)
        except BaseException:
            self.close()
            raise

    def poll(self, timeout_s: float) -> list[Message]:
        """Messages that arrived, oldest first; waits at most timeout_s for the first. After `End`, empty."""
        if self._ended:
            return []
        messages = [message] if (message := self._get(timeout_s)) else []
        while messages and (message := self._get(0.0)):
            messages.append(message)
        self._ended = any(isinstance(message, End) for message in messages)
        return messages

    def close(self) -> None:
        """Stop the worker; a worker stuck in the kernel is killed and left. Safe to call twice."""
        self._ended = True
        self._supervisor.stop()
        if self._thread is not None:
            self._thread.join(timeout=5.0)
            if not self._thread.is_alive():
                self._supervisor.release()
            self._thread = None

    def _first(self, deadline: float, timeout_s: float) -> Hello:
        while (message := self._get(max(0.0, deadline - time.monotonic()))) is not None:
            if isinstance(message, Hello):
                return message
            if isinstance(message, End):
                raise NoFeedError(message.reason, message.fix)
        crash = self._supervisor.last_crash
        if crash:
            raise NoFeedError(f"the sampler does not start: {crash}", "Run `advisor doctor`.")
        raise NoFeedError(f"the NVIDIA driver does not answer (waited {timeout_s:g} s)", _NOT_STARTED_FIX)

    def _get(self, timeout_s: float) -> Message | None:
        with contextlib.suppress(queue.Empty):
            return self._messages.get(timeout=timeout_s) if timeout_s > 0 else self._messages.get_nowait()
        return None
