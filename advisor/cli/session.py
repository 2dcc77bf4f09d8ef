"""One look at a node: a feed is read into a Monitor for a while, and its Diagnosis is what was seen."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

import msgspec

from advisor.cli.diagnostics import CliError, ExitCode, Progress, cannot_measure, note, warn
from advisor.cli.durations import format_duration
from advisor.document import Diagnosis
from advisor.telemetry.feed import Feed, NoFeedError
from advisor.telemetry.records import End, Frame, Gap, Hello, Message, ProcessSample

if TYPE_CHECKING:
    from advisor.config import Config
    from advisor.monitor import Monitor

Source = Literal["live", "replay", "demo", "run"]
POLL_S = 0.5


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """What to look at, and whose figures to use. price: dollars an hour of a GPU, as typed.

    select, ignore: which rules to report, as typed; None leaves it to the environment and the configuration.
    """

    source: Source = "live"
    gpu: str | None = None
    pid: int | None = None
    price: float | None = None
    window_s: float | None = None
    command: str = ""
    reason: str = ""
    select: str | None = None
    ignore: str | None = None


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a look ended. frames: how many ticks had data. silence: the last reason for having none.

    pids: the watched process and its descendants, when one was watched. keys: devices they were seen on.
    """

    frames: int = 0
    pids: frozenset[int] = frozenset()
    keys: frozenset[str] = frozenset()
    interrupted: bool = False
    ended: End | None = None
    silence: str = ""


def live_feed(config: Config) -> Feed:
    """The sampler of this node, not started yet. It brings along what probes measured on the node's cards,
    and what inference engines on it say of themselves."""
    from advisor.telemetry.sampler import LiveFeed

    feed = with_ceilings(LiveFeed(interval_s=config.interval_s, gpm_interval_s=config.gpm_interval_s), config)
    if not config.serving:
        return feed
    from advisor.serving.watch import EngineWatch, ServingFeed

    return ServingFeed(feed, EngineWatch())


def with_ceilings(feed: Feed, config: Config) -> Feed:
    """The feed, with what probes measured on the node's cards unless configured otherwise."""
    if not config.use_stored_ceilings:
        return feed
    from advisor.ceilings import CeilingsFeed
    from advisor.store import Store

    return CeilingsFeed(feed, Store(), warn)


@contextmanager
def started(feed: Feed) -> Iterator[Hello]:
    """The feed's header; the feed is closed at the end. Raises CliError (3) where nothing can be measured."""
    try:
        yield feed.start()
    except NoFeedError as error:
        raise cannot_measure(str(error), error.fix) from error
    finally:
        feed.close()


def make_monitor(hello: Hello, look: Look, config: Config) -> Monitor:
    """A Monitor over the devices that were asked for; it has not been given the stream's header yet."""
    from advisor.cli.ruleset import load_rules
    from advisor.monitor import Monitor, MonitorOptions

    load_rules()
    options = MonitorOptions(
        window_s=look.window_s,
        source=look.source,
        keys=selected_keys(hello, look),
        price_flag=look.price,
        config=config,
        env=dict(os.environ),
        command=look.command,
        reason=look.reason,
    )
    return Monitor(options)


def selected_keys(hello: Hello, look: Look) -> frozenset[str] | None:
    """Keys of the devices that --gpu, or on a live node CUDA_VISIBLE_DEVICES, asks for; None is all.

    Raises CliError when that names nothing that is here.
    """
    from advisor.telemetry.select import select_devices

    env = os.environ if look.source in ("live", "run") else {}
    try:
        chosen = select_devices(hello.devices, look.gpu, env)
    except ValueError as error:
        raise CliError(f"--gpu: {error}") from error
    if not chosen and hello.devices:
        hidden = env.get("CUDA_VISIBLE_DEVICES")
        raise cannot_measure(
            f"CUDA_VISIBLE_DEVICES={hidden!r} leaves no GPU visible", "give --gpu all to look anyway"
        )
    return None if len(chosen) == len(hello.devices) else frozenset(device.key for device in chosen)


