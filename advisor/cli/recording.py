"""Writing a live feed into a recording until the time is over or Ctrl-C."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from advisor.cli.diagnostics import CliError, ExitCode, Progress, note
from advisor.cli.durations import format_duration
from advisor.cli.session import POLL_S, live_feed, started
from advisor.telemetry.records import End, Frame, Hello

if TYPE_CHECKING:
    from advisor.config import Config
    from advisor.telemetry.feed import Feed
    from advisor.telemetry.recording import Recorder


def record(path: str, config: Config, *, duration_s: float | None, force: bool, keep: bool) -> ExitCode:
    """Record into `path`. The file is made only once there is something to record.

    Ctrl-C is the normal end of a recording without a duration, and cuts one with a duration short (130).
    """
    frames, cut = record_into(path, config, duration_s=duration_s, force=force, keep=keep)
    note(f"recorded {frames} samples into {path}; show them with `advisor replay {path}`")
    if frames == 0:
        note("the file holds no samples: the driver gave none")
        return ExitCode.CANNOT_MEASURE
    return ExitCode.INTERRUPTED if cut and duration_s is not None else ExitCode.OK


def record_into(
    path: str, config: Config, *, duration_s: float | None, force: bool, keep: bool
) -> tuple[int, bool]:
    """The same without a word: how many samples, and whether Ctrl-C came first. Raises CliError."""
    from advisor.telemetry.recording import Recorder, RecordingError

    feed = live_feed(config)
    if Path(path).exists() and not force:
        raise CliError(f"{path} exists already", "choose another name, or replace it with --force")
    try:
        with (
            started(feed) as hello,
            Recorder(path, overwrite=force, redact=config.redact and not keep) as recorder,
        ):
            return _pump(feed, hello, recorder, duration_s)
    except RecordingError as error:
        raise CliError(str(error), error.fix) from error
    except OSError as error:
        raise CliError(f"cannot write {path}: {error.strerror or error}", "choose another file") from error


def _pump(feed: Feed, hello: Hello, recorder: Recorder, duration_s: float | None) -> tuple[int, bool]:
    """Frames written, and whether Ctrl-C came first."""
    frames = 0
    progress = Progress()
    begin = time.monotonic()
    recorder.write(hello)
    with suppress(KeyboardInterrupt):
        while duration_s is None or time.monotonic() - begin < duration_s:
            for message in feed.poll(_wait_s(begin, duration_s)):
                recorder.write(message)
                frames += isinstance(message, Frame)
                if isinstance(message, End):
                    return frames, False
            progress.show(f"recording {format_duration(max(1.0, time.monotonic() - begin))}, Ctrl-C ends it")
        _ended(recorder, progress, "the time asked for is over")
        return frames, False
    _ended(recorder, progress, "stopped by the user")
    return frames, True


def _ended(recorder: Recorder, progress: Progress, reason: str) -> None:
    """Say when and why it ended, so that a silence at the very end keeps its length."""
    progress.clear()
    recorder.write(End(t_s=time.time(), reason=reason))


def _wait_s(begin: float, duration_s: float | None) -> float:
    return POLL_S if duration_s is None else max(0.0, min(POLL_S, begin + duration_s - time.monotonic()))
