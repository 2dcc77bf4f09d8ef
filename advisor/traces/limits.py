"""How much of a trace is read at most, so that no file can exhaust the machine."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds that honest files do not meet. Where one is met, what was read until then is kept.

    rows: intervals kept of one file (about 100 bytes each while reading). text_bytes: of uncompressed text.
    ratio: of uncompressed to compressed bytes, counted after the first `ratio_from_bytes` of text; JSON of
    traces compresses 10 to 40 times, a gzip bomb up to 1,030 times. event_bytes: of one event. name_chars:
    of one name, cut beyond it. damages: stretches that
    are no events. names, threads, counters: distinct ones. shapes: distinct operators with shapes.
    interned_bytes: of text of the distinct names, of the shapes, of the threads, each for itself. categories:
    counted by name, beside those known; the rest is counted together. header_bytes: of what stands before or
    after the events. Where several processes decode, what is distinct is bounded for each.
    eventless_bytes: of text in which no event is found.
    """

    rows: int = 20_000_000
    damages: int = 100_000
    text_bytes: int = 1 << 40
    ratio: float = 400.0
    ratio_from_bytes: int = 256 << 20
    event_bytes: int = 16 << 20
    name_chars: int = 16_384
    names: int = 500_000
    threads: int = 100_000
    shapes: int = 200_000
    interned_bytes: int = 64 << 20
    counters: int = 1_000
    categories: int = 256
    header_bytes: int = 64 << 20
    eventless_bytes: int = 128 << 20
