"""One workload in a process of its own: started, told when it is enough, and never left behind."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.workloads.spec import Account, Variant

ROOT = Path(__file__).resolve().parent.parent.parent
_ENDS_S = 5.0


class ChildError(Exception):
    """The workload did not run; the message says why."""


class Where(msgspec.Struct, frozen=True, kw_only=True):
    """Where children run. gpu: UUID of the one they may see; None leaves the choice to CUDA."""

    device: str
    small: bool
    seed: int = 1
    gpu: str | None = None

    def environment(self) -> dict[str, str]:
        """The children's environment."""
        sees = {"CUDA_VISIBLE_DEVICES": self.gpu} if self.gpu and self.device == "cuda" else {}
        return {**os.environ, **sees, "PYTHONUNBUFFERED": "1"}


class Child:
    """A running workload; `close`, or leaving the block, ends it and all processes it started."""

    def __init__(self, name: str, variant: Variant, seconds: float, where: Where) -> None:
        self.name = name
        self._folder = tempfile.TemporaryDirectory(prefix="workload-", ignore_cleanup_errors=True)
        self._account = Path(self._folder.name) / "account.json"
        self._said = Path(self._folder.name) / "stderr"
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        with self._said.open("wb") as said:
            self._process = subprocess.Popen(
                self._command(name, variant, seconds, where),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=said,
                text=True,
                errors="replace",
                cwd=ROOT,
                env={**where.environment(), "TMPDIR": self._folder.name},
                start_new_session=True,
            )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _command(self, name: str, variant: Variant, seconds: float, where: Where) -> list[str]:
        command = [sys.executable, "-m", "benchmarks.workloads.run", name, "--variant", variant, "--tied"]
        command += ["--seconds", str(seconds), "--device", where.device, "--seed", str(where.seed)]
        return [*command, "--accounting", str(self._account), *(["--small"] if where.small else [])]

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def started(self, timeout_s: float) -> dict[str, Any]:
        """What it says as it begins to step. Raises ChildError when it ends or does not get there in time."""
        end = time.monotonic() + timeout_s
        while (left := end - time.monotonic()) > 0:
            with contextlib.suppress(queue.Empty):
                line = self._lines.get(timeout=left)
                if line is None:
                    raise ChildError(self._why())
                if (told := _told(line)) is not None:
                    return told
        raise ChildError(f"it did not start to step within {timeout_s:.0f} s")

    def enough(self) -> None:
        """Let it finish its step and account."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGUSR1)

    def finish(self, timeout_s: float) -> Account:
        """Wait for its Account. Raises ChildError when there is none in time, or it says what went wrong."""
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise ChildError(f"it did not end within {timeout_s:.0f} s") from None
        account = self._accounted()
        if self._process.returncode or account is None or account.error is not None:
            raise ChildError(self._why())
        return account

    def close(self) -> None:
        """End it. Safe to call twice."""
        for number, wait_s in ((signal.SIGTERM, _ENDS_S), (signal.SIGKILL, _ENDS_S)):
            if self._process.poll() is None:
                self._signal_group(number)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(wait_s)
        self._signal_group(signal.SIGKILL)
        self._reader.join(1.0)
        if self._process.stdout is not None and not self._reader.is_alive():
            self._process.stdout.close()
        self._folder.cleanup()

    def _signal_group(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    def _read(self) -> None:
        assert self._process.stdout is not None
        with contextlib.suppress(ValueError, OSError):
            for line in self._process.stdout:
                self._lines.put(line)
        self._lines.put(None)

    def _accounted(self) -> Account | None:
        try:
            return msgspec.json.decode(self._account.read_bytes(), type=Account)
        except (OSError, msgspec.MsgspecError):
            return None

    def _why(self) -> str:
        """What it says itself, else how it ended and the last line of its stderr."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_ENDS_S)
        account = self._accounted()
        if account is not None and account.error is not None:
            return account.error
        last = self._said.read_text(errors="replace").strip().splitlines()[-1:]
        return ": ".join([f"it ended with code {self._process.returncode}", *last])[:400]


def _told(line: str) -> dict[str, Any] | None:
    """The line with which a child starts; None for whatever else it prints."""
    with contextlib.suppress(ValueError):
        told = json.loads(line)
        if isinstance(told, dict) and told.get("started") is True:
            return told
    return None
