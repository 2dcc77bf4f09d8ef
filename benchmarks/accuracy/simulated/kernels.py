"""Kinds of kernels that the simulated programs are made of."""

from __future__ import annotations

from typing import Any

from benchmarks.accuracy.simulated.card import Card, Kernel, Precision

_US = 1e-6


def stream(copy: float, **more: Any) -> Kernel:
    """A bandwidth-bound kernel over long rows; `copy`: useful bytes over what a copy reaches."""
    return Kernel(copy=copy, **{"warps": 0.7, "integer": 0.12, "fp32": 0.06, "length_s": 500 * _US, **more})


def gather(copy: float, overfetch: float, **more: Any) -> Kernel:
    """A bandwidth-bound kernel whose addresses are scattered: whole sectors are fetched for parts of them."""
    return Kernel(
        copy=copy,
        overfetch=overfetch,
        **{"warps": 0.55, "integer": 0.2, "writes": 0.2, "length_s": 300 * _US, **more},
    )


def product(card: Card, of_probe: float, precision: Precision = "bf16", **more: Any) -> Kernel:
    """Tensor-core work; `of_probe`: over what the card's own GEMM of that kind keeps busy.

    A warp-specialised kernel of Hopper's holds 12 of 64 warps on an SM.
    """
    duty = min(0.95, card.probe[precision] * of_probe)
    return Kernel(
        tensor=duty,
        precision=precision,
        **{"copy": 0.22, "writes": 0.2, "warps": 0.19, "fill": 0.97, "integer": 0.06, "fp32": 0.03, **more},
    )


def tiny(length_us: float, fill: float, **more: Any) -> Kernel:
    """A kernel of a few blocks over in microseconds: mostly launch latency."""
    given = {"warps": 0.05, "integer": 0.01, "copy": 0.01, **more}
    return Kernel(length_s=length_us * _US, fill=fill, **given)
