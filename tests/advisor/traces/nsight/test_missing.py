"""Kernels that ran and are not in the file: busy time must not pass for idle time."""

from __future__ import annotations

from pathlib import Path

import pytest

from advisor.traces.nsight import read_nsight
from advisor.traces.timeline import GpuKind
from tests.advisor.traces.nsight.export import KERNEL, MEMSET, Export, global_pid, training

NEEDLE = b"synthetic_needle"


def _codes(path: Path) -> list[str]:
    return [loss.code for loss in read_nsight(path).losses]


def test_launches_without_any_kernel_are_a_loss(tmp_path: Path) -> None:
    export = training(6).copy(10, 20, 1, 1, 2)
    assert "kernels-missing" not in _codes(export.write(tmp_path / "synthetic.sqlite"))
    dropped = export.write(tmp_path / "dropped.sqlite", [f"DROP TABLE {KERNEL}"])
    losses = {loss.code: loss for loss in read_nsight(dropped).losses}
    assert losses["kernels-missing"].count == 6


def test_copies_and_sets_alone_miss_no_kernel(tmp_path: Path) -> None:
    export = Export().copy(10, 20, 1, 1, 2).call(0, 5, "cudaMemsetAsync_v3020", 7)
    export.add(MEMSET, start=30, end=40, deviceId=0, streamId=7, correlationId=7, globalPid=global_pid())
    assert _codes(export.write(tmp_path / "synthetic.sqlite")) == []


def _damaged(path: Path, kernels: int) -> Path:
    """A page in the middle of the kernels is overwritten."""
    content = bytearray(path.read_bytes())
    assert content.count(NEEDLE) == kernels
    at = -1
    for _ in range(kernels // 2):
        at = content.index(NEEDLE, at + 1)
    page = at // 4096 * 4096
    content[page : page + 4096] = b"\xff" * 4096
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("count", [400, 6000])
def test_kernels_before_and_behind_a_damaged_page_are_read(tmp_path: Path, count: int) -> None:
    export = Export()
    for number in range(count):
        export.launched(100 * number, 100 * number + 20, 100 * number + 60, 1 + number)
        export.tables[KERNEL][-1]["mark"] = NEEDLE.decode()
    path = _damaged(export.write(tmp_path / "synthetic.sqlite"), count)
    timeline = read_nsight(path)
    kernels = timeline.gpu.start_ns[timeline.gpu.kind == GpuKind.KERNEL]
    assert count - 130 < len(kernels) < count
    assert kernels[0] == 20
    assert kernels[-1] == 100 * (count - 1) + 20
    assert (kernels[1:] > kernels[:-1]).all()
    assert "kernels-missing" in {loss.code for loss in timeline.losses}


def test_names_behind_a_damaged_page_are_read(tmp_path: Path) -> None:
    export = Export()
    for number in range(400):
        export.kernel(100 * number, 100 * number + 60, f"synthetic_{number}_" + "x" * 100)
    path = export.write(tmp_path / "synthetic.sqlite")
    content = bytearray(path.read_bytes())
    page = content.index(b"synthetic_200_") // 4096 * 4096
    content[page : page + 4096] = b"\xff" * 4096
    path.write_bytes(content)
    names = read_nsight(path).names
    assert sum(name.startswith("synthetic_") for name in names) > 300
    assert {f"synthetic_{number}_" + "x" * 100 for number in (0, 399)} <= set(names)
