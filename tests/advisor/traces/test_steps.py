"""Steps of a device: windows, causes, outliers, trend, phases, repetition."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from advisor.traces.attribution import Attribution
from advisor.traces.read import read
from advisor.traces.step_period import period
from advisor.traces.step_phases import PHASES, phase
from advisor.traces.steps import step_figures
from advisor.traces.timeline import Timeline, gpu_table
from rules.traces.records import StepFigures
from tests.advisor.traces.made import Maker
from tests.advisor.traces.real import trace
from tests.advisor.traces.stepping import BACKWARD_TID, analysed, loop


def _steps(folder: Path, made: Maker) -> tuple[StepFigures, Timeline, Attribution]:
    found = analysed(folder, made)
    attribution = next(iter(found.attributions.values()))
    return step_figures(found.timelines[0], attribution), found.timelines[0], attribution


def test_windows_follow_each_other_and_a_batch_waited_for_is_of_the_step_that_uses_it(tmp_path: Path) -> None:
    steps, _, _ = _steps(tmp_path, loop([200.0, 200.0, 5_000.0, 200.0, 200.0]))
    assert (steps.source, steps.window, steps.count) == ("ProfilerStep", "launches", 5)
    ends = [row.start_us + row.duration_us for row in steps.rows]
    assert ends[:-1] == pytest.approx([row.start_us for row in steps.rows[1:]])
    late = next(row for row in steps.rows if row.number == 12)
    assert late.causes["data_loading"] == pytest.approx(5_000.0, abs=1.0)
    assert late.duration_us == pytest.approx(5_000.0 + 420.0)


def test_a_host_that_runs_ahead_does_not_move_work_to_another_step(tmp_path: Path) -> None:
    """A lag of two steps: marks on the host lie wholly before the device's work."""
    steps, _, _ = _steps(tmp_path, loop([20.0] * 6, lag_us=900.0))
    assert [row.events for row in steps.rows] == [4] * 6
    assert steps.median_us == pytest.approx(440.0)
    assert steps.rows[0].start_us > 440.0


def test_the_first_step_is_cut_and_in_no_median(tmp_path: Path) -> None:
    steps, _, _ = _steps(tmp_path, loop([200.0] * 4))
    assert steps.partial == (10,)
    assert steps.rows[0].duration_us < 500.0
    assert steps.median_us == steps.max_us == pytest.approx(620.0)
    assert "step 10 cut by the profiler" in steps.notes[0]


def test_a_last_step_without_its_kernels_is_cut(tmp_path: Path) -> None:
    made = loop([200.0] * 5)
    gone = [e for e in made.events if e.get("cat") == "kernel"][-2:]
    made.events = [e for e in made.events if e not in gone]
    steps, _, _ = _steps(tmp_path, made)
    assert steps.partial == (10, 14)


def test_one_step_alone_is_spoken_of(tmp_path: Path) -> None:
    """Its time is that of its mark: the batch waited for before the device's first work is part of it."""
    steps, _, _ = _steps(tmp_path, loop([200.0]))
    assert (steps.count, steps.partial) == (1, ())
    assert steps.median_us == pytest.approx(620.0) == steps.rows[0].host_us
    assert steps.causes["data_loading"] == pytest.approx(200.0)
    assert sum(steps.causes.values()) + sum(steps.busy.values()) == pytest.approx(620.0)
    assert sum(steps.phases.values()) == pytest.approx(620.0)
    assert "its time is that of its mark" in steps.notes[0]


def test_one_step_alone_of_which_the_end_is_missing_is_cut(tmp_path: Path) -> None:
    made = loop([200.0], kernels=8)
    ran = [event for event in made.events if event.get("cat") == "kernel"]
    made.events = [event for event in made.events if event not in ran[4:]]
    steps, _, _ = _steps(tmp_path, made)
    assert steps.partial == (10,)
    assert "no other" in steps.notes[0]


def test_one_step_alone_with_calls_that_leave_no_record_is_whole(tmp_path: Path) -> None:
    made = loop([200.0], kernels=8)
    ran = [event for event in made.events if event.get("cat") == "kernel"]
    made.events = [event for event in made.events if event not in ran[1:7:2]]
    steps, _, _ = _steps(tmp_path, made)
    assert steps.partial == ()


