"""`advisor` without a command: the live screen, or one report, or the demo where there is no driver."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from advisor.cli.delivery import Delivery, deliver, delivery
from advisor.cli.diagnostics import cannot_measure
from advisor.cli.durations import format_duration
from advisor.cli.inputs import load_config, load_config_for
from advisor.cli.replaying import demo_report, demo_screen, wants_screen
from advisor.cli.session import Look, collect, diagnosis_of, exit_of, live_feed, make_monitor, reproduce
from advisor.telemetry.feed import Feed, NoFeedError
from advisor.telemetry.records import Hello

if TYPE_CHECKING:
    from advisor.config import Config
    from advisor.monitor import Monitor
    from advisor.pump import Sink


def start(
    *,
    gpu: str | None,
    duration_s: float,
    interval_s: float | None,
    price: float | None,
    once: bool,
    as_json: bool,
) -> int:
    """Open the screen on a terminal, else print one report; show the demo where nothing can be measured."""
    wanted = delivery(None, as_json, None)
    on_screen = wants_screen(once, wanted)
    config = load_config(interval_s=interval_s) if on_screen else load_config_for(duration_s, interval_s)
    feed = live_feed(config)
    try:
        hello = feed.start()
    except NoFeedError as error:
        feed.close()
        if not config.demo:
            raise cannot_measure(str(error), error.fix) from error
        return demo_screen(_why(error)) if on_screen else demo_report(wanted, _why(error))
    try:
        window_s = config.window_s if on_screen else None
        look = Look(gpu=gpu, price=price, window_s=window_s, command=_same_look(gpu, duration_s, price))
        monitor = make_monitor(hello, look, config)
        if on_screen:
            from advisor.cli.screen import open_screen

            return open_screen(feed, monitor, hello, config, recorder_maker(config))
        return _one_report(feed, hello, monitor, duration_s, wanted, config)
    finally:
        feed.close()


def _same_look(gpu: str | None, duration_s: float, price: float | None) -> str:
    """The command that looks like this again; the screen itself cannot be repeated from a ticket."""
    args = ["diagnose", "--duration", format_duration(duration_s)]
    args += [] if gpu is None else ["--gpu", gpu]
    return reproduce(args + ([] if price is None else ["--price", f"{price:g}"]))


def _one_report(
    feed: Feed, hello: Hello, monitor: Monitor, duration_s: float, wanted: Delivery, config: Config
) -> int:
    outcome = collect(feed, monitor, hello, duration_s)
    deliver(diagnosis_of(monitor, outcome), wanted, config)
    return exit_of(outcome)


def recorder_maker(config: Config) -> Callable[[Path], Sink]:
    """What makes the files of recordings that the screen starts, redacted unless configured otherwise."""

    def make(path: Path) -> Sink:
        from advisor.telemetry.recording import Recorder

        return Recorder(path, redact=config.redact)

    return make


def _why(error: NoFeedError) -> str:
    return f"{error}. {error.fix}".strip() if error.fix else str(error)
