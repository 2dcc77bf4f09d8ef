"""What holds a GPU's clocks: throttling as a warning, and what slows nothing down plainly."""

from __future__ import annotations

from collections.abc import Sequence

from advisor.tui.rows import Row, Span
from advisor.tui.text import safe

# Clock event reasons that are no throttling.
CALM: dict[str, str] = {
    "gpu_idle": "idle",
    "app_clocks": "set by the application clocks",
    "sync_boost": "held together with other GPUs (sync boost)",
    "display_clocks": "set by the display",
}


def clock_rows(reasons: Sequence[str]) -> list[Row]:
    """A line for throttling and one for the rest, as far as there is any."""
    throttling = ", ".join(safe(reason) for reason in reasons if reason not in CALM)
    calm = ", ".join(CALM[reason] for reason in reasons if reason in CALM)
    rows: list[Row] = [(Span(f"throttled by {throttling}", "warn"),)] if throttling else []
    return [*rows, (Span(f"clocks: {calm}", "dim"),)] if calm else rows
