"""The simulated card obeys physics: saturation, conservation, power; and shows what misleads."""

from __future__ import annotations

import statistics
from functools import cache

import pytest

from advisor.telemetry.records import Frame, Gpm, Hello, Sample
from benchmarks.accuracy.simulated import programs
from benchmarks.accuracy.simulated.card import TENSOR_PER_CLOCK, WORK_COUNTERS, Kernel, card_of, turns
from benchmarks.accuracy.simulated.corpus import Made, made
from benchmarks.accuracy.simulated.kernels import product, stream
from benchmarks.accuracy.simulated.probe import ceilings
from benchmarks.accuracy.simulated.stream import KEY

SECONDS = 6.0
TIMES = ("gr_active", "sm_active", "sm_occupancy")
STREAMS = ["copy", "reduction", "embedding_gather", "sort", "decode_gemv_eager", "adam_step"]
PRODUCTS = ["gemm_bf16", "gemm_tf32", "gemm_fp8", "gemm_int8", "gemm_fp64", "power_capped_gemm"]


class Seen:
    """One simulated recording, taken apart."""

    def __init__(self, name: str, seed: int) -> None:
        self.made: Made = made(name, seed, SECONDS)
        messages = list(self.made.messages)
        self.hello = next(m for m in messages if isinstance(m, Hello))
        self.samples: list[Sample] = [s for m in messages if isinstance(m, Frame) for s in m.samples]
        self.windows: list[Gpm] = [w for s in self.samples for w in s.gpm]

    def integral(self, counter: str) -> float:
        """Seconds of the counter at 1."""
        return sum((getattr(w, counter) or 0.0) * w.duration_s for w in self.windows)

    def mean(self, counter: str) -> float:
        return self.integral(counter) / sum(w.duration_s for w in self.windows)


@cache
def seen(name: str, seed: int = 5) -> Seen:
    return Seen(name, seed)


@pytest.mark.parametrize("name", sorted(programs()))
def test_no_counter_reads_more_than_at_saturation(name: str) -> None:
    one = seen(name)
    card = one.made.run.card
    for counter in (*TIMES, *WORK_COUNTERS):
        most = max((getattr(w, counter) or 0.0) for w in one.windows)
        assert 0.0 <= most <= card.saturated(counter) + 1e-4, counter
    for window in one.windows:
        assert (window.sm_occupancy or 0.0) <= (window.sm_active or 0.0) * 1.01
        assert (window.sm_active or 0.0) <= (window.gr_active or 0.0) * 1.01


@pytest.mark.parametrize("name", STREAMS)
def test_bytes_by_the_counter_are_the_bytes_that_were_counted(name: str) -> None:
    one = seen(name)
    card, kernel = one.made.run.card, one.made.run.phases[0].kernel
    assert kernel is not None
    transferred = (
        one.integral("dram_active") / (1.0 + card.turnaround * turns(kernel.writes)) * card.peak_bytes_s
    )
    assert transferred == pytest.approx(one.made.truth.base.counts["bytes"] * kernel.overfetch, rel=0.01)


@pytest.mark.parametrize("name", PRODUCTS)
def test_flops_by_counter_and_clock_are_the_flops_that_were_counted(name: str) -> None:
    one = seen(name)
    card, kernel = one.made.run.card, one.made.run.phases[0].kernel
    assert kernel is not None
    clock_hz = 1e6 * statistics.fmean(s.sm_mhz or 0.0 for s in one.samples[1:])
    each = card.sms * TENSOR_PER_CLOCK[kernel.precision] * clock_hz
    plain = one.integral("fp32") * card.sms * 256 * clock_hz
    assert one.integral("tensor_active") * each + plain == pytest.approx(
        one.made.truth.base.counts["flops"], rel=0.02
    )


@pytest.mark.parametrize("name", ["gemm_bf16", "power_capped_gemm", "gemm_fp64", "copy", "idle_held"])
def test_power_stays_under_its_limit_and_energy_is_power_over_time(name: str) -> None:
    one = seen(name)
    powers = [s.power_w or 0.0 for s in one.samples]
    assert max(powers) <= one.made.run.card.power_limit_w * 1.011
    used_j = (one.samples[-1].energy_j or 0.0) - (one.samples[0].energy_j or 0.0)
    assert used_j == pytest.approx(SECONDS * statistics.fmean(powers[1:]), rel=0.02)


