"""What a person hands in (configuration, recordings, saved diagnoses), with errors that say what to do."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from advisor.cli.diagnostics import CliError, warn
from advisor.cli.durations import format_duration
from advisor.document import Diagnosis
from advisor.telemetry.records import Hello

if TYPE_CHECKING:
    from advisor.config import LoadedConfig
    from advisor.telemetry.recording import ReplayFeed

MIN_INTERVAL_S = 0.1


def load_config(**flags: Any) -> LoadedConfig:
    """Flag > environment > file > default. Flags that were not given are None."""
    from advisor.config import ConfigError, load

    try:
        return load(flags, os.environ)
    except ConfigError as error:
        raise CliError(
            "\n".join(("the configuration is not valid:", *error.problems)), _config_fix(error.problems)
        ) from error


def _config_fix(problems: Sequence[str]) -> str:
    """Where to put it right: in the environment, where all that is wrong comes from there, or in the file."""
    if all(problem.startswith("ADVISOR_") for problem in problems):
        names = ", ".join(dict.fromkeys(problem.partition(" ")[0] for problem in problems))
        return f"correct {names} in the environment, or unset it"
    return "`advisor config path` says where the file is, `advisor config validate` checks it"


def load_config_for(duration_s: float, interval_s: float | None, **flags: Any) -> LoadedConfig:
    """The configuration of a look this long, which must hold two samples or more.

    An interval that nobody chose is shortened to fit. Raises CliError where one that somebody chose does not.
    """
    config = load_config(interval_s=interval_s, **flags)
    if duration_s >= 2 * config.interval_s:
        return config
    if config.origins["interval_s"] == "default" and duration_s >= 2 * MIN_INTERVAL_S:
        return load_config(interval_s=duration_s / 2, **flags)
    given, every = format_duration(duration_s), format_duration(config.interval_s)
    least = format_duration(2 * config.interval_s)
    raise CliError(
        f"--duration {given} is too short for a sample every {every}: two intervals must fit",
        f"give --duration {least} or more, or a shorter --interval",
    )


def open_replay(path: str, speed: float, seek_s: float = 0.0) -> tuple[ReplayFeed, Hello]:
    """A started replay and its header. Raises CliError for a file that is no recording."""
    from advisor.telemetry.recording import RecordingError, ReplayFeed

    feed = ReplayFeed(path, speed=speed, seek_s=seek_s)
    try:
        return feed, feed.start()
    except RecordingError as error:
        feed.close()
        raise CliError(str(error), error.fix) from error


def started_demo(speed: float, loop: bool = False) -> tuple[ReplayFeed, Hello]:
    """The bundled demo recording, started."""
    from advisor.telemetry.recording import RecordingError, demo_feed

    feed = demo_feed(speed=speed, loop=loop)
    try:
        return feed, feed.start()
    except RecordingError as error:
        feed.close()
        raise CliError(f"the bundled demo recording: {error}", "install advisor again") from error


def read_document(path: str) -> Diagnosis:
    """A diagnosis saved as JSON. Raises CliError when it is none."""
    from advisor.reports.json import MAX_BYTES, DocumentError, decode

    try:
        if path == "-":
            return decode(sys.stdin.buffer.read(MAX_BYTES + 1))
        with Path(path).open("rb") as file:
            return decode(file.read(MAX_BYTES + 1))
    except OSError as error:
        why = error.strerror or str(error)
        raise CliError(
            f"cannot read {path}: {why}", "name a file made by `advisor diagnose --json -o FILE`"
        ) from error
    except DocumentError as error:
        raise CliError(f"{path}: {error}", error.fix) from error


def tell(warnings: list[str]) -> None:
    """Warnings of a reader, once each."""
    for line in dict.fromkeys(warnings):
        warn(line)
