"""What a probe worker says while it works: one JSON object a line, told apart by `type`."""

from __future__ import annotations

import msgspec

from probes.record import DeviceFacts, Measurement

# What a worker says it is at before any probe: each is waited for in its own measure.
ASKING = "asking the driver who uses the device"
OPENING = "starting CUDA"


class Started(msgspec.Struct, frozen=True, kw_only=True, tag="started", tag_field="type"):
    """The device is open. facts: now also with what only the runtime knows. contended: see ProbeReport."""

    facts: DeviceFacts
    versions: dict[str, str] = {}
    contended: str | None = None


class Refused(msgspec.Struct, frozen=True, kw_only=True, tag="refused", tag_field="type"):
    """Nothing will be measured: the device is busy, gone, or cannot be opened. fix: what to do about it."""

    reason: str
    fix: str = ""


class Progress(msgspec.Struct, frozen=True, kw_only=True, tag="progress", tag_field="type"):
    """A probe is at `frac` (0 to 1) of its work and does what `text` says; before any probe it is ""."""

    probe: str
    text: str
    frac: float


class Result(msgspec.Struct, frozen=True, kw_only=True, tag="result", tag_field="type"):
    """One figure, before the sanity rules that need all of them."""

    measurement: Measurement


class ProbeDone(msgspec.Struct, frozen=True, kw_only=True, tag="done", tag_field="type"):
    """A probe has given all it has."""

    probe: str
    wall_s: float


Event = Started | Refused | Progress | Result | ProbeDone