def collect(
    feed: Feed,
    monitor: Monitor,
    hello: Hello | None,
    duration_s: float | None,
    *,
    label: str = "looking",
    stop: Callable[[], bool] = lambda: False,
    heard: Callable[[Sequence[Message]], None] = lambda _: None,
    pid: int | None = None,
) -> Outcome:
    """Feed the monitor until the time is over, the stream ends, `stop` says so, or Ctrl-C.

    A driver that does not answer takes no longer than one that does: polls are short and bounded.
    hello: None for a monitor that has had it. heard: called with what came, after the monitor had it.
    pid: note on which devices this process and its descendants, also later ones, are seen.
    """
    from advisor.pump import let_time_pass

    tally = _Tally(pid)
    progress = Progress(False) if label == "" else Progress()
    begin = time.monotonic()
    if hello is not None:
        monitor.feed(hello)
    try:
        while tally.ended is None and not stop() and (left := _left(begin, duration_s)) > 0:
            messages = feed.poll(min(POLL_S, left))
            for message in messages:
                monitor.feed(message)
                tally.count(message)
            let_time_pass(monitor, messages)
            heard(messages)
            progress.show(_progress(label, time.monotonic() - begin, duration_s, tally.silence))
    except KeyboardInterrupt:
        tally.interrupted = True
    finally:
        progress.clear()
    if tally.ended is None and monitor.options.source in ("live", "run"):
        monitor.note_silence(time.time())
    return tally.outcome()


def tree_pids(pid: int) -> set[int]:
    """The process and all its descendants that are alive now; the process alone when it cannot be seen."""
    import psutil

    try:
        return {pid} | {child.pid for child in psutil.Process(pid).children(recursive=True)}
    except psutil.Error:
        return {pid}


def reproduce(args: Sequence[str]) -> str:
    """The command line that made a document, quoted for a shell."""
    return shlex.join(["advisor", *args])


def exit_of(outcome: Outcome) -> ExitCode:
    """The code of a look, before --fail-on; says on stderr why it is not 0."""
    if outcome.interrupted:
        note("interrupted: this is what was seen so far")
        return ExitCode.INTERRUPTED
    if outcome.frames == 0:
        because = outcome.silence or (outcome.ended.reason if outcome.ended else "no data came")
        note(f"nothing could be measured: {because}")
        return ExitCode.CANNOT_MEASURE
    if outcome.ended is not None and outcome.ended.error:
        warn(f"the stream ended early: {outcome.ended.reason}")
    return ExitCode.OK


def diagnosis_of(monitor: Monitor, outcome: Outcome) -> Diagnosis:
    """The diagnosis of what was seen, of the watched processes' devices alone when some were seen there.

    Raises CliError (130) when it was interrupted before any data.
    """
    if outcome.interrupted and outcome.frames == 0:
        raise CliError("interrupted before any data came", code=ExitCode.INTERRUPTED)
    if outcome.keys:
        monitor.watch_pids(outcome.pids)
    return monitor.diagnosis()


def beside_its_past(diagnosis: Diagnosis, config: Config) -> Diagnosis:
    """The diagnosis with a flag for each card whose own ceilings, as far as they are stored, fell."""
    if not config.use_stored_ceilings:
        return diagnosis
    from advisor.keeping.falls import with_falls
    from advisor.store import Store

    return with_falls(diagnosis, Store())


class _Tally:
    """What went by while collecting."""

    def __init__(self, pid: int | None) -> None:
        self._pid = pid
        self._pids: set[int] = set()
        self._keys: set[str] = set()
        self.frames = 0
        self.interrupted = False
        self.ended: End | None = None
        self.silence = ""

    def count(self, message: Message) -> None:
        if isinstance(message, Frame):
            self.frames += 1
            self.silence = ""
            self._match(message.processes)
        elif isinstance(message, Gap):
            self.silence = message.reason
        elif isinstance(message, End):
            self.ended = message

    def outcome(self) -> Outcome:
        return Outcome(
            frames=self.frames,
            pids=frozenset(self._pids),
            keys=frozenset(self._keys),
            interrupted=self.interrupted,
            ended=self.ended,
            silence=self.silence,
        )

    def _match(self, seen: Sequence[ProcessSample] | None) -> None:
        if self._pid is None or seen is None:
            return
        self._pids |= tree_pids(self._pid)
        self._keys |= {process.key for process in seen if process.pid in self._pids}


def _left(begin: float, duration_s: float | None) -> float:
    return POLL_S if duration_s is None else begin + duration_s - time.monotonic()


def _progress(label: str, elapsed_s: float, duration_s: float | None, silence: str) -> str:
    of = "" if duration_s is None else f" of {format_duration(duration_s)}"
    return f"{label} {elapsed_s:.0f}s{of}, Ctrl-C ends it early" + (f"; {silence}" if silence else "")
