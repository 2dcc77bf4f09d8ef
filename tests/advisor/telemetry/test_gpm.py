"""GPM sub-windows, and the guards against drivers whose structure differs."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from advisor.telemetry import nvml_api as api
from advisor.telemetry.gpm import NEEDS_HOPPER, GpmWindows
from advisor.telemetry.gpm_metrics import METRICS, Entry, GpmMetrics, in_units, problem_of
from advisor.telemetry.nvml_errors import DeviceLostError
from advisor.telemetry.records import Gpm
from tests.advisor.telemetry.fake_nvml import Clock, FakeNvml, Gpu, Handle


def windows(nvml: FakeNvml, interval_s: float = 0.2, gi_id: int | None = None) -> GpmWindows:
    return GpmWindows(
        nvml, GpmMetrics(nvml), Handle(nvml.gpus[0]), interval_s=interval_s, gi_id=gi_id, clock=lambda: 0.0
    )


def second_window(nvml: FakeNvml, gi_id: int | None = None) -> tuple[GpmWindows, Gpm | None]:
    gpm = windows(nvml, gi_id=gi_id)
    assert gpm.open(10.0)
    return gpm, gpm.take(10.2, 1.0)


def test_units() -> None:
    nvml = FakeNvml(Gpu(gpm={m.id: 25.0 for m in METRICS}))
    gpm, window = second_window(nvml)
    assert window is not None and gpm.problem is None and gpm.missing == {}
    assert window.duration_s == pytest.approx(0.2) and window.t_s == 1.0
    for metric in METRICS:
        assert getattr(window, metric.field) == (0.25 if metric.percent else 25 * 1024 * 1024)


def test_each_metric_goes_to_its_own_field() -> None:
    _, window = second_window(FakeNvml())
    assert window is not None
    for metric in METRICS:
        assert getattr(window, metric.field) == pytest.approx(in_units(metric, 10.0 + metric.id))


def test_the_array_is_checked_singly_once_and_then_read_at_once() -> None:
    nvml = FakeNvml(Gpu(gpm={m.id: 0.0 for m in METRICS}))
    gpm, _ = second_window(nvml)
    assert nvml.calls["nvmlGpmMetricsGet"] == 1 + len(METRICS)
    gpm.take(10.4, 2.0)
    assert nvml.calls["nvmlGpmMetricsGet"] == 2 + len(METRICS)
    nvml.gpus[0].gpm = {m.id: 5.0 for m in METRICS}
    gpm.take(10.6, 3.0)
    gpm.take(10.8, 4.0)
    assert nvml.calls["nvmlGpmMetricsGet"] == 4 + 2 * len(METRICS), "checked again when first busy"


@pytest.mark.parametrize("layout", ["short", "shifted", "silent"])
def test_a_driver_with_another_layout_is_asked_one_metric_a_call(layout: str) -> None:
    nvml = FakeNvml(gpm_layout=layout)
    gpm, window = second_window(nvml)
    assert window is not None
    assert window.gr_active == pytest.approx(0.11)
    assert window.dram_active == pytest.approx(0.20)
    before = nvml.calls["nvmlGpmMetricsGet"]
    later = gpm.take(10.4, 2.0)
    assert later is not None and later.hmma == pytest.approx(0.17)
    assert nvml.calls["nvmlGpmMetricsGet"] - before == len(METRICS), "remembered"


def test_a_call_that_fails_as_a_whole_is_tried_singly() -> None:
    state = {"many": True}

    class Picky(FakeNvml):
        def _nvmlGpmMetricsGet(self, request: object) -> None:  # noqa: N802
            state["many"] = request.num_metrics > 1  # type: ignore[attr-defined]
            if state["many"]:
                raise api.NvmlError(api.INVALID_ARGUMENT)
            super()._nvmlGpmMetricsGet(request)

    _, window = second_window(Picky())
    assert window is not None and window.sm_active == pytest.approx(0.12)


def test_an_unsupported_metric_is_dropped_with_its_reason() -> None:
    values = {m.id: 10.0 for m in METRICS if m.field != "dmma"}
    gpm, window = second_window(FakeNvml(Gpu(gpm=values)))
    assert window is not None and window.dmma is None and window.imma == 0.1
    assert gpm.missing == {"gpm.dmma": "not supported by this GPU"}


@pytest.mark.parametrize("nonsense", [math.nan, math.inf, -3.0, 4000.0])
def test_nonsense_is_missing_not_a_number(nonsense: float) -> None:
    values = {m.id: 10.0 for m in METRICS} | {10: nonsense}
    nvml = FakeNvml(Gpu(gpm=values))
    gpm, window = second_window(nvml)
    assert window is not None and window.dram_active is None and window.sm_active == 0.1
    assert "makes no sense" in gpm.missing["gpm.dram_active"]
    nvml.gpus[0].gpm[10] = 30.0
    later = gpm.take(10.4, 2.0)
    assert later is not None and later.dram_active == 0.3 and gpm.missing == {}


def calls_per_window(nvml: FakeNvml, gpm: GpmWindows, times: list[float]) -> list[int]:
    counts = []
    for now_s in times:
        before = nvml.calls["nvmlGpmMetricsGet"]
        assert gpm.take(now_s, now_s) is not None
        counts.append(nvml.calls["nvmlGpmMetricsGet"] - before)
    return counts


def test_a_metric_that_stays_bad_is_left_out_and_tried_again_each_minute() -> None:
    nvml = FakeNvml(Gpu(gpm={m.id: 10.0 for m in METRICS} | {10: math.nan}))
    gpm, _ = second_window(nvml)
    twice = 1 + len(METRICS)
    times = [10.4 + 0.2 * step for step in range(600)]
    counts = calls_per_window(nvml, gpm, times)
    assert counts[:2] == [twice, twice], "with the first window, three in which it was bad"
    assert [count for count in counts[2:] if count != 1] == [twice], "one retry in two minutes"
    assert "makes no sense" in gpm.missing["gpm.dram_active"]
    nvml.gpus[0].gpm[10] = 30.0
    counts = calls_per_window(nvml, gpm, [time + 120 for time in times[:400]])
    assert set(counts) == {1}
    last = gpm.take(330.0, 1.0) or gpm.take(330.2, 1.0)
    assert last is not None and last.dram_active == 0.3 and gpm.missing == {}


def test_a_glitch_costs_one_window() -> None:
    nvml = FakeNvml(Gpu(gpm={m.id: 10.0 for m in METRICS}))
    gpm, _ = second_window(nvml)
    for step, value in enumerate((math.nan, 10.0, math.nan, 10.0, math.nan, 10.0, math.nan, 10.0)):
        nvml.gpus[0].gpm[10] = value
        window = gpm.take(10.4 + 0.2 * step, 1.0)
        assert window is not None and (window.dram_active is None) == math.isnan(value)


def test_a_driver_that_fills_nothing_is_left_alone() -> None:
    nvml = FakeNvml(Gpu(gpm={m.id: math.nan for m in METRICS}))
    gpm = windows(nvml)
    assert gpm.open(10.0)
    counts = []
    for step in range(50):
        before = nvml.calls["nvmlGpmMetricsGet"]
        assert gpm.take(10.2 + 0.2 * step, 1.0) is None
        counts.append(nvml.calls["nvmlGpmMetricsGet"] - before)
    assert sum(counts[3:]) == 0 and gpm.problem is not None and "makes no sense" in gpm.problem


def test_windows_say_truly_which_time_they_cover() -> None:
    """A call that blocks for 0.3 s: the window ends when it returned, and the next begins there."""
    clock = Clock()

    class Slow(FakeNvml):
        block_s = 0.0

        def _nvmlGpmSampleGet(self, handle: Handle, sample: object) -> None:  # noqa: N802
            clock.now_s += self.block_s
            super()._nvmlGpmSampleGet(handle, sample)  # type: ignore[arg-type]

    nvml = Slow()
    gpm = GpmWindows(nvml, GpmMetrics(nvml), Handle(nvml.gpus[0]), interval_s=0.2, clock=clock)
    made = []
    for block_s in (0.0, 0.0, 0.3, 0.0, 2.0, 0.0, 0.0):
        nvml.block_s = block_s
        clock.now_s = round(clock.now_s + 0.2, 6)
        made.append(gpm.take(clock.now_s, clock.now_s + 5000.0))
    spans = [(w.t_s - w.duration_s, w.t_s) for w in made if w is not None]
    expected = [(0.2, 0.4), (0.4, 0.9), (0.9, 1.1), (3.3, 3.5), (3.5, 3.7)]
    assert spans == [pytest.approx((6000 + a, 6000 + b)) for a, b in expected], "2.2 s stay uncovered"


def test_a_stall_reseeds_instead_of_reporting_a_long_average() -> None:
    nvml = FakeNvml()
    gpm, _ = second_window(nvml)
    assert gpm.take(11.2, 2.0) is None
    fresh = gpm.take(11.4, 2.2)
    assert fresh is not None and fresh.duration_s == pytest.approx(0.2)


def test_windows_shorter_than_the_hard_limit_are_not_taken() -> None:
    nvml = FakeNvml()
    gpm = windows(nvml, interval_s=0.01)
    assert gpm.open(10.0)
    assert gpm.take(10.05, 1.0) is None
    window = gpm.take(10.11, 1.0)
    assert window is not None and window.duration_s == pytest.approx(0.11)


def test_two_sample_buffers_are_reused_and_freed() -> None:
    nvml = FakeNvml()
    gpm, _ = second_window(nvml)
    for step in range(20):
        assert gpm.take(10.4 + step * 0.2, 2.0) is not None
    assert len(nvml.samples) == 2
    gpm.close()
    gpm.close()
    assert nvml.samples == {}


def test_no_gpm_on_this_gpu() -> None:
    gpm = windows(FakeNvml(Gpu(gpm={})))
    assert not gpm.open(10.0)
    assert gpm.problem == NEEDS_HOPPER
    assert gpm.take(11.0, 1.0) is None


def test_a_driver_without_the_function() -> None:
    nvml = FakeNvml(faults={"nvmlGpmQueryDeviceSupport": api.FUNCTION_NOT_FOUND})
    gpm = windows(nvml)
    assert not gpm.open(10.0)
    assert gpm.problem == "needs a newer driver (function not found)"
    assert nvml.calls["nvmlGpmSampleGet"] == 0


def test_a_probe_with_a_mismatched_version_is_not_believed() -> None:
    nvml = FakeNvml(faults={"nvmlGpmQueryDeviceSupport": api.ARGUMENT_VERSION_MISMATCH})
    _, window = second_window(nvml)
    assert window is not None


def test_a_mig_instance_is_sampled_by_its_id() -> None:
    nvml = FakeNvml()
    _, window = second_window(nvml, gi_id=9)
    assert window is not None and window.gr_active == 0.09
    assert nvml.calls["nvmlGpmSampleGet"] == 0


def test_a_lost_gpu_frees_its_samples() -> None:
    nvml = FakeNvml()
    gpm, _ = second_window(nvml)
    nvml.gpus[0].faults["nvmlGpmSampleGet"] = api.GPU_IS_LOST
    with pytest.raises(DeviceLostError):
        gpm.take(10.4, 2.0)
    assert nvml.samples == {}


def test_no_permission_is_asked_again_after_a_while() -> None:
    nvml = FakeNvml(faults={"nvmlGpmSampleGet": api.NO_PERMISSION})
    gpm = windows(nvml)
    assert not gpm.open(10.0)
    assert gpm.problem is not None and gpm.problem.startswith("no permission")
    asked = nvml.calls["nvmlGpmSampleGet"]
    gpm.take(20.0, 1.0)
    assert nvml.calls["nvmlGpmSampleGet"] == asked
    nvml.faults.clear()
    gpm.take(71.0, 1.0)
    assert gpm.take(71.2, 1.0) is not None
    assert gpm.problem is None


@given(st.sampled_from(METRICS), st.floats(), st.integers(0, 3))
@example(METRICS[-1], 1.7e308, api.SUCCESS)
def test_whatever_is_believed_is_in_range(metric: object, value: float, code: int) -> None:
    known = next(m for m in METRICS if m is metric)
    if code == api.SUCCESS and problem_of(known, Entry(known.id, code, value)) is None:
        converted = in_units(known, value)
        assert math.isfinite(converted) and converted >= 0.0
        assert converted <= 1.0 or not known.percent
