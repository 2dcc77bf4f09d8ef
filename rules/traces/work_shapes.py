"""Arguments of an operator as a trace holds them: shapes, types, and scalars as text."""

from __future__ import annotations

import math
import re

import msgspec

# Bytes of one element by the type's name in a trace, and the precision that it stands for.
_TYPES: dict[str, tuple[int, str | None]] = {
    "float": (4, "fp32"),
    "double": (8, "fp64"),
    "c10::half": (2, "fp16"),
    "c10::bfloat16": (2, "bf16"),
    "c10::float8_e4m3fn": (1, "fp8"),
    "c10::float8_e5m2": (1, "fp8"),
    "c10::float8_e4m3fnuz": (1, "fp8"),
    "c10::float8_e5m2fnuz": (1, "fp8"),
    "c10::float8_e8m0fnu": (1, None),
    "c10::complex<float>": (8, None),
    "c10::complex<double>": (16, None),
    "long int": (8, None),
    "long": (8, None),
    "int": (4, None),
    "short int": (2, None),
    "short": (2, None),
    "signed char": (1, "int8"),
    "char": (1, "int8"),
    "unsigned char": (1, None),
    "bool": (1, None),
}
_NUMBER = re.compile(r"-?\d{1,18}")
_MOST = 16
Families = tuple[str, ...]


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """Work of one call of an operator.

    flops, bytes: None where unknown, with the reason in `unknown`. note: what the figures assume. families:
    kernel families that do this work; empty where any kernel of the operator may. dtype: the precision of the
    operands ("bf16", ...), where types are known. rows: rows of the smaller side of a product; few of them
    make it bound by memory.
    """

    flops: float | None = None
    bytes: float | None = None
    unknown: str = ""
    note: str = ""
    families: Families = ()
    dtype: str | None = None
    rows: int | None = None


def size_of(type_name: str) -> int | None:
    """Bytes of one element; None for what is no tensor's type."""
    found = _TYPES.get(type_name.lower())
    return found[0] if found else None


class Operands:
    """Arguments of one call. Methods raise ValueError or IndexError for what is not there."""

    def __init__(
        self, dims: tuple[tuple[int, ...], ...], types: tuple[str, ...], concrete: tuple[str, ...]
    ) -> None:
        self._dims, self._types, self._concrete = dims, types, concrete

    def shape(self, at: int) -> tuple[int, ...]:
        """Sizes of a tensor with at least one dimension."""
        found = self._dims[at]
        if not found:
            raise ValueError(at)
        return found

    def has_shape(self, at: int) -> bool:
        """Whether there is such a tensor."""
        return at < len(self._dims) and bool(self._dims[at])

    def tensors(self) -> tuple[int, ...]:
        """Positions of tensors with at least one dimension."""
        return tuple(i for i, shape in enumerate(self._dims) if shape)

    def out_size(self, at: int) -> int:
        """Bytes of an element of the result of a product: as the input's, and 2 where that is smaller."""
        size = self._element(at)
        return max(size, 2) if self._of_fp8(at) else size

    def bytes_of(self, at: int) -> int:
        """Bytes of a tensor; 0 for what is none."""
        return math.prod(self._dims[at]) * self._element(at) if self.has_shape(at) else 0

    def dtype(self) -> str | None:
        """Precision of the first tensor that has a floating-point or int8 type."""
        for at in self.tensors():
            found = _TYPES.get(self._types[at].lower()) if at < len(self._types) else None
            if found is not None and found[1] is not None:
                return found[1]
        return None

    def numbers(self, at: int, count: int | None) -> tuple[int, ...] | None:
        """A list of whole numbers, one of them standing for all; None where the trace does not hold it."""
        if at >= len(self._concrete):
            return None
        found = tuple(int(text) for text in _NUMBER.findall(self._concrete[at])[:_MOST])
        if count is not None and len(found) == 1:
            found = found * count
        return found if found and (count is None or len(found) == count) else None

    def number(self, at: int) -> int | None:
        """One whole number."""
        found = self.numbers(at, 1)
        return found[0] if found else None

    def flags(self, at: int) -> tuple[bool, ...] | None:
        """A list of truth values."""
        if at >= len(self._concrete):
            return None
        found = re.findall(r"true|false", self._concrete[at].lower())
        return tuple(word == "true" for word in found[:_MOST]) or None

    def flag(self, at: int) -> bool | None:
        """One truth value."""
        found = self.flags(at)
        return found[0] if found else None

    def _element(self, at: int) -> int:
        size = size_of(self._types[at])
        if size is None:
            raise ValueError(self._types[at])
        return size

    def _of_fp8(self, at: int) -> bool:
        return (_TYPES[self._types[at].lower()][1]) == "fp8"


def broadcast(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    """The common shape of tensors that stand in one operation. Raises ValueError where they have none."""
    rank = max((len(shape) for shape in shapes), default=0)
    padded = [(1,) * (rank - len(shape)) + shape for shape in shapes]
    sizes = [max(column) if 0 not in column else 0 for column in zip(*padded, strict=True)]
    for column, size in zip(zip(*padded, strict=True), sizes, strict=True):
        if any(n not in (1, size) for n in column):
            raise ValueError
    return tuple(sizes)
