"""How a grid fills a device: blocks that an SM holds at once, waves, and time lost in the last wave.

Limits of an SM are those of the CUDA C++ Programming Guide, table of technical specifications per compute
capability: registers go to a warp in units of 256, warps come in fours, each block takes 1 KiB of shared
memory beside its own from compute capability 8.0 on. Other vendors' limits are not known here.
"""

from __future__ import annotations

import math

import msgspec

_WARP = 32
_REGISTER_UNIT = 256
_WARP_UNIT = 4
# Compute capability -> threads, blocks, KiB of shared memory per SM.
_SM: dict[str, tuple[int, int, int]] = {
    "6.0": (2048, 32, 64), "6.1": (2048, 32, 96), "7.0": (2048, 32, 96), "7.5": (1024, 16, 64),
    "8.0": (2048, 32, 164), "8.6": (1536, 16, 100), "8.7": (1536, 16, 164), "8.9": (1536, 24, 100),
    "9.0": (2048, 32, 228), "10.0": (2048, 32, 228), "10.3": (2048, 32, 228), "12.0": (1536, 24, 100),
}  # fmt: skip
_REGISTERS = 65536


class SmLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What one SM holds. shared_unit, shared_reserved: bytes by which shared memory is given, and that each
    block takes beside its own."""

    sm_count: int
    threads: int
    blocks: int
    registers: int
    shared_bytes: int
    shared_unit: int = 128
    shared_reserved: int = 1024


def sm_limits(
    sm_count: int | None,
    capability: str | None,
    threads: int | None = None,
    registers: int | None = None,
    shared_bytes: int | None = None,
    warp_size: int | None = None,
) -> SmLimits | None:
    """Limits of a device's SMs: as the trace says, else as its compute capability ("9.0") has them.

    None where the capability is not in the guide's table or the number of SMs is unknown, and for AMD's
    cards, which traces give capabilities like NVIDIA's ("9.0" of an MI210) and warps of 64 threads.
    """
    known = _SM.get(capability or "")
    if known is None or warp_size not in (None, _WARP) or not sm_count or sm_count < 0:
        return None
    old = int((capability or "0").split(".", 1)[0]) < 8
    return SmLimits(
        sm_count=sm_count,
        threads=threads or known[0],
        blocks=known[1],
        registers=registers or _REGISTERS,
        shared_bytes=shared_bytes or known[2] * 1024,
        shared_unit=256 if old else 128,
        shared_reserved=0 if old else 1024,
    )


def resident_blocks(limits: SmLimits, threads: int, registers: int, shared_bytes: int) -> int | None:
    """Blocks that an SM holds at once: the least that threads, registers or shared memory allow.

    threads: per block; registers: per thread; shared_bytes: per block. None where any is unknown (negative,
    or no threads) or more than an SM has.
    """
    if threads <= 0 or registers < 0 or shared_bytes < 0:
        return None
    warps = math.ceil(threads / _WARP)
    shared = _up(shared_bytes, limits.shared_unit) + limits.shared_reserved
    allowed = (
        limits.blocks,
        limits.threads // (warps * _WARP),
        _by_registers(limits, warps, registers),
        limits.shared_bytes // shared if shared else limits.blocks,
    )
    return min(allowed) or None


def waves(limits: SmLimits, blocks: int, resident: int) -> float:
    """How often the grid fills the device; below 1 it does not once."""
    return blocks / (resident * limits.sm_count)


def tail_frac(waves_: float) -> float:
    """Part of a kernel's block slots that stay empty in its last wave: 1 - waves / ceil(waves).

    As if all blocks took the same time; Nsight Compute's tail effect is reckoned in the same way.
    """
    return 1.0 - waves_ / math.ceil(waves_) if waves_ > 0.0 else 0.0


def theoretical_occupancy(limits: SmLimits, threads: int, resident: int) -> float:
    """Warps that the resident blocks have, over what an SM holds."""
    return min(1.0, resident * math.ceil(threads / _WARP) * _WARP / limits.threads)


def _by_registers(limits: SmLimits, warps: int, registers: int) -> int:
    if registers == 0:
        return limits.blocks
    held = limits.registers // _up(registers * _WARP, _REGISTER_UNIT)
    return held // _WARP_UNIT * _WARP_UNIT // warps


def _up(value: int, unit: int) -> int:
    return -(-value // unit) * unit
