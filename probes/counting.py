"""Operations and bytes that a kernel must do, counted from its definition, never from a counter."""

from __future__ import annotations

from typing import Literal

Stream = Literal["read", "write", "copy", "triad"]

# Buffers that each kernel moves once. Write-allocate traffic is not counted (STREAM's convention).
STREAM_BUFFERS: dict[Stream, int] = {"read": 1, "write": 1, "copy": 2, "triad": 3}


def gemm_flops(m: int, n: int, k: int) -> int:
    """2·M·N·K: a multiplication and an addition each. K counts elements, also where two share a byte."""
    return 2 * m * n * k


def stream_bytes(kind: Stream, buffer_bytes: int) -> int:
    """Bytes moved by one pass over buffers of `buffer_bytes` each."""
    return STREAM_BUFFERS[kind] * buffer_bytes
