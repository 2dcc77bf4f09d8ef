"""Probe `host`: its records, what surrounds them, and that nothing is left running."""

from __future__ import annotations

import sys
import threading

import pytest

from probes import host as module
from probes import hostfiles
from probes.cgroups import CpuQuota
from probes.host import busy_thread, gil_enabled, gil_words, host, loop, near_gpu, surroundings
from probes.record import DeviceFacts
from tests.probes.cpu_lab import cpu_lab


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(module._CONTENDED_S, "quick", 0.01)
    monkeypatch.setattr(module, "_SHARE_S", 0.01)


def test_end_to_end() -> None:
    found = {m.metric: m for m in host(cpu_lab())}
    assert list(found) == ["python_thread", "python_contended", "cpu_share"]
    assert all(m.valid == "valid" and m.probe == "host" for m in found.values())
    speed, beside, share = (m.median for m in found.values())
    assert speed is not None
    assert speed > 1e4
    assert beside is not None
    assert beside > 0
    assert share is not None
    assert 0 < share <= 1
    method = found["python_thread"].conditions.method
    assert f"v{module.LOOP_VERSION}" in method
    assert sys.version.split()[0] in method
    assert found["cpu_share"].conditions.extra["cores_allowed"] == len(hostfiles.allowed_cores())
    assert not any(thread.name == "busy" for thread in threading.enumerate())


def test_figures_do_not_need_the_devices_own_timer() -> None:
    lab = cpu_lab()
    lab.timer = None  # type: ignore[assignment]
    assert [m.valid for m in host(lab)] == ["valid"] * 3


def test_the_contended_figure_is_speed_over_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = iter([0.1, 0.4, 0.1, 0.2, 0.1, 0.1])
    monkeypatch.setattr(module, "_steps_in", lambda _: 1)
    monkeypatch.setattr(module, "_elapsed", lambda _: next(taken))
    monkeypatch.setitem(module._WINDOWS, "quick", 3)
    lab = cpu_lab()
    lab.begin(60.0)
    found = module.python_contended(lab)
    assert found.median == pytest.approx(0.5)
    assert found.conditions.windows == 3
    assert found.conditions.extra["gil"] == float(gil_enabled())


def test_a_busy_thread_ends_with_an_exception() -> None:
    with pytest.raises(ValueError, match="stop"), busy_thread():
        assert any(thread.name == "busy" for thread in threading.enumerate())
        raise ValueError("stop")
    assert not any(thread.name == "busy" for thread in threading.enumerate())


def test_the_loop_is_what_it_says() -> None:
    assert (loop(0), loop(1), loop(2)) == (1, 4, 13)
    assert 0 <= loop(1000) <= 0xFFFF


def test_a_free_threaded_build_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "_is_gil_enabled", lambda: False, raising=False)
    assert gil_enabled() is False
    assert "free-threaded" in gil_words()


def test_throttling_is_what_grew() -> None:
    before = CpuQuota(cores=2.0, throttled_periods=5, throttled_s=1.0)
    after = CpuQuota(cores=2.0, throttled_periods=9, throttled_s=1.5)
    extra = surroundings(cpu_lab(), before, after).extra
    assert (extra["cgroup_quota_cores"], extra["throttled_periods"], extra["throttled_s"]) == (2.0, 4.0, 0.5)


def test_what_is_not_known_has_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    nothing: dict[int, str] = {}
    monkeypatch.setattr(hostfiles, "governors", lambda _: nothing)
    monkeypatch.setattr(hostfiles, "smt_active", lambda: None)
    unseen = CpuQuota(missing={"cgroup_quota_cores": "not visible", "throttled_periods": "not visible"})
    told = surroundings(cpu_lab(), unseen, unseen)
    assert told.missing["cgroup_quota_cores"] == "not visible"
    assert told.missing["throttled_s"] == "not visible"
    assert {"smt", "governor_performance_frac"} <= set(told.missing)
    assert "gpu_node_cores_frac" not in told.missing, "a CPU has no GPU to be near to"
    assert set(told.missing) & set(told.extra) == set()


def test_governors_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hostfiles, "governors", lambda _: {0: "performance", 1: "powersave"})
    told = surroundings(cpu_lab(), CpuQuota(), CpuQuota(missing={"cgroup_quota_cores": "none"}))
    assert told.extra["governor_performance_frac"] == 0.5
    assert told.shape is not None
    assert "performance/powersave" in told.shape


def test_nearness_to_the_gpu() -> None:
    nodes = {0: frozenset({0, 1}), 1: frozenset({2, 3})}
    assert near_gpu(1, frozenset({1, 2, 3, 0}), nodes) == 0.5
    assert near_gpu(0, frozenset({2}), nodes) == 0.0
    assert near_gpu(None, frozenset({2}), nodes) is None
    assert near_gpu(7, frozenset({2}), nodes) is None


@pytest.mark.parametrize("missing", [{"numa_node": "the driver does not say"}, {}])
def test_an_unknown_gpu_node_has_the_drivers_reason(missing: dict[str, str]) -> None:
    facts = DeviceFacts(kind="cuda", key="GPU-1", name="a GPU", missing=missing)
    told = surroundings(cpu_lab(facts), CpuQuota(), CpuQuota(missing={"cgroup_quota_cores": "none"}))
    assert told.missing["gpu_node_cores_frac"] == missing.get("numa_node", module._WHY["numa_node"])
