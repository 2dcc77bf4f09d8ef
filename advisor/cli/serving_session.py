"""A session with inference engines: asked beside the node's feed, or alone where no GPU can be watched."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import msgspec

from advisor import __version__
from advisor.cli.diagnostics import Progress
from advisor.cli.session import POLL_S, Look, Outcome, collect, make_monitor, selected_keys, with_ceilings
from advisor.serving.discover import unreached
from advisor.serving.document import ServingReport, Unread
from advisor.serving.tracks import CLOCK_BACK_S, EngineTracks, slo_of
from advisor.serving.watch import EngineWatch, ServingFeed
from advisor.telemetry.feed import NoFeedError
from advisor.telemetry.records import EngineLook, Hello, Message
from rules.serving import ServingFigures
from rules.serving_figures import Money

if TYPE_CHECKING:
    from advisor.config import LoadedConfig
    from advisor.document import Diagnosis
    from advisor.monitor import Monitor
    from advisor.serving.fetch import Target

# How the codes of the rules for serving begin.
FAMILY = "SERVE"
# How long the last question may take, beyond the time that was asked for.
_LAST_S = 4.0
_UNSEEN = "the engine's GPUs are not on this node, or cannot be seen"

Heard = Callable[[Sequence[Message]], None]


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """interval_s: between two questions. window_s: what figures are over, where it is watched on and on.

    gpus: how many GPUs a typed price is for.
    """

    interval_s: float
    window_s: float
    gpus: int | None = None


class ServingSession:
    """The engines, and the node's GPUs beside them where there are any that can be watched."""

    def __init__(
        self, look: Look, terms: Terms, config: LoadedConfig, targets: Sequence[Target] | None
    ) -> None:
        self._look = look
        self._terms = terms
        self._config = config
        self._named = targets is not None
        self._watch = EngineWatch(targets, every_s=terms.interval_s)
        self._tracks = EngineTracks(slo_of(config.slo))
        self._feed: ServingFeed | None = None
        self._monitor: Monitor | None = None
        self._no_gpu: str | None = None
        self._begun_s = time.time()
        self._offset_s = _offset_s()

    def start(self, *, whole: bool) -> None:
        """Begin to watch; without GPUs the engines alone are asked. whole: figures are over all of it."""
        from advisor.telemetry.sampler import LiveFeed

        config = self._config
        sampler = LiveFeed(interval_s=config.interval_s, gpm_interval_s=config.gpm_interval_s)
        feed = ServingFeed(with_ceilings(sampler, config), self._watch)
        try:
            hello = feed.start()
        except NoFeedError as error:
            self._no_gpu = str(error)
            sampler.close()
            self._watch.start()
            return
        self._feed = feed
        self._begin(hello, None if whole else self._terms.window_s)

    def _begin(self, hello: Hello, window_s: float | None) -> None:
        self._monitor = make_monitor(
            hello, msgspec.structs.replace(self._look, window_s=window_s), self._config
        )
        if self._look.gpu is not None:
            keys = selected_keys(hello, self._look)
            self._watch.keys = tuple(keys if keys is not None else (d.key for d in hello.devices))
        self._monitor.feed(hello)

    def close(self) -> None:
        """Stop asking and watching."""
        self._watch.close()
        if self._feed is not None:
            self._feed.close()

    def look(self, duration_s: float) -> Outcome:
        """Look for so long, and ask once more at the end, so that the figures reach to it.

        Ends after the second question where nothing is an engine, nor about to be one.
        """
        first = self._collect(duration_s, "asking engines", lambda: self._watch.is_in_vain, self._take)
        if first.interrupted or first.ended is not None:
            return first
        if self._watch.is_in_vain:
            self._take(self._watch.taken(), to_monitor=True)
            return first
        done = self._watch.rounds
        self._watch.ask_now()
        last = self._collect(_LAST_S, "", lambda: self._watch.rounds > done, self._take)
        self._take(self._watch.taken(), to_monitor=True)
        return msgspec.structs.replace(last, frames=first.frames + last.frames)

    def watch(self, every_s: float, show: Callable[[], None], stop: Callable[[], bool]) -> Outcome:
        """Look until Ctrl-C, the end of the stream, or `stop`; `show` is called at every interval."""
        due_s = time.monotonic() + every_s

        def heard(messages: Sequence[Message]) -> None:
            nonlocal due_s
            self._take(messages)
            if time.monotonic() >= due_s:
                due_s = time.monotonic() + every_s
                self._tracks.forget(time.time() - self._terms.window_s)
                show()

        return self._collect(None, "", stop, heard)

    def _collect(
        self, duration_s: float | None, label: str, stop: Callable[[], bool], heard: Heard
    ) -> Outcome:
        if self._feed is None or self._monitor is None:
            return self._alone(duration_s, label, stop, heard)
        return collect(self._feed, self._monitor, None, duration_s, label=label, stop=stop, heard=heard)

    def _alone(self, duration_s: float | None, label: str, stop: Callable[[], bool], heard: Heard) -> Outcome:
        """The same without a feed."""
        progress = Progress(None if label else False)
        until_s = float("inf") if duration_s is None else time.monotonic() + duration_s
        try:
            while not stop() and (left_s := until_s - time.monotonic()) > 0:
                time.sleep(min(POLL_S / 5, left_s))
                heard(self._watch.taken())
                progress.show(f"{label}, {left_s:.0f}s left, Ctrl-C ends it early")
        except KeyboardInterrupt:
            return Outcome(interrupted=True)
        finally:
            progress.clear()
        return Outcome()

    def _take(self, messages: Sequence[Message], *, to_monitor: bool = False) -> None:
        if abs(_offset_s() - self._offset_s) > CLOCK_BACK_S:  # rates divide by differences of times
            self._offset_s = _offset_s()
            self._tracks.restart()
        for message in messages:
            if isinstance(message, EngineLook):
                self._tracks.add(message)
                if to_monitor and self._monitor is not None:
                    self._monitor.feed(message)

    def report(self) -> ServingReport:
        """The document of what was seen."""
        document = self._monitor.diagnosis() if self._monitor is not None else None
        engines = self._priced(document)
        return ServingReport(
            advisor_version=__version__,
            created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            t_start_s=min((e.t_start_s for e in engines), default=self._begun_s),
            t_end_s=max((e.t_end_s for e in engines), default=time.time()),
            engines=engines,
            unread=tuple(Unread(endpoint=e, reason=why) for e, why in sorted(self._tracks.problems.items())),
            findings=tuple(f for f in document.findings if f.code.startswith(FAMILY)) if document else (),
            no_gpu=self._no_gpu or self._silence(),
            synthetic=document is not None and document.provenance.synthetic,
            notes=tuple(self._notes(engines)),
        )

    def _silence(self) -> str | None:
        """Why no GPU has been seen so far, where the driver gives nothing."""
        monitor = self._monitor
        if monitor is None or monitor.gap is None or any(t.sample for t in monitor.tracks.values()):
            return None
        return monitor.gap.reason

    def _priced(self, document: Diagnosis | None) -> tuple[ServingFigures, ...]:
        """Engines whose GPUs are seen have their price and power; of others the person says the price."""
        seen = {(e.endpoint, e.model): e for e in document.serving if e.keys} if document is not None else {}
        return tuple(seen.get((e.endpoint, e.model), e) for e in self._tracks.figures(self._elsewhere))

    def _notes(self, engines: Sequence[ServingFigures]) -> list[str]:
        electricity = [self._electricity()] if any(e.tok_j is not None for e in engines) else []
        problem = self._watch.problem
        silent = () if engines or self._named else unreached()
        return [*electricity, *silent, *([f"not all engines could be asked: {problem}"] if problem else [])]

    def _electricity(self) -> str:
        config = self._config
        origins = config.origins
        given = {origins["electricity_usd_kwh"], origins["pue"]} - {"default"}
        whose = "as configured" if given else "a default: set electricity_usd_kwh and pue"
        return f"electricity at ${config.electricity_usd_kwh:g} per kWh, PUE {config.pue:g} ({whose})"

    def _elsewhere(self, keys: tuple[str, ...], start_s: float, end_s: float) -> Money:
        """What a person says that the engine's GPUs cost, where advisor sees none."""
        del keys, start_s, end_s
        price, count = self._look.price, self._terms.gpus or 1
        if price is None:
            return Money(no_price=f"{_UNSEEN}: give --price, and --gpus for more than one", no_power=_UNSEEN)
        source = f"--price {price:g} for {count} GPU{'s' if count > 1 else ''}"
        return Money(usd_h=price * count, source=source, no_power=_UNSEEN)


def _offset_s() -> float:
    """How far the clock on the wall is from one that nobody sets, and that rests while the node sleeps."""
    return time.time() - time.monotonic()
