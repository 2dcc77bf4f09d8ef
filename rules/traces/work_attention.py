"""Attention: formulas of rules.traces.work."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from rules.traces.work_shapes import Families, Operands, Work

Formula = Callable[[Operands], Work]
_ATTENDS: Families = ("attention", "gemm", "softmax")


class Attention(msgspec.Struct, frozen=True):
    """Where attention's arguments stand. heads_first: [batch, heads, length, size], else length before
    heads. first: of query; key and value follow. lengths: of a tensor of lengths, which hides the true ones.
    products: of matrices, 2 forward and 5 backward, where scores are computed again. mask_type: `causal`
    holds the number of a mask's type, 0 for none."""

    first: int
    causal: int
    heads_first: bool
    products: int
    lengths: int | None = None
    mask_type: bool = False


def attention(places: Attention) -> Formula:
    """Attention of dense sequences, forward or backward."""

    def formula(given: Operands) -> Work:
        if places.lengths is not None and given.has_shape(places.lengths):
            return Work(unknown="lengths of the sequences lie on the device", families=_ATTENDS)
        q, k, v = (given.shape(places.first + i) for i in range(3))
        if len(q) != 4 or len(k) != 4 or len(v) != 4:
            raise ValueError
        batch, heads, rows, size = q if places.heads_first else (q[0], q[2], q[1], q[3])
        columns, wide = (k[2], v[3]) if places.heads_first else (k[1], v[3])
        full = _attended(places.products, batch * heads * rows * columns, size, wide)
        share, note = _causal_share(given, places, rows, columns)
        return Work(
            flops=full * share,
            bytes=_attention_bytes(given, places, batch * heads * rows * wide),
            note=note,
            families=_ATTENDS,
            rows=rows,
        )

    return formula


def _attended(products: int, cells: int, size: int, wide: int) -> float:
    """Scores and their product with the values; backward three of the first kind and two of the other."""
    return 2.0 * cells * ((size + wide) if products == 2 else (3 * size + 2 * wide))


def _attention_bytes(given: Operands, places: Attention, out: int) -> float:
    inputs = sum(given.bytes_of(places.first + i) for i in range(3))
    written = out * given.out_size(places.first)
    return float(inputs + written if places.products == 2 else 2 * inputs + 2 * written)


def _causal_share(given: Operands, places: Attention, rows: int, columns: int) -> tuple[float, str]:
    """Part of the scores that a causal kernel computes, and what was assumed.

    torch.utils.flop_counter counts all of them; kernels leave out what the mask hides.
    """
    causal = given.number(places.causal) if places.mask_type else given.flag(places.causal)
    if rows == 1 or causal is False or (places.mask_type and causal == 0):
        return 1.0, ""
    seen = (max(0, columns - rows) + (min(rows, columns) + 1) / 2.0) / columns
    part = min(1.0, seen if rows <= columns else 0.5)
    if causal is None:
        return part, "at least: counted as causal, since the trace does not tell"
    return part, "causal: only what the mask shows"