def test_means_are_of_all_whole_steps_not_of_those_listed(tmp_path: Path) -> None:
    """More steps than a report lists, of which the late odd ones are listed all the same."""
    waits = [100.0 + (2_000.0 if index > 530 and index % 20 == 0 else 0.0) for index in range(800)]
    steps, _, _ = _steps(tmp_path, loop(waits, kernels=1))
    assert steps.rows_left > 0
    assert steps.mean_us is not None
    assert steps.means["step.time"].mean_us == pytest.approx(steps.mean_us)
    assert steps.means["step.time"].variance is not None
    parts = [mean.mean_us for name, mean in steps.means.items() if name.startswith(("cause.", "busy."))]
    assert sum(parts) == pytest.approx(steps.mean_us)
    assert steps.events_mean == 1.0


def test_a_planted_outlier_is_found_with_what_grew(tmp_path: Path) -> None:
    waits = [200.0 + 3.0 * (index % 5) for index in range(20)]
    waits[13] = 2_200.0
    steps, _, _ = _steps(tmp_path, loop(waits))
    assert steps.outliers == (23,)
    assert "data loading +1.99 ms; on the host data +1.99 ms" in steps.outlier_because["23"]
    assert [row.number for row in steps.rows if row.outlier] == [23]


def test_steps_that_differ_little_have_no_outlier(tmp_path: Path) -> None:
    waits = [200.0] * 20
    waits[13] = 215.0
    steps, _, _ = _steps(tmp_path, loop(waits))
    assert steps.outliers == ()


def test_a_planted_trend_is_told(tmp_path: Path) -> None:
    draw = random.Random(3)
    kernels = [100.0 + 1.0 * index + draw.gauss(0.0, 1.0) for index in range(30)]
    steps, _, _ = _steps(tmp_path, loop([50.0] * 30, kernels))
    assert steps.trend is not None
    assert steps.trend_noise is not None
    assert steps.trend > 0.1 > 3 * steps.trend_noise


def test_pure_noise_has_a_trend_as_often_as_a_95_percent_interval_says(tmp_path: Path) -> None:
    """Of 40 loops of independent noise two are expected beyond their interval; six or more are not chance."""
    beyond = 0
    for seed in range(40):
        draw = random.Random(seed)
        steps, _, _ = _steps(tmp_path, loop([200.0 + draw.gauss(0.0, 20.0) for _ in range(24)], kernels=1))
        assert steps.trend is not None
        assert steps.trend_noise is not None
        beyond += abs(steps.trend) > steps.trend_noise
    assert beyond <= 5


def test_few_steps_have_no_trend(tmp_path: Path) -> None:
    steps, _, _ = _steps(tmp_path, loop([100.0 + 50.0 * index for index in range(9)]))
    assert steps.trend is None
    assert steps.trend_noise is None


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    waits=st.lists(st.floats(0.0, 500.0), min_size=2, max_size=6),
    lag=st.floats(0.0, 2_000.0),
    each=st.floats(1.0, 200.0),
)
def test_steps_sum_to_the_device_within_their_windows(
    tmp_path: Path, waits: list[float], lag: float, each: float
) -> None:
    steps, _, attribution = _steps(tmp_path, loop(waits, [each] * len(waits), lag_us=lag))
    if not steps.rows:
        return
    begin = round(steps.rows[0].start_us * 1000)
    end = round((steps.rows[-1].start_us + steps.rows[-1].duration_us) * 1000)
    causes, busy = attribution.between(begin, end)
    of_rows = sum(sum(row.causes.values()) + sum(row.busy.values()) for row in steps.rows)
    assert round(of_rows * 1000) == int(causes.sum() + busy.sum()) == end - begin
    assert round(sum(sum(row.causes.values()) for row in steps.rows) * 1000) == int(causes.sum())


def test_without_launches_steps_are_as_the_host_marked_them(tmp_path: Path) -> None:
    made = loop([200.0] * 4)
    made.events = [e for e in made.events if e.get("cat") != "cuda_runtime"]
    steps, _, _ = _steps(tmp_path, made)
    assert steps.window == "host"
    assert "the device may lag" in steps.notes[0]
    assert steps.median_us == pytest.approx(620.0)


