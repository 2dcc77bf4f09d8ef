"""Ceilings: where each device's come from. Measured ones join the stream at its edge, others are assumed.

The store of probe results is read where a live stream comes in, never by the monitor: a recording then
carries what was measured, and its replay on another machine reaches the same verdict.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import msgspec

from advisor.slices import price_share
from advisor.telemetry.feed import Feed
from advisor.telemetry.records import DeviceInfo, Frame, Hello, Message
from probes.ceilings import Ceilings
from probes.specs import assumed_ceilings, find_spec

if TYPE_CHECKING:
    from advisor.store import Store

# Limits of a whole GPU that each of its MIG instances can reach alone.
_SHARED = frozenset({"pcie", "nvlink"})


def ceilings_for(info: DeviceInfo, parent: DeviceInfo | None = None) -> Ceilings | None:
    """What this device can do: assumed from its data sheet; None for a model that is not in the table.

    A MIG instance has its share of its GPU's rates, while its counters read like the whole GPU's: they count
    the instance's own SMs and memory. A slice of unknown size has no rates.
    """
    whole = parent or info
    spec = find_spec(whole.name, whole.memory_total_bytes, whole.compute_capability, whole.power_limit_max_w)
    if spec is None:
        return None
    if parent is None:
        return assumed_ceilings(spec)
    part = info.slice_frac or price_share(info, parent)
    return _without_rates(assumed_ceilings(spec)) if not part else assumed_ceilings(spec, slice_frac=part)


def _without_rates(ceilings: Ceilings) -> Ceilings:
    shared = tuple(c for c in ceilings.ceilings if c.metric in _SHARED)
    return msgspec.structs.replace(ceilings, ceilings=shared, sm_count=None)


class CeilingsFeed:
    """A live feed whose header, and whose frames after a hot change, carry what was measured on the devices.

    warn: told what could not be read of the store, while the stream starts; it goes on without that.
    """

    def __init__(self, feed: Feed, store: Store, warn: Callable[[str], None]) -> None:
        self._feed = feed
        self._store = store
        self._warn = warn
        self._driver: str | None = None

    def start(self, timeout_s: float = 10.0) -> Hello:
        """The header with ceilings. Raises NoFeedError when nothing can be measured."""
        hello = self._feed.start(timeout_s)
        self._driver = hello.driver_version
        found, problems = measured(hello.devices, self._driver, self._store)
        for problem in problems:
            self._warn(f"measured ceilings: {problem}")
        return msgspec.structs.replace(hello, ceilings=found) if found else hello

    def poll(self, timeout_s: float) -> list[Message]:
        """Messages that arrived; those with a new list of devices say what was measured on them."""
        return [self._completed(message) for message in self._feed.poll(timeout_s)]

    def close(self) -> None:
        """Stop the feed."""
        self._feed.close()

    def _completed(self, message: Message) -> Message:
        if not isinstance(message, Frame) or message.devices is None:
            return message
        found, _ = measured(message.devices, self._driver, self._store)
        return msgspec.structs.replace(message, ceilings=found) if found else message


def measured(
    devices: Sequence[DeviceInfo], driver: str | None, store: Store
) -> tuple[dict[str, Ceilings], tuple[str, ...]]:
    """Key -> what probes measured on that device, as far as anything is stored; and what cannot be read."""
    from advisor.store import stored_ceilings

    found: dict[str, Ceilings] = {}
    by_key = {info.key: info for info in devices}
    try:
        for info in devices:
            assumed = ceilings_for(info, by_key.get(info.parent_key or ""))
            ceilings = stored_ceilings(info, driver, store, assumed)
            if ceilings is not None:
                found[info.key] = ceilings
    except Exception as error:  # a damaged store must not keep anybody from looking at a node
        return found, (*store.warnings, f"{type(error).__name__}: {error}")
    return found, tuple(store.warnings)


def age_words(ceilings: Ceilings, now_s: float) -> str:
    """When they were measured, as people say it: "2 d ago"; "" where they were not."""
    if ceilings.measured_s is None:
        return ""
    seconds = now_s - ceilings.measured_s
    for length_s, unit in ((86400.0, "d"), (3600.0, "h"), (60.0, "min")):
        if seconds >= length_s:
            return f"{seconds / length_s:.0f} {unit} ago"
    return "just now"


def how_known(ceilings: Ceilings | None) -> str:
    """One word or two for all of them: measured, partly measured, stale, typical, assumed or unknown."""
    if ceilings is None:
        return "unknown"
    if ceilings.measured_s is not None and ceilings.stale:
        return "stale"
    partly = ceilings.measured_s is not None and ceilings.label != "measured"
    return "partly measured" if partly else ceilings.label
