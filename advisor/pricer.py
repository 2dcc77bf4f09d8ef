"""Pricer: what the devices of one stream cost an hour, each asked for once."""

from __future__ import annotations

import platform
from collections.abc import Mapping

from advisor.config import Config
from advisor.host_facts import partition_of
from advisor.prices import NodeFacts, facts_of, price_for
from advisor.slices import price_share
from advisor.telemetry.records import DeviceInfo, HostInfo
from advisor.tracks import Track
from rules.finding import Price

NO_SLICE_PRICE = Price(usd_h=None, basis="none", source="the size of this MIG slice is unknown")


class Pricer:
    """Prices by what sets them. flag: dollars per GPU-hour that the person gave."""

    def __init__(self, flag: float | None, env: Mapping[str, str], config: Config) -> None:
        self._flag = flag
        self._env = env
        self._config = config
        self._node = NodeFacts()
        self._known: dict[tuple[str, int | None, str | None], Price] = {}

    def look_at(self, host: HostInfo, *, is_here: bool) -> None:
        """Take what a stream's header says of its node. is_here: it is the node that advisor runs on."""
        self._node = facts_of(host, (platform.node(),) if is_here else ())
        self._known.clear()

    def of_track(self, track: Track) -> Price:
        """The price of the whole GPU behind a device; none for a slice of unknown size."""
        if price_share(track.info, track.parent) is None:
            return NO_SLICE_PRICE
        looks = [look for _, look in track.looks] or [track.processes]
        return self.of(track.parent or track.info, partition_of(looks))

    def of(self, info: DeviceInfo, partition: str | None = None) -> Price:
        """The price of one whole GPU. partition: of Slurm, that its job runs in."""
        asked = (info.name, info.memory_total_bytes, partition)
        if asked not in self._known:
            self._known[asked] = price_for(
                info.name,
                info.memory_total_bytes,
                flag=self._flag,
                env=self._env,
                config=self._config,
                node=self._node,
                partition=partition,
            )
        return self._known[asked]
