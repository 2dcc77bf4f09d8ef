"""Operators that only move bytes: formulas of rules.traces.work."""

from __future__ import annotations

import math
from collections.abc import Callable

from rules.traces.work_shapes import Operands, Work, broadcast

Formula = Callable[[Operands], Work]


def moves(read: tuple[int, ...] | None, written: int, *, out_bytes: int | None = None) -> Formula:
    """Reads these inputs (None: all) and writes `written` outputs of their common, broadcast shape."""

    def formula(given: Operands) -> Work:
        chosen = given.tensors() if read is None else tuple(i for i in read if given.has_shape(i))
        if not chosen:
            raise ValueError
        shape = broadcast(*(given.shape(i) for i in chosen))
        size = out_bytes if out_bytes is not None else max(given.out_size(i) for i in chosen)
        moved = sum(given.bytes_of(i) for i in chosen) + written * math.prod(shape) * size
        return _bytes(moved)

    return formula


def _bytes(moved: float) -> Work:
    return Work(bytes=float(moved), unknown="only products of matrices are counted as operations")


def reads(given: Operands) -> Work:
    """A reduction: what it writes is small beside what it reads, at most as much."""
    return _bytes(given.bytes_of(0))


def normalises(at: int, parameters: tuple[int, ...], times: int) -> Formula:
    """Moves its input `times` times, and its parameters once."""

    def formula(given: Operands) -> Work:
        return _bytes(times * given.bytes_of(at) + sum(given.bytes_of(i) for i in parameters))

    return formula


def writes(given: Operands) -> Work:
    """Writes its tensor and reads nothing."""
    return _bytes(given.bytes_of(0))


def copies(given: Operands) -> Work:
    """Reads input 1, writes input 0."""
    shape = given.shape(0)
    return _bytes(math.prod(shape) * given.out_size(0) + given.bytes_of(1))


def looks_up(table: int, indices: int) -> Formula:
    """Rows of a table by indices: reads and writes each row found."""

    def formula(given: Operands) -> Work:
        row = math.prod(given.shape(table)[1:]) * given.out_size(table)
        found = math.prod(given.shape(indices))
        return _bytes(2 * found * row + given.bytes_of(indices))

    return formula


def index_select(given: Operands) -> Work:
    """Whole slices by indices."""
    shape, dim = given.shape(0), given.number(1)
    if dim is None:
        return Work(unknown="the dimension is not in the trace")
    picked = math.prod(shape) // shape[dim] * math.prod(given.shape(2))
    return _bytes(2 * picked * given.out_size(0) + given.bytes_of(2))


def gather(given: Operands) -> Work:
    """Elements by indices."""
    picked = math.prod(given.shape(2))
    return _bytes(2 * picked * given.out_size(0) + given.bytes_of(2))
