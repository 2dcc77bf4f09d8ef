"""What the screens say of ceilings: in the header, over the counters, and on the probes screen."""

from __future__ import annotations

from advisor.ceilings import age_words, how_known
from advisor.snapshot import DeviceView, Snapshot
from advisor.tui.rows import Span
from advisor.tui.text import safe
from probes.ceilings import Ceilings

TO_DO = "run advisor probe"


def header_spans(snapshot: Snapshot) -> tuple[Span, ...]:
    """The node's ceilings for the header, in words that get shorter: the worst of them, the oldest age."""
    known = [view.ceilings for view in snapshot.devices if view.ceilings is not None]
    stale = next((ceilings for ceilings in known if how_known(ceilings) == "stale"), None)
    if stale is not None:
        return Span(f"ceilings stale: {safe(stale.stale or '')}", "warn"), Span("ceilings stale", "warn")
    kinds = sorted({how_known(ceilings) for ceilings in known}) or ["unknown"]
    short = f"ceilings {'/'.join(kinds)}"
    if kinds == ["measured"]:
        oldest = min(known, key=lambda ceilings: ceilings.measured_s or 0.0)
        return Span(f"{short} {age_words(oldest, snapshot.t_s)}"), Span(short)
    return (Span(f"{short}: {TO_DO}"), Span(short)) if snapshot.mode == "live" else (Span(short),)


def device_words(view: DeviceView) -> str:
    """One device's ceilings: "measured 2 d ago", "stale, measured 40 d ago", "assumed"."""
    ceilings = view.ceilings
    known = how_known(ceilings)
    age = age_words(ceilings, _now_s(view, ceilings)) if ceilings else ""
    return f"stale, measured {age}" if known == "stale" and age else f"{known} {age}".strip()


def _now_s(view: DeviceView, ceilings: Ceilings) -> float:
    """The time of the device's newest data, which in a replay is not now."""
    return view.sample.t_s if view.sample else ceilings.measured_s or 0.0
