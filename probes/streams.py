"""Read, write, copy and triad: by own kernels and by torch, each with a check of what it did."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any

import msgspec

from probes.counting import Stream
from probes.kernels import Kernels, Variant
from probes.timing import Call

VALUE = 1.25
# A power of two: then b + s·c rounds alike with and without a fused multiply-add, and is checked bit by bit.
SCALE = 0.5
# Never taken: no sum anded with 0 is 1. Always taken: every sum anded with 0 is 0.
NEVER, ALWAYS = (0, 1), (0, 0)
# Sweeps over the ring in one launch, so that a launch lasts about a millisecond.
L2_SWEEPS = 512
_CHUNK = 64 << 20
_WORDS = 1 << 32


class Take(msgspec.Struct, frozen=True, kw_only=True):
    """One way to make one pass. check: makes a pass and says what is wrong with its result, or None.

    work: bytes of a pass, where they are not those of whole buffers.
    """

    name: str
    method: str
    call: Call
    check: Callable[[], str | None]
    shape: str | None = None
    work: int | None = None
    extra: dict[str, float] = {}


class Streams:
    """Three equal buffers: `a` is written; `b` and `c` hold normally distributed numbers from `generator`."""

    def __init__(self, torch: Any, buffers: Sequence[Any], generator: Any) -> None:
        self._torch = torch
        self.a, self.b, self.c = buffers
        self._result = torch.zeros((), dtype=torch.float32, device=self.a.device)
        self.word = torch.zeros(1, dtype=torch.int32, device=self.a.device)
        self.b.normal_(generator=generator)
        self.c.normal_(generator=generator)

    @property
    def size(self) -> int:
        """Bytes of each buffer."""
        return int(self.a.numel()) * 4

    def by_torch(self, kind: Stream) -> Take:
        """torch's own call of this kind."""
        torch, a, b, c, result = self._torch, self.a, self.b, self.c, self._result
        calls: dict[Stream, tuple[str, Call]] = {
            "read": ("torch.sum(b, dim=0, out=r)", lambda: torch.sum(b, dim=0, out=result)),
            "write": ("torch.Tensor.fill_", lambda: a.fill_(VALUE)),
            "copy": ("torch.Tensor.copy_", lambda: a.copy_(b)),
            "triad": (
                "torch.add(b, c, alpha=s, out=a)",
                lambda: torch.add(b, c, alpha=SCALE, out=a),
            ),
        }
        method, call = calls[kind]
        return Take(name="torch", method=method, call=call, check=lambda: self._checked(kind, call))

    def by_kernel(self, kernels: Kernels, kind: Stream, variant: Variant) -> Take:
        """The kernel of this kind and variant. Raises what cupy raises when it cannot compile."""
        launch = self._launch(kernels, kind, variant, NEVER)
        check = self._launch(kernels, kind, variant, ALWAYS).call
        return Take(
            name=variant.label,
            method=f"cupy kernel {kind}, 16-byte accesses, {variant.label}",
            call=launch.call,
            check=lambda: self._checked_sum(check) if kind == "read" else self._checked(kind, check),
            shape=launch.shape,
            extra={"in_flight_bytes_per_sm": float(launch.in_flight_bytes)},
        )

    def _launch(self, kernels: Kernels, kind: Stream, variant: Variant, keep: tuple[int, int]) -> Any:
        a, b, c, word = (int(t.data_ptr()) for t in (self.a, self.b, self.c, self.word))
        given: dict[Stream, tuple[tuple[int, ...], tuple[float, ...]]] = {
            "read": ((b, word), keep),
            "write": ((a,), (VALUE,)),
            "copy": ((a, b), ()),
            "triad": ((a, b, c), (SCALE,)),
        }
        pointers, extra = given[kind]
        return kernels.stream(kind, variant, pointers, self.size, *extra)

    def _checked(self, kind: Stream, call: Call) -> str | None:
        self.a.fill_(float("nan"))
        call()
        if kind == "read":
            return self._wrong_total()
        for a, b, c in self._chunks():
            if not self._torch.equal(a, self._right(kind, a, b, c)):
                return f"the {kind}'s result is wrong"
        return None

    def _right(self, kind: Stream, a: Any, b: Any, c: Any) -> Any:
        if kind == "write":
            return self._torch.full_like(a, VALUE)
        return b if kind == "copy" else self._torch.add(b, c, alpha=SCALE)

    def _checked_sum(self, call: Call) -> str | None:
        self.word.zero_()
        call()
        got = int(self.word.item()) % _WORDS
        want = self._words
        return None if got == want else f"the sum of all words is {got}, not {want}"

    @cached_property
    def _words(self) -> int:
        return word_sum(self._torch, self.b)

    @cached_property
    def _total(self) -> float:
        return math.fsum(float(b.sum(dtype=self._torch.float64)) for b in pieces(self.b))

    def _wrong_total(self) -> str | None:
        got, want = float(self._result), self._total
        # The sum of n numbers from N(0, 1) is about √n; float32's rounding stays far below a hundredth of it.
        if abs(got - want) <= 0.01 * float(self.b.numel()) ** 0.5:
            return None
        return f"the sum is {got:g}, not {want:g}"

    def _chunks(self) -> Iterator[tuple[Any, Any, Any]]:
        return zip(pieces(self.a), pieces(self.b), pieces(self.c), strict=True)


def pieces(buffer: Any) -> Iterator[Any]:
    """A float32 buffer in parts of at most 64 MiB: torch casts what it sums, into as much memory again."""
    step = _CHUNK // 4
    for at in range(0, buffer.numel(), step):
        yield buffer[at : at + step]


def word_sum(torch: Any, buffer: Any) -> int:
    """Sum of a float32 buffer's 32-bit words, modulo 2^32."""
    return sum(int(piece.view(torch.int32).sum(dtype=torch.int64)) for piece in pieces(buffer)) % _WORDS


def ring_take(torch: Any, kernels: Kernels, ring: Variant, streams: Streams, size: int) -> Take:
    """Sweeps over the first `size` bytes or less of a buffer that stay in the L2."""
    grid = kernels.ring_grid(ring)
    tiles = ring_tiles(size // ring.tile_bytes, grid)
    held = tiles * ring.tile_bytes
    visits = math.ceil(L2_SWEEPS * tiles / grid)
    b, word = streams.b, streams.word
    launch = kernels.ring(ring, b.data_ptr(), word.data_ptr(), tiles, visits, *NEVER)
    # Each of the grid's blocks visits every tile once, since the grid and the ring have no common divisor.
    check = kernels.ring(ring, b.data_ptr(), word.data_ptr(), tiles, tiles, *ALWAYS).call

    def checked() -> str | None:
        word.zero_()
        check()
        got, want = int(word.item()) % _WORDS, grid * word_sum(torch, b[: held // 4]) % _WORDS
        return None if got == want else f"the sum of all words is {got}, not {want}"

    name = f"unroll {ring.unroll}, block {ring.block}, {held >> 10} KiB"
    return Take(
        name=name,
        method=f"cupy kernel ring, 16-byte ld.cg, {name}",
        call=launch.call,
        check=checked,
        shape=launch.shape,
        work=launch.grid * visits * ring.tile_bytes,
        extra={
            "working_set_bytes": float(held),
            "in_flight_bytes_per_sm": float(launch.in_flight_bytes),
        },
    )


def ring_tiles(most: int, grid: int) -> int:
    """The largest number of tiles up to `most` that has no divisor in common with the grid; at least 1.

    With a common divisor some blocks would see the same few tiles over and over.
    """
    return next((tiles for tiles in range(most, 1, -1) if math.gcd(tiles, grid) == 1), 1)
