"""One stretch of a file's text as a block of columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from advisor.traces.kineto import meta, scan
from advisor.traces.kineto.columns import Block, Tables, block_of
from advisor.traces.kineto.numbers import NO_TIME, nanoseconds, needs_exact
from advisor.traces.kineto.records import Event, ExactEvent, Sample
from advisor.traces.kineto.repair import ERRORS, salvage, with_nulls
from advisor.traces.kineto.sieve import sieved
from advisor.traces.limits import Limits

_BETWEEN = scan.WHITESPACE + b","
_COUNTERS = "hardware_counters"
_MOST_TAIL = 64 << 20


class Decoder:
    """Decodes stretches of one file; numbers names, threads and shapes across them."""

    def __init__(self, limits: Limits) -> None:
        self.tables = Tables.within(limits)
        self._limits = limits
        self._events = msgspec.json.Decoder(list[Event])
        self._exact = msgspec.json.Decoder(list[ExactEvent])
        self._samples = msgspec.json.Decoder(list[Sample])

    def block(self, text: bytes, offset: int, *, last: bool) -> Block:
        """Columns of a text that starts with an event. offset: its place in the file. last: whether what is
        behind the events may stand in it."""
        tail: bytes | None = None
        body = text.strip(_BETWEEN)
        if last:
            body, tail = self._apart(text)
        block = self._whole(body)
        if block is None and (numbers := with_nulls(body)) is not body:
            block = self._whole(numbers)
        if block is None:
            block, end = self._salvaged(text, offset)
            tail = text[end:] if last else None
            _cut_off(block, tail, offset + end)
        block.tail = None if tail is None else tail[:_MOST_TAIL]
        if not (block.lost or block.mended or _is_text(text)):
            block.mended = 1
        return block

    def _apart(self, text: bytes) -> tuple[bytes, bytes]:
        """Events, and what stands behind them; damage shows in the events then."""
        if text.lstrip(_BETWEEN).startswith(b"]"):
            return b"", text
        start, end = scan.last_event(text)
        if start >= 0 and text[end:].lstrip(scan.WHITESPACE)[:1] == b"]":
            return text[:end].strip(_BETWEEN), text[end:]
        return b"!", b""

    def _whole(self, body: bytes) -> Block | None:
        """Columns of undamaged text; None where it is damaged."""
        body, left_out = sieved(body)
        text = b"[" + body + b"]"
        try:
            events = self._events.decode(text)
            block = self._columns(events, text)
            block.events.update(left_out)
        except ERRORS:
            return None
        return block

    def _columns(self, events: list[Event], text: bytes) -> Block:
        exact = needs_exact([event.ts for event in events], text)
        kept: Sequence[Event] = events
        if exact:
            try:
                kept = self._exact.decode(text)
            except ERRORS:
                exact = False
        block = block_of(kept, self.tables, self._limits, exact=exact)
        if block.events.get(_COUNTERS):
            block.counters = _counters(self._samples.decode(text))
        return block

    def _salvaged(self, text: bytes, offset: int) -> tuple[Block, int]:
        saved = salvage(text, self._events.decode)
        block = block_of(saved.events, self.tables, self._limits, exact=False)
        block.lost, block.mended = saved.lost, saved.mended
        block.beyond["samples"] = block.events.get(_COUNTERS, 0)
        block.lost_at = None if saved.at is None else offset + saved.at
        return block, saved.end


def _is_text(text: bytes) -> bool:
    """Whether this is UTF-8: strings that nobody reads are not checked as they are skipped."""
    try:
        return text.isascii() or bool(text.decode())
    except UnicodeDecodeError:
        return False


def _cut_off(block: Block, tail: bytes | None, at: int) -> None:
    """Half an event at the end of the file is no damage but the cut, which is told of itself."""
    left = (tail or b"").lstrip(_BETWEEN)
    if left and not left.startswith(b"]"):
        block.cut_at = at
        block.lost = max(0, block.lost - 1)
        block.lost_at = block.lost_at if block.lost else None


def _counters(samples: Sequence[Sample]) -> list[tuple[str, int, int, float]]:
    """Samples of hardware counters: (name, device, ns, value)."""
    found = [sample for sample in samples if sample.ph == "C" and sample.cat == _COUNTERS]
    times = nanoseconds([sample.ts for sample in found]).tolist()
    rows = []
    for sample, at in zip(found, times, strict=True):
        args = meta.loads(bytes(sample.args)) if at != NO_TIME and bytes(sample.args) else None
        if isinstance(args, dict):
            rows.extend(_values(sample, args, at))
    return rows


def _values(sample: Sample, args: dict[str, Any], at: int) -> list[tuple[str, int, int, float]]:
    device = meta.integer(args.pop("device", sample.pid))
    values = {key: value for key, value in args.items() if isinstance(value, float) or _fits(value)}
    name = (sample.name or "")[:256]
    return [
        (
            name if len(values) == 1 else f"{name}/{key[:256]}",
            device if device is not None else -1,
            at,
            float(value),
        )
        for key, value in values.items()
    ]


def _fits(value: Any) -> bool:
    """Whether this is an integer that a double holds."""
    return isinstance(value, int) and abs(value) < 1 << 1000
