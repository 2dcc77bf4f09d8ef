"""Monitor: the headless core. Messages go in; a Diagnosis, or a Snapshot for a screen, comes out.

Live sampling, replays, the command line and the TUI all run this same code. Nothing here blocks or
does I/O; `advisor.pump` moves messages from a feed into a monitor.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import msgspec

from advisor import diagnosis as dx
from advisor.ceilings import ceilings_for
from advisor.clock import was_set
from advisor.compaction import Series, keep_first
from advisor.config import Config
from advisor.device_facts import Software
from advisor.document import Diagnosis
from advisor.history import HISTORY_POINTS
from advisor.host_facts import node_facts
from advisor.owned import electricity_rates
from advisor.plugins import noted
from advisor.pricer import Pricer
from advisor.selection import parse_selection
from advisor.series import time_series
from advisor.serving.money import pricing
from advisor.serving.tracks import EngineTracks, Pricing, slo_of
from advisor.snapshot import Mode, Snapshot, State
from advisor.telemetry.records import (
    DeviceInfo,
    End,
    EngineLook,
    Frame,
    Gap,
    Hello,
    HostSample,
    Message,
    StackLook,
)
from advisor.tracks import Track
from advisor.views import device_view
from probes.ceilings import Ceilings
from rules.engine import Subject, conclude, judge
from rules.finding import LadderRow
from rules.hysteresis import Steady
from rules.siblings import Sibling, sibling
from rules.verdict import Verdict

# A frame may be late by one tick on a busy node; this many missing ticks at the end are a silence.
SILENT_INTERVALS = 2.5

# A screen draws counters every tick; what a minute of them means is reconsidered every other tick.
RECONSIDER_S = 1.5
SETTLING_S = 15.0

_MODES: dict[dx.Source, Mode] = {"live": "live", "run": "live", "replay": "replay", "demo": "demo"}


class MonitorOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What to watch and how to price it.

    window_s: seconds a verdict looks back; None keeps the whole stream (a report, not a screen).
    keys: UUIDs to show; None shows all. pids: show only devices one of these processes uses; None shows
    all (see `Monitor.watch_pids` for a set that grows). price_flag: dollars per GPU-hour given by the
    user. reason: why a replay is shown.
    """

    window_s: float | None = None
    source: dx.Source = "live"
    keys: frozenset[str] | None = None
    pids: frozenset[int] | None = None
    price_flag: float | None = None
    config: Config = msgspec.field(default_factory=Config)
    env: Mapping[str, str] = msgspec.field(default_factory=lambda: dict(os.environ))
    command: str = ""
    reason: str = ""


class ShownRow(NamedTuple):
    """What a screen shows of one device: its row, made when and in which state, and what steadies it."""

    made_s: float
    state: tuple[State, str]
    row: dx.Row
    steady: Steady
    sibling: Sibling


class Judged(NamedTuple):
    """A device whose verdict is reached; its rules wait until all of the node's are."""

    track: Track
    subject: Subject
    verdict: Verdict
    sibling: Sibling
    steady: Steady | None


