"""CUDA kernels of the memory probes, how they are launched, and which variants are tried.

All accesses are 16 bytes wide. Little's law: 3.35 TB/s × about 0.35 µs over 132 SMs is 9 kB in flight on each
SM at an unloaded latency; loaded, latency is two to three times that, so every variant holds at least 32 kB.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from importlib.resources import files
from typing import Any

import msgspec

from probes.counting import STREAM_BUFFERS, Stream
from probes.lab import Lab, UnsupportedError, device_lost, first_line
from probes.timing import Call

VECTOR_BYTES = 16
# Every tile of every variant divides this, so that a buffer of a multiple of it has no remainder. It is also
# the driver's large page.
GRAIN_BYTES = 2 << 20


class Variant(msgspec.Struct, frozen=True):
    """One way to walk over a buffer.

    unroll: independent 16-byte accesses of a thread; block: threads of a block; stream: evict-first
    accesses instead of plain ones; once: one tile a block instead of as many blocks as fit the device at
    once, each of which takes many tiles.
    """

    unroll: int
    block: int
    stream: bool
    once: bool

    @property
    def tag(self) -> str:
        """Part of the kernels' names; `once` is a matter of launching."""
        return f"u{self.unroll}_b{self.block}" + ("_cs" if self.stream else "")

    @property
    def label(self) -> str:
        """For people, such as "unroll 4, block 512, streaming, persistent"."""
        hint = "streaming" if self.stream else "plain"
        return (
            f"unroll {self.unroll}, block {self.block}, {hint}, {'one tile' if self.once else 'persistent'}"
        )

    @property
    def tile_bytes(self) -> int:
        """What a block moves of each buffer in one step."""
        return self.unroll * self.block * VECTOR_BYTES


# The likeliest first: quick mode tries only the first few.
VARIANTS = (
    Variant(4, 512, True, True),
    Variant(4, 512, True, False),
    Variant(8, 256, True, True),
    Variant(4, 256, False, True),
    Variant(8, 512, True, False),
    Variant(4, 1024, False, False),
    Variant(2, 1024, True, True),
)
RINGS = (Variant(4, 512, False, False), Variant(8, 512, False, False))


