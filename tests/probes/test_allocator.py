"""Allocations on a simulated device, and how much may be pinned."""

from __future__ import annotations

from pathlib import Path

import pytest

from probes import allocator as module
from probes.allocator import BUFFER_BYTES, allocator, fitting
from probes.hostmem import give_pinned_back, may_pin_bytes, room_bytes
from probes.lab import UnsupportedError
from probes.record import Measurement
from tests.probes.host_side import simulated
from tests.probes.host_sim import Costs

torch = pytest.importorskip("torch")
COSTS = Costs(malloc_s=300e-6, cached_s=1e-6, pin_s=20e-3, release_s=100e-6)


def records(
    monkeypatch: pytest.MonkeyPatch, may_pin: int = 1 << 30, free: int = 8 << 30
) -> list[Measurement]:
    lab, fake = simulated(monkeypatch, torch, COSTS)
    fake.cuda.free = free
    monkeypatch.setattr(module, "may_pin_bytes", lambda: may_pin)
    return list(allocator(lab))


def test_each_kind_costs_what_it_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    cached, device, pinned = records(monkeypatch)
    assert cached.median == pytest.approx(1e-6, rel=0.01)
    assert device.median == pytest.approx(300e-6, rel=0.01)
    assert pinned.median == pytest.approx(20e-3, rel=0.01)
    for m in (cached, device, pinned):
        assert m.conditions.buffer_bytes == BUFFER_BYTES
    assert (cached.conditions.windows, device.conditions.windows) == (20, 20)
    assert pinned.conditions.windows == 3
    assert device.conditions.extra["give_back_s"] == pytest.approx(100e-6, rel=0.01)
    assert pinned.conditions.extra["give_back_s"] == pytest.approx(100e-6, rel=0.01)


def test_buffers_fit_into_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    cached, _, pinned = records(monkeypatch, may_pin=9 << 20, free=100 << 20)
    assert cached.conditions.buffer_bytes == 16 << 20
    assert pinned.conditions.buffer_bytes == 8 << 20


def test_too_little_memory_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    _, _, pinned = records(monkeypatch, may_pin=1000)
    assert (pinned.valid, pinned.reason) == ("unsupported", "unsupported: too little memory is free")
    with pytest.raises(UnsupportedError):
        fitting((1 << 20) - 1)
    assert fitting(1 << 20) == 1 << 20


def test_settings_of_the_allocator_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")
    cached, _, _ = records(monkeypatch)
    assert "PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True" in cached.conditions.method


def test_a_torch_that_keeps_pinned_memory_is_unsupported(monkeypatch: pytest.MonkeyPatch) -> None:
    lab, fake = simulated(monkeypatch, torch, COSTS)
    del fake._C._host_emptyCache
    with pytest.raises(UnsupportedError, match="cannot give pinned memory back"):
        give_pinned_back(fake)
    assert [m.valid for m in allocator(lab)] == ["valid", "valid", "unsupported"]


ALWAYS = {
    "proc/meminfo": "MemTotal:   9000 kB\nMemAvailable:   8000 kB\n",
    "proc/self/mountinfo": (
        "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
        "31 23 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
    ),
}


def machine(root: Path, files: dict[str, str]) -> Path:
    for name, text in {**ALWAYS, **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_available_memory_without_a_limit(tmp_path: Path) -> None:
    root = machine(tmp_path, {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "max\n"})
    assert room_bytes(root) == 8000 * 1024
    assert may_pin_bytes(root) == 2000 * 1024


def test_the_tightest_group_above_counts_and_idle_cache_does_not(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "0::/pods/one\n",
        "sys/fs/cgroup/pods/memory.max": "3000000\n",
        "sys/fs/cgroup/pods/memory.current": "1000000\n",
        "sys/fs/cgroup/pods/memory.stat": "anon 5\ninactive_file 400000\n",
        "sys/fs/cgroup/pods/one/memory.max": "5000000\n",
        "sys/fs/cgroup/pods/one/memory.current": "900000\n",
    }
    assert room_bytes(machine(tmp_path, files)) == 2_400_000


def test_version_one_limits(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "5:cpu,memory:/docker/x\n1:name=systemd:/y\n",
        "sys/fs/cgroup/memory/memory.limit_in_bytes": "4000000\n",
        "sys/fs/cgroup/memory/memory.usage_in_bytes": "1000000\n",
        "sys/fs/cgroup/memory/docker/x/memory.stat": "cache 7\n",
    }
    assert room_bytes(machine(tmp_path, files)) == 3_000_000


def test_a_group_over_its_limit_leaves_nothing(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "0::/\n",
        "sys/fs/cgroup/memory.max": "100\n",
        "sys/fs/cgroup/memory.current": "200\n",
    }
    assert may_pin_bytes(machine(tmp_path, files)) == 0


def test_unknown_memory_allows_little(tmp_path: Path) -> None:
    assert room_bytes(tmp_path) is None
    assert may_pin_bytes(tmp_path) == 64 << 20


def test_this_machine_says_how_much_it_has() -> None:
    assert 0 < may_pin_bytes() < 1 << 50