class Monitor:
    """Keeps a node's recent past and says what it means."""

    def __init__(self, options: MonitorOptions | None = None) -> None:
        self.options = options or MonitorOptions()
        self.hello: Hello | None = None
        self.end: End | None = None
        self.gap: Gap | None = None
        self.tracks: dict[str, Track] = {}
        self._parents: dict[str, DeviceInfo] = {}
        self._measured: dict[str, Ceilings] = {}
        self._host: Series[HostSample] = Series(keep_first)
        self._engines = EngineTracks(slo_of(self.options.config.slo))
        self._shown_rows: dict[str, ShownRow] = {}
        self._prices = Pricer(self.options.price_flag, self.options.env, self.options.config)
        self._rates = electricity_rates(self.options.config)
        self._node_at: tuple[float, dict[str, Any]] | None = None
        self._costs: deque[float] = deque(maxlen=HISTORY_POINTS)
        self._pids = None if self.options.pids is None else set(self.options.pids)
        self._selection = parse_selection(self.options.config.select, self.options.config.ignore)
        self._first_s: float | None = None
        self._now_s = 0.0
        self._frame_s: float | None = None
        self._clock_step = False

    # --- messages in ---------------------------------------------------------------------------

    def feed(self, message: Message) -> None:
        """Take one message of a stream. The first must be its Hello."""
        match message:
            case Hello():
                self.hello = message
                self._prices.look_at(message.host, is_here=_MODES[self.options.source] == "live")
                self._first_s = self._now_s = message.t_s
                self._measured = dict(message.ceilings)
                self._set_devices(message.devices)
            case Frame():
                self._feed_frame(message)
            case StackLook():
                self._feed_look(message)
            case EngineLook():
                self._engines.add(message)
            case Gap():
                self._feed_gap(message)
            case End():
                self.end = message

    def tick(self, t_s: float) -> None:
        """Let time pass without data, so that a silence grows while it lasts."""
        if self.gap is not None:
            self._now_s = max(self._now_s, t_s)

    def note_silence(self, t_s: float) -> None:
        """Mark a live stream silent that stopped too shortly before the end for its feed to say so."""
        last = self._frame_s
        if self.gap is None and last is not None and t_s - last > SILENT_INTERVALS * self.interval_s:
            since = time.strftime("%H:%M:%S", time.localtime(last))
            self.feed(Gap(t_s=last, kind="silent", reason=f"driver not answering since {since}"))
            self.tick(t_s)

    def watch_pids(self, pids: Iterable[int]) -> None:
        """Add processes whose devices are to be shown, such as children that appeared meanwhile."""
        self._pids = (self._pids or set()) | set(pids)

    @property
    def interval_s(self) -> float:
        """The stream's tick."""
        return self.hello.interval_s if self.hello else 1.0

    def _feed_frame(self, frame: Frame) -> None:
        self._check_clock(frame.t_s)
        self.gap = None
        self._now_s = self._frame_s = frame.t_s
        self._measured.update(frame.ceilings)
        if frame.devices is not None:
            self._set_devices(frame.devices)
        if frame.host is not None:
            self._host.append(frame.host)
        if frame.cost_s is not None:
            self._costs.append(frame.cost_s)
        if frame.processes is not None:
            for key, track in self.tracks.items():
                track.add_look(frame.t_s, tuple(p for p in frame.processes if p.key == key))
        for sample in frame.samples:
            if sample.key in self.tracks:
                self.tracks[sample.key].add_sample(sample, self.interval_s)
        self._forget()

    def _feed_look(self, look: StackLook) -> None:
        track = self.tracks.get(look.key)
        if track is not None:
            track.add_inside(look)
            self._shown_rows.pop(look.key, None)

    def _check_clock(self, t_s: float) -> None:
        """Start over when the clock was set: frames would otherwise stand an hour apart, or go backwards."""
        before_s = self._frame_s
        if before_s is None or not was_set(before_s, t_s, self.interval_s, in_gap=self.gap is not None):
            return
        self._clock_step = True
        self._first_s = t_s - self.interval_s
        self._host = Series(keep_first)
        self._engines.restart()
        self._shown_rows.clear()
        for track in self.tracks.values():
            track.restart()

    def _feed_gap(self, gap: Gap) -> None:
        self.gap = gap
        self._now_s = max(self._now_s, gap.t_s)
        for track in self.tracks.values():
            if gap.kind == "paused":
                track.skip(gap.t_s)
            else:
                track.add_silence(gap)

    def _set_devices(self, devices: tuple[DeviceInfo, ...]) -> None:
        """Take the device list; devices that stay keep their past.

        A whole GPU that vanishes stays as a lost row. A GPU that is split by MIG, and instances that are laid
        out anew, leave no row behind: the rows of their GPU cover the bill.
        """
        by_key = {d.key: d for d in devices}
        software = Software(self._hello().driver_version, self._hello().cuda_version)
        self._parents = {d.key: d for d in devices if d.mig_enabled}
        for key, track in list(self.tracks.items()):
            relaid = track.parent is not None and track.parent.key in by_key and key not in by_key
            if key in self._parents or relaid:
                del self.tracks[key]
                self._shown_rows.pop(key, None)
            else:
                track.removed = key not in by_key
        for info in devices:
            if info.key in self._parents or not self._wanted(info) or info.key in self.tracks:
                continue
            parent = by_key.get(info.parent_key or "")
            known = self._measured.get(info.key) or ceilings_for(info, parent)
            self.tracks[info.key] = Track(info, parent, known, software)

    def _wanted(self, info: DeviceInfo) -> bool:
        keys = self.options.keys
        return keys is None or info.key in keys or (info.parent_key or "") in keys

    def _forget(self) -> None:
        if self.options.window_s is None:
            return
        before = self._now_s - self.options.window_s
        for track in self.tracks.values():
            track.forget(before)
        self._host.drop(lambda sample: sample.t_s < before)
        self._engines.forget(before)

    # --- conclusions out -----------------------------------------------------------------------

    def diagnosis(self) -> Diagnosis:
        """The document of what was seen. Raises ValueError before a Hello has come."""
        return self._build(self._rows(steady=False), kept=True)

    def snapshot(self) -> Snapshot:
        """One picture for a screen, with hysteresis applied. Raises ValueError before a Hello has come."""
        rows = self._rows(steady=True)
        document = self._build(rows)
        by_key = {row.info.key: row for row in rows}
        return Snapshot(
            t_s=self._now_s,
            mode=_MODES[self.options.source],
            reason=self.options.reason,
            hello=self._hello(),
            devices=tuple(
                device_view(track, self._state(track), by_key.get(key))
                for key, track in self._shown().items()
            ),
            host=self._host.latest,
            diagnosis=document,
            stale=self._stale(),
            ended=self.end.reason if self.end else None,
            paused=self.gap is not None and self.gap.kind == "paused",
        )

    def _hello(self) -> Hello:
        if self.hello is None:
            raise ValueError("nothing was read: a stream starts with its header")
        return self.hello

    def _stale(self) -> str | None:
        return self.gap.reason if self.gap is not None and self.gap.kind != "paused" else None

    def _shown(self) -> dict[str, Track]:
        pids = self._pids
        if pids is None:
            return self.tracks
        return {key: t for key, t in self.tracks.items() if any(p.pid in pids for p in t.all_processes())}

    def _window(self) -> tuple[float, float]:
        first = self._first_s if self._first_s is not None else self._now_s
        if self.options.window_s is not None:
            first = max(first, self._now_s - self.options.window_s)
        return first, self._now_s

    def _rows(self, *, steady: bool) -> list[dx.Row]:
        """A row for every device shown: first all verdicts, then the rules, which may look at siblings."""
        tracks = self._shown()
        kept = {key: old for key, track in tracks.items() if steady and (old := self._still_good(track))}
        judged = {key: self._judge(track, steady) for key, track in tracks.items() if key not in kept}
        around = tuple((kept.get(key) or judged[key]).sibling for key in tracks)
        made = {key: self._row(one, around) for key, one in judged.items()}
        return [made[key] if key in made else kept[key].row for key in tracks]

    def _still_good(self, track: Track) -> ShownRow | None:
        """The row on the screen, after a start at most RECONSIDER_S old, and never from another state."""
        last = self._shown_rows.get(track.info.key)
        young = self._now_s - (self._first_s or 0.0) < SETTLING_S
        if last is None or young or last.state != self._state(track):
            return None
        return last if self._now_s - last.made_s < RECONSIDER_S else None

    def _judge(self, track: Track, steady: bool) -> Judged:
        start, end = self._window()
        evidence = track.evidence(self._node(), start, end)
        if self._engines:
            evidence = msgspec.structs.replace(evidence, serving=self._engines.on(track.info.key))
        subject = Subject(
            evidence=evidence,
            ceilings=track.ceilings,
            price=self._prices.of_track(track),
            splits=track.splits(),
        )
        last = self._shown_rows.get(track.info.key)
        steadier = (last.steady if last else Steady()) if steady else None
        verdict = judge(subject, steadier)
        return Judged(track, subject, verdict, sibling(subject.evidence, verdict, track.ceilings), steadier)

    def _row(self, one: Judged, around: tuple[Sibling, ...]) -> dx.Row:
        track, evidence = one.track, one.subject.evidence
        row = dx.Row(
            info=track.info,
            evidence=evidence,
            ceilings=track.ceilings,
            price=one.subject.price,
            provenance=dx.device_provenance(
                track.info, evidence, track.ceilings, tuple(track.samples), self._rates
            ),
            result=conclude(one.subject, one.verdict, around),
            series=None if one.steady else time_series(tuple(track.windows), tuple(track.samples)),
        )
        if one.steady is not None:
            shown = ShownRow(self._now_s, self._state(track), row, one.steady, one.sibling)
            self._shown_rows[track.info.key] = shown
        return row

    def _node(self) -> dict[str, Any]:
        """What the node did in the window; worked out once for all its devices."""
        if self._node_at is None or self._node_at[0] != self._now_s:
            self._node_at = (self._now_s, node_facts(self._host, self._hello().host))
        return self._node_at[1]

    def _build(self, rows: list[dx.Row], *, kept: bool = False) -> Diagnosis:
        start, end = self._window()
        how = dx.Circumstances(
            source=self.options.source,
            t_start_s=start,
            t_end_s=end,
            command=self.options.command,
            note=self.options.reason,
            watch_cost_frac=dx.watch_cost(tuple(self._costs), self.interval_s),
            clock_step=self._clock_step,
            keep_observed=kept,
        )
        document = dx.build(self._hello(), rows, self._remainders(), how)
        if self._engines:
            document = msgspec.structs.replace(document, serving=self._engines.figures(self._pricing(rows)))
        if kept:
            # A screen never needs it, and opens sooner without.
            from advisor.whatifs import with_what_ifs

            document = with_what_ifs(document, self.options.config)
        return self._selection.applied(noted(document))

    def _pricing(self, rows: list[dx.Row]) -> Pricing:
        """Price and power of the devices that are shown."""
        samples = {row.info.key: tuple(self.tracks[row.info.key].samples) for row in rows}
        return pricing([row.result.ladder for row in rows], samples, self.options.config)

    def _remainders(self) -> list[LadderRow]:
        if self._pids is not None:
            return []
        keys = self.options.keys
        parents = [parent for key, parent in self._parents.items() if keys is None or key in keys]
        return dx.remainders(parents, [track.info for track in self.tracks.values()], self._prices.of)

    def _state(self, track: Track) -> tuple[State, str]:
        if track.silence is not None:
            return "silent", self._stale() or "the driver does not answer"
        if track.lost_reason is not None:
            return "lost", track.lost_reason
        return ("ok", "") if track.sample else ("waiting", "no data yet")
