"""Slices: what a MIG instance is called, and which part of its GPU's price it stands for.

An H100 in seven 1g slices leaves some SMs in none of them, yet nothing is left to allot. So the price
follows the slices that are sold (sevenths; quarters on an A30), not the SMs.
"""

from __future__ import annotations

import re

from advisor.telemetry.records import DeviceInfo

# "2g.20gb", or "1c.2g.20gb" for one of the compute instances that share a GPU instance.
_PROFILE = re.compile(r"(?:(\d+)c\.)?(\d+)g\.")


def mig_label(info: DeviceInfo) -> str | None:
    """ "1g.10gb/7" for a MIG instance: its profile and GPU instance id. None for a whole GPU."""
    if info.parent_key is None:
        return None
    return f"{info.mig_profile or 'slice'}/{info.gi_id if info.gi_id is not None else '?'}"


def price_share(info: DeviceInfo, parent: DeviceInfo | None) -> float | None:
    """The part of the GPU's price this row stands for; None for a slice of unknown size."""
    if parent is None:
        return 1.0
    found = _PROFILE.match(info.mig_profile or "")
    if found is None:
        return info.slice_frac
    return min(1.0, int(found[1] or found[2]) / (4 if "A30" in parent.name else 7))