def test_phases_do_not_overlap_and_sum_to_the_step(tmp_path: Path) -> None:
    made = Maker()
    for number in range(3):
        at = number * 1_000.0
        made.step(number, at, 1_000.0)
        made.annotation("enumerate(DataLoader)#_SingleProcessDataLoaderIter.__next__", at, 100.0)
        made.annotation("Optimizer.zero_grad#SGD.zero_grad", at + 100, 50.0)
        made.op("aten::conv2d", at + 200, 300.0)
        made.op("autograd::engine::evaluate_function: MmBackward0", at + 500, 100.0, tid=BACKWARD_TID)
        made.op("autograd::engine::evaluate_function: AddBackward0", at + 610, 90.0, tid=BACKWARD_TID)
        made.annotation("Optimizer.step#SGD.step", at + 800, 100.0)
        made.launched("synthetic_sgemm", at + 210, at + 220, 50.0)
        made.launched("synthetic_sgemm", at + 510, at + 520, 50.0, tid=BACKWARD_TID)
    steps, _, _ = _steps(tmp_path, made)
    expected = {
        "data": 100.0, "zero_grad": 50.0, "optimizer": 100.0, "backward": 200.0, "forward": 300.0,
        "other": 250.0,
    }  # fmt: skip
    assert steps.phases == pytest.approx(expected)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("## forward ##", "forward"),
        ("DistributedDataParallel.forward", "forward"),
        ("## backward ##", "backward"),
        ("NllLossBackward", "backward"),
        ("torch::autograd::AccumulateGrad", "backward"),
        ("Optimizer.step#FusedAdam.step", "optimizer"),
        ("## zero_grad ##", "zero_grad"),
        ("## wait_for_batch ##", "data"),
        ("aten::convolution_backward", None),
        ("## alltoall_fwd_single ##", None),
    ],
)
def test_what_phase_a_name_tells(name: str, expected: str | None) -> None:
    index = phase(name)
    assert (PHASES[index] if index < len(PHASES) else None) == expected


# --- repetition -----------------------------------------------------------------------------------


def test_unmarked_steps_are_told_by_kernels_that_repeat(tmp_path: Path) -> None:
    steps, _, _ = _steps(tmp_path, loop([300.0] * 12, mark=False, kernels=7))
    assert steps.source == "inferred from repeating kernels"
    assert steps.count == 11
    assert steps.median_us == pytest.approx(1_020.0)
    assert "7 kernels" in steps.notes[0]


def test_layers_of_one_pass_are_no_steps() -> None:
    names = np.array([90, 91, 92, 93, 94, *([1, 2, 3, 4, 5, 6, 7] * 40), 80, 81, 82], np.int32)
    assert period(names, np.ones(names.shape[0], np.int64)) is None


def test_steps_of_layers_are_told_from_their_layers() -> None:
    one = [90, 91, *([1, 2, 3, 4, 5, 6, 7] * 6), 80, 81, 82]
    names = np.array(one * 8, np.int32)
    assert period(names, np.ones(names.shape[0], np.int64)) == len(one)


def test_a_loop_over_one_kernel_has_no_steps() -> None:
    assert period(np.zeros(500, np.int32), np.ones(500, np.int64)) is None


def test_random_kernels_have_no_period() -> None:
    draw = np.random.default_rng(1)
    assert period(draw.integers(0, 9, 600).astype(np.int32), np.ones(600, np.int64)) is None


def test_nothing_on_a_device_has_no_period() -> None:
    assert len(gpu_table(start_ns=[], end_ns=[])) == 0
    assert period(np.zeros(0, np.int32), np.zeros(0, np.int64)) is None


# --- real traces ----------------------------------------------------------------------------------


def _real(name: str) -> StepFigures:
    found = analysed_real(name)
    return step_figures(*found)


def analysed_real(name: str) -> tuple[Timeline, Attribution]:
    from advisor.traces.analyse import analyse

    found = analyse([read(trace(name))], lambda *_: None)
    return found.timelines[0], next(iter(found.attributions.values()))


def test_steps_of_a_real_loop_whose_host_runs_ahead() -> None:
    """The first step takes the host 35 ms and the device 98 ms."""
    steps = _real("v100_ns_resolution.json.gz")
    assert [row.number for row in steps.rows] == [101, 102, 103, 104, 105]
    assert {row.events for row in steps.rows} == {1219}
    assert steps.median_us == pytest.approx(95_617.3, abs=0.1)
    assert steps.partial == (101,)


def test_a_real_input_bound_loop_waits_for_data_in_each_step() -> None:
    """Independently, from the raw events: the last kernel of step 6 ends 175,153 µs after that of step 5."""
    steps = _real("v100_resnet50_workers0.json.gz")
    assert steps.rows[1].duration_us == 175_153.0
    assert steps.causes["data_loading"] / (steps.mean_us or 1.0) == pytest.approx(0.323, abs=0.01)
    assert steps.phases["data"] > 60_000.0