def test_a_lowered_limit_lowers_the_clock_and_the_work_but_no_counter() -> None:
    free, capped = seen("gemm_bf16"), seen("power_capped_gemm")
    clocks = [statistics.fmean(s.sm_mhz or 0.0 for s in one.samples[1:]) for one in (free, capped)]
    assert clocks[1] < 0.85 * clocks[0]
    assert capped.made.truth.of_ceiling is not None and capped.made.truth.of_ceiling < 0.85
    assert capped.mean("tensor_active") == pytest.approx(free.mean("tensor_active"), rel=0.06)
    assert all(s.throttle_reasons == ("sw_power_cap",) for s in capped.samples)


def test_a_clock_follows_its_phase_where_phases_last() -> None:
    run = seen("blocking_checkpoint").made.run
    assert run.clocks[0] < run.card.boost_mhz
    assert set(run.clocks[1:]) == {run.card.boost_mhz}
    short = seen("host_compute_60_40").made.run
    assert len(set(short.clocks)) == 1, "power is averaged over so short a cycle"


def test_the_probe_measured_this_very_card() -> None:
    card = card_of(5)
    found = ceilings(card, KEY, 0.0)
    assert found.label == "measured"
    dram, tensor = found.reading("dram_active"), found.reading("tensor_active")
    assert dram is not None and tensor is not None
    assert dram.frac == pytest.approx(card.saturated("dram_active"), rel=0.001)
    assert tensor.frac == pytest.approx(max(card.probe["bf16"], card.probe["fp16"], card.probe["tf32"]))
    for name in ("dram", "bf16", "fp8", "int8", "fp64_tensor", "fp32", "pcie"):
        ceiling = found.ceiling(name)
        assert ceiling is not None and ceiling.label == "measured", name
    carried = seen("copy").hello.ceilings[KEY].reading("dram_active")
    assert carried is not None and carried.frac == dram.frac


def test_cards_of_different_seeds_differ_and_memory_does_not_care_for_the_clock() -> None:
    assert card_of(1) != card_of(2)
    card = card_of(0)
    assert card.traffic_bytes_s(stream(2.0)) == pytest.approx(card.copy_bytes_s), "no copy beyond a copy"
    assert card.traffic_bytes_s(stream(2.0, writes=0.0)) == pytest.approx(card.read_frac * card.peak_bytes_s)
    hot, cool = product(card, 1.0), Kernel(fill=0.1, warps=0.05)
    assert card.clock_mhz({hot: 1.0}) < card.clock_mhz({hot: 0.3}) <= card.clock_mhz({cool: 1.0})
    assert card.dynamic_w(hot, 1500.0) < card.dynamic_w(hot, 1980.0)


def test_a_memory_bound_kernel_keeps_sms_and_utilisation_at_their_top() -> None:
    copy = seen("copy")
    assert copy.mean("sm_active") > 0.95
    assert all((s.gpu_util_frac or 0.0) > 0.97 for s in copy.samples)


def test_tiny_kernels_keep_the_engine_active_although_little_runs() -> None:
    tiny = seen("optimizer_unfused")
    assert tiny.mean("gr_active") > 0.85
    assert tiny.mean("sm_active") < 0.05
    assert all((s.gpu_util_frac or 0.0) > 0.97 for s in tiny.samples)


def test_one_block_fills_one_sm() -> None:
    assert seen("one_block").mean("sm_active") == pytest.approx(1 / 132, rel=0.05)


def test_turns_shorter_than_windows_come_out_mixed_in_some_of_them() -> None:
    both = seen("prefill_decode").windows
    low, high = min(w.dram_active or 0.0 for w in both), max(w.dram_active or 0.0 for w in both)
    mixed = [w for w in both if low + 0.1 < (w.dram_active or 0.0) < high - 0.1]
    assert len(mixed) > len(both) / 4


def test_copies_to_the_device_show_on_the_link_and_not_on_the_engine() -> None:
    copies = seen("pageable_copies")
    moved = sum((w.pcie_rx_bytes_s or 0.0) * w.duration_s for w in copies.windows)
    assert moved == pytest.approx(copies.made.truth.base.counts["h2d_bytes"], rel=0.02)
    before, after = copies.samples[0].pcie_rx_bytes, copies.samples[-1].pcie_rx_bytes
    assert before is not None and after is not None and after - before == pytest.approx(moved, rel=0.02)
    assert copies.mean("gr_active") == pytest.approx(copies.made.truth.shares["compute"], abs=0.02)
