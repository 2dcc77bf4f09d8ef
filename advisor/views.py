"""Views: what a screen is given of one device."""

from __future__ import annotations

from advisor.diagnosis import Row
from advisor.snapshot import DeviceView, State
from advisor.tracks import Track


def device_view(track: Track, state: tuple[State, str], row: Row | None) -> DeviceView:
    """A device as it is now. state: with its reason. row: what was concluded of it, where anything was."""
    history = tuple(track.history)
    return DeviceView(
        info=track.info,
        state=state[0],
        state_reason=state[1],
        sample=track.sample,
        latest=history[-1] if history else None,
        processes=track.processes,
        verdict=row.result.verdict if row else None,
        ladder=row.result.ladder if row else None,
        history=history,
        ceilings=track.ceilings,
        inside=track.inside,
    )
