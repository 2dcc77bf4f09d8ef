"""Recordings shown again: on the live screen, or as one report."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from advisor.cli import diagnostics, output
from advisor.cli.delivery import Delivery, check_writable, deliver
from advisor.cli.diagnostics import ExitCode
from advisor.cli.inputs import load_config, open_replay, started_demo, tell
from advisor.cli.session import Look, collect, diagnosis_of, exit_of, make_monitor, reproduce

if TYPE_CHECKING:
    from advisor.telemetry.recording import ReplayFeed
    from advisor.telemetry.records import Hello

AT_ONCE = float("inf")


def wants_screen(once: bool, wanted: Delivery) -> bool:
    """The screen is for a person who asked for no other shape of output."""
    printed = once or wanted.form is not None or wanted.out is not None
    return not printed and output.is_terminal() and stdin_is_terminal()


def stdin_is_terminal() -> bool:
    """True when keys can be pressed."""
    import sys

    return sys.stdin is not None and sys.stdin.isatty()


def demo_report(wanted: Delivery, reason: str = "") -> ExitCode:
    """The demo recording's diagnosis; `reason` says on stderr why it is shown instead of a live node."""
    if reason:
        diagnostics.note(f"REPLAY of the bundled demo recording: {reason}")
    look = Look(source="demo", reason=reason, command=reproduce(["demo", "--once"]))
    return _report(*started_demo(AT_ONCE), look, wanted)


def demo_screen(reason: str = "") -> int:
    """The demo recording on the live screen, over and over."""
    feed, hello = started_demo(1.0, loop=True)
    return _screen(feed, hello, Look(source="demo", reason=reason))


def replay_report(path: str, look: Look, wanted: Delivery, seek_s: float) -> ExitCode:
    """The diagnosis of a whole recording."""
    feed, hello = open_replay(path, AT_ONCE, seek_s)
    words = [part for name in ("select", "ignore") for part in _option(name, getattr(look, name))]
    named = msgspec.structs.replace(look, command=reproduce(["replay", path, "--once", *words]))
    return _report(feed, hello, named, wanted)


def _option(name: str, given: str | None) -> list[str]:
    return [] if given is None else [f"--{name}", given]


def replay_screen(path: str, look: Look, speed: float, seek_s: float) -> int:
    """A recording on the live screen."""
    feed, hello = open_replay(path, speed, seek_s)
    return _screen(feed, hello, look)


def _report(feed: ReplayFeed, hello: Hello, look: Look, wanted: Delivery) -> ExitCode:
    check_writable(wanted)
    try:
        config = load_config(select=look.select, ignore=look.ignore)
        monitor = make_monitor(hello, look, config)
        outcome = collect(feed, monitor, hello, None, label="reading")
        tell(feed.warnings)
    finally:
        feed.close()
    deliver(diagnosis_of(monitor, outcome), wanted, config)
    return exit_of(outcome)


def _screen(feed: ReplayFeed, hello: Hello, look: Look) -> int:
    from advisor.cli.screen import open_screen

    config = load_config(select=look.select, ignore=look.ignore)
    windowed = msgspec.structs.replace(look, window_s=config.window_s)
    return open_screen(feed, make_monitor(hello, windowed, config), hello, config)
