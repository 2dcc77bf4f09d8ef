"""NVTX ranges: annotations, and operators that PyTorch's `emit_nvtx` wrote ("aten::mm, seq = 7")."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from advisor.traces.limits import Limits
from advisor.traces.nsight.database import Columns
from advisor.traces.nsight.host import Part, Reading, part_of
from advisor.traces.nsight.intervals import in_order
from advisor.traces.timeline import UNKNOWN, HostKind, Op
from rules.traces.host_names import HostRole, host_role

NVTX = "NVTX_EVENTS"
# ENUM_NSYS_EVENT_TYPE: push/pop and start/end ranges, of NVTX and of NVTXT imports.
_NESTED = (59, 70)
_FREE = (60, 71)
_TORCH = re.compile(r"^(.*?), (?:seq|op_id|sizes|input_op_ids) = ")
_SIZES = re.compile(r", sizes = (\[.*?\])(?:, input_op_ids = |$)")


@dataclass(slots=True)
class Ranges:
    """NVTX ranges as read. name: index of the text without PyTorch's per-call numbers; op: of the operator.

    nested: push/pop ranges, which nest on their thread. text: index into `texts`, the full distinct texts.
    """

    columns: Columns
    name: NDArray[np.int32]
    op: NDArray[np.int32]
    nested: NDArray[np.bool_]


class Operators:
    """Operators with shapes, interned; no more of them, or of text, than the limits."""

    def __init__(self, limits: Limits) -> None:
        self._index: dict[tuple[str, str], int] = {}
        self._most = limits.shapes
        self._room = limits.interned_bytes
        self.missed = 0

    def intern(self, name: str, sizes: str) -> int:
        """The index of an operator with its sizes as written; UNKNOWN beyond the limit."""
        key = (name, sizes)
        if key not in self._index:
            self._room -= len(name) + len(sizes)
            if len(self._index) >= self._most or self._room < 0:
                self.missed += 1
                return UNKNOWN
        return self._index.setdefault(key, len(self._index))

    def all(self) -> tuple[Op, ...]:
        """All operators, by index."""
        return tuple(Op(name, _dims(sizes)) for name, sizes in self._index)


def _dims(sizes: str) -> tuple[tuple[int, ...], ...]:
    """Sizes of each input; () for one that is a list of tensors, as the inputs' places must stay."""
    try:
        read = msgspec.json.decode(sizes.encode(), type=list[list[object]]) if sizes else []
    except (msgspec.DecodeError, RecursionError):
        return ()
    return tuple(tuple(n for n in row if isinstance(n, int)) for row in read)


def read_ranges(reading: Reading, operators: Operators) -> Ranges | None:
    """All ranges that ended within the capture, or None without the table."""
    database = reading.database
    if not database.has(NVTX, "start", "end"):
        return None
    columns = database.numbers(
        NVTX, ("start", "end"), ("eventType", "globalTid", "textId"), where='"end" IS NOT NULL'
    )
    if columns is None:
        return None
    texts = _texts(reading, operators, len(columns["start"]))
    columns |= {"name": texts[:, 0], "op": texts[:, 1]}
    columns = _only_ranges(columns)
    columns = in_order(database, NVTX, columns, reading.base_ns)
    _registered(reading, operators, columns)
    return Ranges(
        columns,
        columns["name"].astype(np.int32),
        columns["op"].astype(np.int32),
        ~np.isin(columns["eventType"], _FREE),
    )


def _only_ranges(columns: Columns) -> Columns:
    kept = np.isin(columns["eventType"], (*_NESTED, *_FREE, UNKNOWN))
    return {name: column[kept] for name, column in columns.items()}


def _texts(reading: Reading, operators: Operators, length: int) -> NDArray[np.int64]:
    """Name and operator of each row of the table that has an end, by the text that stands in the row."""
    found = np.full((length, 2), UNKNOWN, np.int64)
    database = reading.database
    if "text" not in database.columns(NVTX) or not length:
        return found
    good = "typeof(start) = 'integer' AND typeof(\"end\") = 'integer'"
    query = f'SELECT {database.text("text")} FROM {NVTX} WHERE "end" IS NOT NULL AND {good}'  # noqa: S608
    known: dict[object, tuple[int, int]] = {None: (UNKNOWN, UNKNOWN)}
    pairs = _interned(reading, operators, database.rows(NVTX, query), known)
    flat = np.fromiter(itertools.chain.from_iterable(itertools.islice(pairs, length)), np.int64)
    found[: len(flat) // 2] = flat.reshape(-1, 2)
    return found


def _interned(
    reading: Reading,
    operators: Operators,
    chunks: Iterator[list[tuple[object, ...]]],
    known: dict[object, tuple[int, int]],
) -> Iterator[tuple[int, int]]:
    for rows in chunks:
        for (text,) in rows:
            pair = known.get(text)
            if pair is None:
                pair = _named(reading, operators, str(text))
                if len(known) < 65536:
                    known[text] = pair
            yield pair


def _named(reading: Reading, operators: Operators, text: str) -> tuple[int, int]:
    match = _TORCH.match(text)
    if match is None:
        return reading.names.intern(text), UNKNOWN
    sizes = _SIZES.search(text)
    name = match.group(1)
    return reading.names.intern(name), operators.intern(name, sizes.group(1) if sizes else "")


def _registered(reading: Reading, operators: Operators, columns: Columns) -> None:
    """Fills in the names of ranges whose text is a registered string."""
    open_rows = (columns["name"] == UNKNOWN) & (columns["textId"] >= 0)
    ids = columns["textId"][open_rows]
    reading.names.read(reading.database, ids)
    unique, inverse = np.unique(ids, return_inverse=True)
    made = [_named(reading, operators, reading.names.text(int(i)) or "NVTX range") for i in unique]
    table = np.asarray(made, np.int64).reshape(-1, 2)[inverse.reshape(-1)]
    columns["name"][open_rows], columns["op"][open_rows] = table[:, 0], table[:, 1]
    columns["name"][columns["name"] == UNKNOWN] = reading.names.intern("NVTX range")


def annotation_part(reading: Reading, ranges: Ranges) -> Part:
    """Ranges as host rows: those that nest, and of the others those whose name tells a role."""
    told = reading.names.all()
    unique, inverse = np.unique(ranges.name, return_inverse=True)
    by_name = np.asarray([host_role(told[int(i)]) for i in unique], np.uint8)
    roles = by_name[inverse.reshape(-1)]
    kept = ranges.nested | (roles != HostRole.OTHER)
    columns = {name: column[kept] for name, column in ranges.columns.items()}
    kinds = np.where(ranges.op[kept] == UNKNOWN, HostKind.ANNOTATION, HostKind.OP)
    part = part_of(reading, columns, kinds, roles[kept], ranges.name[kept])
    part["op"] = ranges.op[kept]
    return part
