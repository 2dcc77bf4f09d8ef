"""Operators with their shapes, from the JSON text of their arguments."""

from __future__ import annotations

from typing import Any

import msgspec

from advisor.traces.timeline import Op

# (number of the name, "Input Dims", "Input type", "Concrete Inputs"), the latter three as in the file.
Shape = tuple[int, bytes, bytes, bytes]
_LONGEST = 512


def op_of(name: str, shape: Shape) -> Op:
    """An operator; what its texts do not tell stays empty."""
    _, dims, types, concrete = shape
    return Op(
        name=name,
        dims=tuple(_sizes(part) for part in _list(dims)),
        types=tuple(_text(part) for part in _list(types)),
        concrete=tuple(_text(part) for part in _list(concrete)),
    )


def _list(text: bytes) -> list[Any]:
    try:
        value = msgspec.json.decode(text) if text else []
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return []
    return value if isinstance(value, list) else []


def _sizes(part: Any) -> tuple[int, ...]:
    """Sizes of one tensor; none for a list of tensors."""
    whole = isinstance(part, list) and all(isinstance(n, int) and abs(n) < 1 << 53 for n in part)
    return tuple(part) if whole else ()


def _text(part: Any) -> str:
    return (part if isinstance(part, str) else msgspec.json.encode(part).decode())[:_LONGEST]
