"""The screens, over any feed and over traces. The only place outside advisor.tui that knows of them."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from advisor.cli import output
from advisor.telemetry.records import Hello

if TYPE_CHECKING:
    from advisor.config import Config
    from advisor.document import Diagnosis
    from advisor.monitor import Monitor
    from advisor.pump import Sink
    from advisor.telemetry.feed import Feed
    from advisor.traces.analyse import Analysis


def open_screen(
    feed: Feed,
    monitor: Monitor,
    hello: Hello,
    config: Config,
    open_recorder: Callable[[Path], Sink] | None = None,
) -> int:
    """Show a started feed until the person quits, and give the exit code."""
    from advisor.pump import MonitorThread
    from advisor.tui import run_tui

    source = MonitorThread(feed, monitor, hello, open_recorder=open_recorder)
    try:
        return run_tui(
            source,
            theme="dark" if config.theme == "auto" else config.theme,
            ascii=config.ascii or not output.unicode(),
            redact=config.redact,
        )
    finally:
        source.close()


@contextlib.contextmanager
def unseen_keys() -> Iterator[None]:
    """What is typed while a trace is read is not echoed: it goes to the screen that opens afterwards."""
    import termios

    try:
        terminal = sys.stdin.fileno()
        before = termios.tcgetattr(terminal)
    except (AttributeError, OSError, ValueError, termios.error):
        yield
        return
    quiet = [*before]
    quiet[3] &= ~termios.ECHO
    termios.tcsetattr(terminal, termios.TCSADRAIN, quiet)
    try:
        yield
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)


def open_trace_screen(analysis: Analysis, diagnosis: Diagnosis, config: Config) -> None:
    """Show what traces hold until the person quits."""
    from advisor.tui.app import TuiOptions
    from advisor.tui.trace.app import run_trace

    options = TuiOptions(
        theme="dark" if config.theme == "auto" else config.theme,
        ascii=config.ascii or not output.unicode(),
        redact=config.redact,
    )
    run_trace(analysis, diagnosis, options)
