"""Rivals' classifiers on looks whose category their documentation fixes."""

from __future__ import annotations

from typing import Any

import pytest

from advisor.telemetry.records import DeviceInfo, Gpm, HostSample, Sample
from benchmarks.accuracy.rival import Rival, Seen, majority
from benchmarks.accuracy.rivals import rivals
from benchmarks.accuracy.rivals.gputui import gputui
from benchmarks.accuracy.rivals.kempnerpulse import Look, category, kempnerpulse
from benchmarks.accuracy.rivals.nvsonar import nvsonar

INFO = DeviceInfo(
    key="GPU-1",
    index=0,
    name="NVIDIA H100 80GB HBM3",
    uuid="GPU-1",
    sm_mhz_max=1980.0,
    power_limit_w=700.0,
    memory_total_bytes=80 << 30,
)


def seen(*, host: tuple[HostSample, ...] = (), gpm: tuple[Gpm, ...] = (), **figures: Any) -> Seen:
    given = {"gpu_util_frac": 1.0, "mem_util_frac": 0.1, "sm_mhz": 1980.0, "power_w": 300.0, **figures}
    samples = tuple(Sample(key="GPU-1", t_s=float(t), gpm=gpm, **given) for t in range(1, 6))
    return Seen(info=INFO, samples=samples, host=host)


def look(**shares: float) -> Look:
    return Look(**dict.fromkeys(Look.__struct_fields__, 0.0) | shares)


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        ({}, "idle"),
        ({"tensor": 0.5, "sm": 0.6, "dram": 0.9}, "compute"),
        ({"tensor": 0.15, "sm": 0.4}, "compute"),
        ({"fp64": 0.2, "sm": 0.5}, "compute"),
        ({"pcie": 1e9, "sm": 0.29}, "host"),
        ({"dram": 0.5, "sm": 0.49}, "memory"),
        ({"dram": 0.9, "sm": 0.99}, "compute"),
        ({"dram": 0.4, "sm": 0.3, "gr": 0.3}, "memory"),
        ({"gr": 0.9, "sm": 0.1}, "host"),
        ({"gr": 0.14, "sm": 0.1}, "host"),
        ({"gr": 0.3, "sm": 0.2}, None),
    ],
)
def test_the_first_of_kempnerpulses_categories_wins(shares: dict[str, float], expected: str | None) -> None:
    assert category(look(**shares)) == expected


def test_kempnerpulse_takes_a_copy_for_compute_and_needs_counters() -> None:
    copy = Gpm(t_s=1.0, duration_s=1.0, gr_active=1.0, sm_active=0.98, dram_active=0.92)
    assert kempnerpulse().classify(seen(gpm=(copy,))) == "compute"
    assert kempnerpulse().classify(seen()) is None


@pytest.mark.parametrize(
    ("figures", "cpu", "expected"),
    [
        ({"gpu_util_frac": 0.4, "mem_util_frac": 0.81}, 0.1, "memory"),
        ({"gpu_util_frac": 0.59}, 0.51, "host"),
        ({"gpu_util_frac": 0.59}, 0.5, None),
        ({"gpu_util_frac": 0.6}, 0.9, None),
        ({"throttle_reasons": ("sw_power_cap",)}, 0.9, "compute"),
        ({"gpu_util_frac": 0.0, "sm_mhz": 345.0, "mem_used_bytes": 2 << 30}, 0.0, "idle"),
    ],
)
def test_gputuis_hints(figures: dict[str, Any], cpu: float, expected: str | None) -> None:
    host = (HostSample(t_s=0.0, cpu_fracs=(cpu, cpu)),)
    assert gputui().classify(seen(host=host, **figures)) == expected


@pytest.mark.parametrize(
    ("figures", "expected"),
    [
        ({}, "compute"),
        ({"gpu_util_frac": 0.0, "mem_util_frac": 0.0}, "idle"),
        ({"gpu_util_frac": 0.8, "mem_util_frac": 0.9}, "memory"),
        ({"gpu_util_frac": 0.98, "mem_util_frac": 0.9}, None),
        ({"power_w": 690.0, "throttle_reasons": ("sw_power_cap",)}, "compute"),
        ({"gpu_util_frac": 0.3, "mem_used_bytes": 60 << 30}, "host"),
    ],
)
def test_nvsonar_is_asked_as_installed(figures: dict[str, Any], expected: str | None) -> None:
    rival = nvsonar()
    if rival.missing:
        pytest.skip(rival.missing)
    assert rival.classify(seen(**figures)) == expected


@pytest.mark.parametrize("rival", rivals(), ids=lambda r: r.name)
def test_a_rival_says_where_its_rules_come_from_and_survives_missing_figures(rival: Rival) -> None:
    assert rival.source.startswith("https://") and rival.mapping
    bare = Seen(info=DeviceInfo(key="k", index=0, name="n", uuid="k"), samples=(Sample(key="k", t_s=0.0),))
    rival.classify(bare)
    nothing = Seen(info=INFO, samples=())
    assert rival.classify(nothing) is None and rival.named(nothing) is None


def test_a_sparse_hint_names_what_it_names_and_a_look_without_one_is_a_vote_for_none() -> None:
    """Two of five looks: no class for most of the time, and a class where it hints at all."""
    quiet, busy = (HostSample(t_s=t, cpu_fracs=(cpu,)) for t, cpu in ((0.0, 0.1), (4.0, 0.9)))
    hinted = seen(host=(quiet, busy), gpu_util_frac=0.4)
    assert gputui().classify(hinted) is None
    assert gputui().named(hinted) == "host"
    assert {rival.name: rival.sees for rival in rivals()} == {
        "nvsonar": "nvml",
        "KempnerPulse": "counters",
        "gputui": "nvml",
    }


def test_the_majority_is_what_was_said_most_often() -> None:
    assert majority(["host", "memory", "memory"]) == "memory"
    assert majority([None, None, "host"]) is None
    assert majority([]) is None
