"""How large the buffers of the memory probes are, and what happens when memory runs out."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from probes.buffers import (
    LAUNCH_BYTES,
    NoRoomError,
    allocate,
    clock_bytes_s,
    l2_bytes,
    too_small,
    wanted_bytes,
    whole_grains,
)
from probes.kernels import GRAIN_BYTES
from probes.lab import Lab
from probes.specs import find_spec
from tests.probes.memory_lab import memory_lab

MIB, GIB = 1 << 20, 1 << 30


def sized(l2: int | None, free: int, name: str | None = None, **facts: Any) -> Lab:
    lab = memory_lab(l2_bytes=l2, memory_free_bytes=free, **facts)
    lab.spec = None if name is None else find_spec(name, None)
    return lab


class OutOfMemoryError(RuntimeError):
    """Stands for torch's."""


def with_room_for(lab: Lab, most: int) -> list[int]:
    """Give the lab a torch that has `most` bytes in all. Gives the sizes that were asked for."""
    asked: list[int] = []
    taken: list[int] = []

    def empty(count: int, **_: object) -> int:
        asked.append(count * 4)
        if len(asked) % 3 == 1:
            taken.clear()
        if sum(taken) + count * 4 > most:
            asked.extend([0] * (-len(asked) % 3))
            raise OutOfMemoryError("CUDA out of memory")
        taken.append(count * 4)
        return count * 4

    lab.__dict__["torch"] = SimpleNamespace(empty=empty, float32=None, OutOfMemoryError=OutOfMemoryError)
    return asked


def test_without_a_spec_half_a_gibibyte_or_ten_times_the_l2() -> None:
    assert wanted_bytes(sized(4 * MIB, 100 * GIB), 3) == 512 * MIB
    assert wanted_bytes(sized(126 * MIB, 100 * GIB), 3) == 1260 * MIB
    assert wanted_bytes(sized(None, 100 * GIB), 3) == 512 * MIB


def test_a_fast_card_gets_buffers_that_keep_a_pass_long() -> None:
    lab = sized(50 * MIB, 79 * GIB, "NVIDIA H100 80GB HBM3")
    assert lab.spec is not None
    size = wanted_bytes(lab, 3)
    assert size == LAUNCH_BYTES
    assert size / lab.spec.dram_bytes_s > 0.6e-3
    slow = wanted_bytes(sized(4 * MIB, 15 * GIB, "Tesla T4"), 3)
    assert slow == 512 * MIB


@pytest.mark.parametrize("free", [40 * GIB, 10 * GIB, 1 * GIB, 64 * MIB])
def test_all_buffers_together_take_at_most_a_quarter_of_what_is_free(free: int) -> None:
    size = wanted_bytes(sized(50 * MIB, free, "NVIDIA H100 80GB HBM3"), 3)
    assert 0 < 3 * size <= free / 4
    assert size % GRAIN_BYTES == 0


def test_no_room_is_said() -> None:
    with pytest.raises(NoRoomError, match="only 20 MiB of device memory are free"):
        wanted_bytes(sized(50 * MIB, 20 * MIB), 3)


def test_buffers_are_halved_until_they_fit() -> None:
    lab = memory_lab()
    asked = with_room_for(lab, 3 * 130 * MIB)
    assert allocate(lab, 3, 512 * MIB) == [128 * MIB] * 3
    assert [a // MIB for a in asked if a] == [512, 256, 256, 128, 128, 128]


def test_halving_ends() -> None:
    lab = memory_lab()
    with_room_for(lab, 3 * MIB)
    with pytest.raises(NoRoomError, match="out of device memory"):
        allocate(lab, 3, 512 * MIB)


def test_odd_halves_stay_whole_grains() -> None:
    assert whole_grains(7 * GRAIN_BYTES / 2) == 3 * GRAIN_BYTES
    assert whole_grains(GRAIN_BYTES - 1) == 0


def test_less_than_five_l2_sizes_are_too_small() -> None:
    lab = sized(50 * MIB, 79 * GIB)
    assert too_small(lab, 250 * MIB) is None
    why = too_small(lab, 248 * MIB)
    assert why is not None and "248 MiB" in why and "5 times the L2 (50 MiB)" in why
    assert too_small(sized(None, 79 * GIB), GRAIN_BYTES) is None


def test_bandwidth_by_the_memory_clock_is_the_data_sheets() -> None:
    lab = sized(50 * MIB, 79 * GIB, mem_mhz_max=2619.0, mem_bus_bits=5120)
    assert clock_bytes_s(lab) == pytest.approx(3352e9, rel=1e-3)
    assert clock_bytes_s(lab, 1309.5) == pytest.approx(1676e9, rel=1e-3)
    assert clock_bytes_s(sized(50 * MIB, 79 * GIB, mem_mhz_max=2619.0)) is None


def test_a_slice_has_its_share_of_the_bus() -> None:
    half: dict[str, Any] = {"slice_frac": 0.5, "mig_profile": "3g.40gb"}
    lab = sized(50 * MIB, 9 * GIB, mem_mhz_max=2619.0, mem_bus_bits=5120, **half)
    assert clock_bytes_s(lab) == pytest.approx(1676e9, rel=1e-3)


def test_the_l2_is_asked_of_torch_where_the_driver_does_not_say() -> None:
    lab = sized(None, 79 * GIB)
    assert l2_bytes(lab) is None
    lab.facts = type(lab.facts)(kind="cuda", key="GPU-0", name="x")
    properties = SimpleNamespace(L2_cache_size=7 * MIB)
    cuda = SimpleNamespace(get_device_properties=[properties].__getitem__)
    lab.__dict__["torch"] = SimpleNamespace(cuda=cuda)
    assert l2_bytes(lab) == 7 * MIB
