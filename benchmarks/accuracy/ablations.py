"""Ablations: the same recording with something hidden, so that the product itself takes the other path.

A view changes a stream's messages before the monitor sees them. Nothing of the classifier is changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import msgspec

from advisor.ceilings import ceilings_for
from advisor.compaction import merge_windows
from advisor.telemetry.records import DeviceInfo, Frame, Gpm, Hello, Message, ProcessSample, Sample
from probes.ceilings import Ceilings
from rules.evidence import SubWindow

View = Callable[[Iterable[Message]], Iterator[Message]]
HIDDEN = "hidden: this is how a GPU without GPM is seen"
COARSE_S = 1.0
_FULL_S = 0.95 * COARSE_S
_COUNTERS = tuple(name for name in Gpm.__struct_fields__ if name not in ("t_s", "duration_s"))
# What a look at processes says beside that they are there and hold memory.
_KEPT = frozenset({"key", "pid", "name", "user", "job", "mem_used_bytes", "missing"})
_HOST_FIELDS = {name: None for name in ProcessSample.__struct_fields__ if name not in _KEPT}


def as_recorded(messages: Iterable[Message]) -> Iterator[Message]:
    """The stream as it is."""
    yield from messages


def without_gpm(messages: Iterable[Message]) -> Iterator[Message]:
    """As a GPU before Hopper gives it: NVML alone, and no counter was ever read at its ceiling."""
    for message in messages:
        yield _each(message, sample=_no_gpm, info=_no_gpm_support, ceilings=_no_measured_readings)


def without_probes(messages: Iterable[Message]) -> Iterator[Message]:
    """Nobody ever probed the card: ceilings are assumed from the data sheet."""
    for message in messages:
        yield msgspec.structs.replace(message, ceilings={}) if isinstance(message, Hello | Frame) else message


def without_host(messages: Iterable[Message]) -> Iterator[Message]:
    """Processes are there and hold memory; what they and the node's CPUs do is not looked at."""
    for message in messages:
        if isinstance(message, Frame):
            looks = message.processes
            bare = None if looks is None else tuple(msgspec.structs.replace(p, **_HOST_FIELDS) for p in looks)
            yield msgspec.structs.replace(message, host=None, processes=bare)
        else:
            yield message


def at_one_second(messages: Iterable[Message]) -> Iterator[Message]:
    """Neighbouring sub-windows averaged into ones of a second."""
    coarse: dict[str, _Coarse] = {}
    for message in messages:
        yield _each(message, sample=lambda s: coarse.setdefault(s.key, _Coarse()).take(s))


TIERS: dict[str, View] = {"counters": as_recorded, "nvml": without_gpm}
# name -> what it shows, the tiers it is made in, and the view.
ABLATIONS: dict[str, tuple[str, tuple[str, ...], View]] = {
    "no-probes": ("no ceilings by probes", ("counters", "nvml"), without_probes),
    "no-host": ("no host evidence", ("counters", "nvml"), without_host),
    "1s": ("sub-windows of 1 s", ("counters",), at_one_second),
}


def seen_through(messages: Sequence[Message], *views: View) -> Iterator[Message]:
    """The messages through one view after the other."""
    stream: Iterator[Message] = iter(messages)
    for view in views:
        stream = view(stream)
    return stream


class _Coarse:
    """One device's sub-windows on their way to a second. A hole between two ends the one begun."""

    def __init__(self) -> None:
        self._begun: SubWindow | None = None

    def take(self, sample: Sample) -> Sample:
        whole: list[Gpm] = []
        for gpm in sample.gpm:
            window = _window(gpm)
            if self._begun is not None and not _follows(self._begun, window):
                whole.append(_gpm(self._begun))
                self._begun = None
            self._begun = window if self._begun is None else merge_windows(self._begun, window)
            if self._begun.duration_s >= _FULL_S:
                whole.append(_gpm(self._begun))
                self._begun = None
        return msgspec.structs.replace(sample, gpm=tuple(whole))


def _follows(first: SubWindow, then: SubWindow) -> bool:
    return then.t_s - then.duration_s - first.t_s < 0.5 * then.duration_s


def _window(gpm: Gpm) -> SubWindow:
    return SubWindow(
        t_s=gpm.t_s, duration_s=gpm.duration_s, **{name: getattr(gpm, name) for name in _COUNTERS}
    )


def _gpm(window: SubWindow) -> Gpm:
    return Gpm(
        t_s=window.t_s, duration_s=window.duration_s, **{name: getattr(window, name) for name in _COUNTERS}
    )


def _same(value: Any, *_: Any) -> Any:
    return value


def _each(
    message: Message,
    *,
    sample: Callable[[Sample], Sample],
    info: Callable[[DeviceInfo], DeviceInfo] = _same,
    ceilings: Callable[[Ceilings, DeviceInfo | None], Ceilings] = _same,
) -> Message:
    """The message with each of its samples, device facts and ceilings changed."""
    if isinstance(message, Hello):
        by_key = {d.key: d for d in message.devices}
        return msgspec.structs.replace(
            message,
            devices=tuple(info(d) for d in message.devices),
            ceilings={key: ceilings(c, by_key.get(key)) for key, c in message.ceilings.items()},
        )
    if isinstance(message, Frame):
        named = {d.key: d for d in message.devices or ()}
        return msgspec.structs.replace(
            message,
            samples=tuple(sample(s) for s in message.samples),
            devices=None if message.devices is None else tuple(info(d) for d in message.devices),
            ceilings={key: ceilings(c, named.get(key)) for key, c in message.ceilings.items()},
        )
    return message


def _no_gpm(sample: Sample) -> Sample:
    return msgspec.structs.replace(sample, gpm=(), missing={**sample.missing, "gpm": HIDDEN})


def _no_gpm_support(info: DeviceInfo) -> DeviceInfo:
    return msgspec.structs.replace(info, gpm=False, missing={**info.missing, "gpm": HIDDEN})


def _no_measured_readings(ceilings: Ceilings, info: DeviceInfo | None) -> Ceilings:
    assumed = None if info is None else ceilings_for(info)
    return msgspec.structs.replace(ceilings, readings=() if assumed is None else assumed.readings)
