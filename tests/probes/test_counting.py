"""Counted work: against loops that do it, never against a counter."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from probes.counting import STREAM_BUFFERS, Stream, gemm_flops, stream_bytes

SIDE = st.integers(1, 6)


def counted_gemm(m: int, n: int, k: int) -> int:
    """Multiplications and additions of the textbook loops, each sum starting from zero."""
    done = 0
    for _ in range(m):
        for _ in range(n):
            for _ in range(k):
                done += 2
    return done


@given(SIDE, SIDE, SIDE)
def test_a_gemm_multiplies_and_adds_once_for_each_triple(m: int, n: int, k: int) -> None:
    assert gemm_flops(m, n, k) == counted_gemm(m, n, k)


def test_a_known_shape() -> None:
    assert gemm_flops(8192, 8192, 8192) == 1_099_511_627_776


@given(st.integers(1, 2**40))
def test_streams_move_each_buffer_once(size: int) -> None:
    moved = {kind: stream_bytes(kind, size) / size for kind in STREAM_BUFFERS}
    assert moved == {"read": 1, "write": 1, "copy": 2, "triad": 3}


def test_a_triad_touches_what_its_definition_names() -> None:
    a, b, c = bytearray(8), bytes(8), bytes(8)
    touched = 0
    for i in range(8):
        a[i] = (b[i] + 3 * c[i]) % 256
        touched += 3
    kind: Stream = "triad"
    assert stream_bytes(kind, len(a)) == touched
