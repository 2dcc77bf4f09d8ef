"""Probes keep to their time on a simulated node: what each takes, and that nothing is silently left out."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from probes.kernels import Launch
from probes.lab import MODE_SCALE
from probes.latency import LINE_BYTES
from probes.metrics import METRICS
from probes.record import Measurement
from probes.registry import Probe
from tests.probes.budget_sim import Kernels, node, probe, ran

torch = pytest.importorskip("torch")

NAMES = ("host", "launch", "dispatch", "allocator", "transfer", "latency", "bandwidth")
# Of a minute and of 15 s, what is left when 6 s went to starting and the rest to GEMMs.
ALL_S = {"quick": 4.2, "default": 20.0}
# What a quick run leaves out although the time is not over.
QUICK_LACKS = {"launch_wall", "dispatch_compiled", "h2d_numa_local", "h2d_numa_remote"}


def lacking(found: list[Measurement]) -> set[str]:
    assert all(m.reason for m in found if m.median is None)
    return {m.metric for m in found if m.median is None}


def limit_s(known: Probe, mode: str) -> float:
    return known.budget_s * MODE_SCALE[mode]


@pytest.mark.parametrize("mode", ["quick", "default"])
@pytest.mark.parametrize("name", NAMES)
def test_a_probe_takes_no_longer_than_its_budget(
    monkeypatch: pytest.MonkeyPatch, name: str, mode: Any
) -> None:
    found, took_s = ran(*node(monkeypatch, torch, mode), name)
    assert took_s <= 1.05 * limit_s(probe(name), mode)
    assert {m.metric for m in found} == {metric for metric, m in METRICS.items() if m.probe == name}
    assert lacking(found) <= (QUICK_LACKS if mode == "quick" else {"dispatch_compiled"})


@pytest.mark.parametrize("mode", ["quick", "default"])
def test_all_of_them_leave_time_for_gemms(monkeypatch: pytest.MonkeyPatch, mode: Any) -> None:
    lab, fake = node(monkeypatch, torch, mode)
    assert sum(ran(lab, fake, name)[1] for name in NAMES) <= ALL_S[mode]


@pytest.mark.parametrize("mode", ["quick", "default"])
@pytest.mark.parametrize("name", NAMES)
def test_a_late_probe_takes_what_is_wanted_most_and_says_what_it_left_out(
    monkeypatch: pytest.MonkeyPatch, name: str, mode: Any
) -> None:
    whole, whole_s = ran(*node(monkeypatch, torch, mode), name)
    found, took_s = ran(*node(monkeypatch, torch, mode), name, most_s=0.0)
    assert took_s < whole_s
    assert {m.metric for m in found} == {m.metric for m in whole}
    assert found[0].median is not None
    others = lacking(found) - {"dispatch_compiled"}
    assert {m.reason for m in found if m.metric in others} <= {f"no time left in {mode} mode"}


def test_what_a_late_probe_still_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = {
        name: [m.metric for m in ran(*node(monkeypatch, torch, "quick"), name, most_s=0.0)[0] if m.median]
        for name in NAMES
    }
    assert kept == {
        "host": ["python_thread", "python_contended", "cpu_share"],
        "launch": ["launch_interval", "launch_call", "sync_idle", "sync_round_trip"],
        "dispatch": ["dispatch_eager"],
        "allocator": ["alloc_cached"],
        "transfer": ["h2d_pinned", "d2h_pinned"],
        "latency": ["l2_latency", "dram_latency"],
        "bandwidth": ["dram_read", "dram_copy"],
    }


def test_parts_left_out_of_a_record_are_missing_from_it_with_a_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    why = "no time left in quick mode"
    lab, fake = node(monkeypatch, torch, "quick")
    found = {m.metric: m.conditions for name in NAMES for m in ran(lab, fake, name)[0]}
    assert found["graph_replay"].missing["extra"] == why
    assert found["dispatch_eager"].missing == {"out_of_place_s": why, "recorded_s": why}
    assert found["h2d_pinned"].missing["tried"] == f"other sizes: {why}"
    assert found["h2d_pinned"].buffer_bytes == 64 << 20
    assert list(found["h2d_pinned"].tried) == ["4 KiB", "64 KiB", "1 MiB", "16 MiB"]
    assert len(found["dram_read"].tried) == 3, "two variants and torch"
    assert len(found["l2_read"].tried) == 2, "one ring at two sizes"
    assert list(found["l2_latency"].tried) == ["16 KiB", "256 KiB", "4 MiB", "64 MiB", "1 GiB"]
    assert "tried" not in found["l2_latency"].missing


def test_a_sweep_that_is_cut_short_names_the_sets_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    found, _ = ran(*node(monkeypatch, torch, "default"), "latency", most_s=1.0)
    missing = found[0].conditions.missing["tried"]
    assert missing.endswith("1 GiB: no time left in default mode")
    assert found[0].conditions.tried
    assert not set(missing.partition(":")[0].split(", ")) & set(found[0].conditions.tried)


@pytest.mark.parametrize("l2_mib", [50, 126])
@pytest.mark.parametrize("mode", ["quick", "default"])
def test_a_set_that_fits_the_l2_is_gone_along_once_before_it_is_timed(
    monkeypatch: pytest.MonkeyPatch, mode: Any, l2_mib: int
) -> None:
    lab, fake = node(monkeypatch, torch, mode)
    lab.facts = msgspec.structs.replace(lab.facts, l2_bytes=l2_mib << 20)
    first: dict[int, int] = {}
    real = Kernels.chase

    def watched(self: Kernels, level: str, state: int, hops: int) -> Launch:
        first.setdefault(self.lines, hops)
        return real(self, level, state, hops)

    monkeypatch.setattr(Kernels, "chase", watched)
    found, took_s = ran(lab, fake, "latency")
    fitting = {lines: hops for lines, hops in first.items() if lines * LINE_BYTES <= l2_mib << 20}
    assert fitting and all(hops >= lines for lines, hops in fitting.items())
    assert max(fitting) * LINE_BYTES >= (l2_mib << 20) / 32
    assert found[0].conditions.buffer_bytes in {lines * LINE_BYTES for lines in fitting}
    assert {m.metric for m in found if m.median} == {"l2_latency", "dram_latency"}
    # A pass over half a million lines of the larger L2 takes a tenth of a second.
    assert took_s < 1.3 * limit_s(probe("latency"), mode) + 0.25