class Geometry(msgspec.Struct, frozen=True, kw_only=True):
    """What the device can hold at once, from its own attributes."""

    sm_count: int
    sm_threads: int
    sm_registers: int

    def blocks(self, block: int, registers: int) -> int:
        """Blocks that one SM holds, of a kernel that takes so many registers a thread; at least 1.

        Registers are given out to warps in lots of 256, hence to threads in lots of 8.
        """
        by_registers = self.sm_registers // (block * 8 * -(-registers // 8)) if registers > 0 else block
        return max(1, min(self.sm_threads // block, by_registers))


class Launch(msgspec.Struct, frozen=True, kw_only=True):
    """A kernel ready to go. in_flight_bytes: what its loads or stores can have in flight on an SM."""

    call: Call
    grid: int
    block: int
    in_flight_bytes: int

    @property
    def shape(self) -> str:
        """The launch for a record."""
        return f"grid {self.grid} x {self.block}"


def source(variants: Sequence[Variant] = VARIANTS, rings: Sequence[Variant] = RINGS) -> str:
    """CUDA C++ with one kernel of each kind for each variant, and the two pointer chases."""
    text = files("probes").joinpath("kernels.cu").read_text(encoding="utf-8")
    shapes = {v.tag: v for v in variants}
    lines = [f"STREAMS({tag}, {v.unroll}, {v.block}, {str(v.stream).lower()})" for tag, v in shapes.items()]
    lines += [f"RING({v.tag}, {v.unroll}, {v.block})" for v in rings]
    return "\n".join([text, *lines, "CHASE(l1, false)", "CHASE(l2, true)", ""])


class Kernels:
    """The kernels on one device, compiled by cupy at first use. Buffers are pointers; sizes are bytes.

    Raises what cupy raises when it cannot compile or launch.
    """

    def __init__(
        self, cupy: Any, variants: Sequence[Variant] = VARIANTS, rings: Sequence[Variant] = RINGS
    ) -> None:
        self._module = cupy.RawModule(code=source(variants, rings))
        self._device = cupy.cuda.Device()

    def compile(self) -> None:
        """Compile now, and ask the device what it can hold."""
        _ = self.geometry, self._module.get_function("chase_l2").num_regs

    @cached_property
    def geometry(self) -> Geometry:
        """Of the device that is current. A MIG instance counts its own SMs."""
        told = self._device.attributes
        return Geometry(
            sm_count=told["MultiProcessorCount"],
            sm_threads=told["MaxThreadsPerMultiProcessor"],
            sm_registers=told["MaxRegistersPerMultiprocessor"],
        )

    def stream(
        self, kind: Stream, variant: Variant, pointers: Sequence[int], size: int, *extra: float
    ) -> Launch:
        """One pass over buffers of `size` bytes, a multiple of GRAIN_BYTES.

        pointers and extra, in the kernel's order: read: the buffer and a word for the sum, then mask and
        want (see kernels.cu); write: the buffer, then the value; copy: to, from; triad: to, b, c, then s.
        Raises ValueError for another size.
        """
        if size <= 0 or size % GRAIN_BYTES:
            raise ValueError(f"{size} bytes are no whole number of {GRAIN_BYTES} bytes")
        kernel = self._module.get_function(f"{kind}_{variant.tag}")
        fit, resident = self._fit(kernel, variant)
        tiles = size // variant.tile_bytes
        grid = tiles if variant.once else min(tiles, fit)
        in_flight = resident * variant.tile_bytes * max(1, STREAM_BUFFERS[kind] - 1)
        return _launch(kernel, grid, variant.block, (*pointers, size // VECTOR_BYTES, *extra), in_flight)

    def ring(
        self, variant: Variant, pointer: int, out: int, tiles: int, visits: int, mask: int, want: int
    ) -> Launch:
        """`visits` tiles a block, round a ring of `tiles`, by a grid that fits the device at once."""
        kernel = self._module.get_function(f"ring_{variant.tag}")
        grid, resident = self._fit(kernel, variant)
        args = (pointer, out, tiles, visits, mask, want)
        return _launch(kernel, grid, variant.block, args, resident * variant.tile_bytes)

    def ring_grid(self, variant: Variant) -> int:
        """Blocks of the grid that `ring` launches. The first use compiles."""
        return self._fit(self._module.get_function(f"ring_{variant.tag}"), variant)[0]

    def chase(self, level: str, state: int, hops: int) -> Launch:
        """One thread follows `hops` addresses; level "l1" by plain loads, "l2" past the L1 caches."""
        kernel = self._module.get_function(f"chase_{level}")
        return _launch(kernel, 1, 1, (state, hops), 8)

    def _fit(self, kernel: Any, variant: Variant) -> tuple[int, int]:
        """Blocks that run at once on the device, and on one SM."""
        resident = self.geometry.blocks(variant.block, int(kernel.num_regs))
        return resident * self.geometry.sm_count, resident


def load(lab: Lab, variants: Sequence[Variant] = VARIANTS, rings: Sequence[Variant] = RINGS) -> Kernels:
    """The kernels, compiled. Raises UnsupportedError with the reason where cupy is missing or cannot."""
    try:
        kernels = Kernels(lab.cupy, variants, rings)
        kernels.compile()
    except UnsupportedError:
        raise
    except Exception as error:
        if device_lost(error):
            raise
        reason = f"cupy cannot compile the kernels ({type(error).__name__}: {first_line(error)})"
        raise UnsupportedError(reason) from error
    return kernels


def _launch(kernel: Any, grid: int, block: int, args: tuple[float, ...], in_flight: int) -> Launch:
    def call() -> None:
        kernel((grid,), (block,), args)

    return Launch(call=call, grid=grid, block=block, in_flight_bytes=in_flight)
