"""Steps that end with an optimizer's, where the program marks none; made-up traces, and real ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from advisor.traces.analyse import analyse
from advisor.traces.optimizer_steps import optimizer_steps
from advisor.traces.read import read
from rules.traces.records import StepFigures
from tests.advisor.traces.made import PID, Maker
from tests.advisor.traces.real import trace
from tests.advisor.traces.stepping import analysed

SGD, ADAM = "Optimizer.step#SGD.step", "Optimizer.step#Adam.step"
STEP_US = 1000.0


def _training(calls: Sequence[tuple[str, int]], steps: int = 5, *, passes: int = 1) -> Maker:
    """A synthetic loop: per step, each optimizer (name, operators that it runs) after `passes` forward and
    backward passes of its own; 0 passes: only the first has one."""
    made = Maker()
    for step in range(steps):
        each = STEP_US / len(calls)
        for index, (name, operators) in enumerate(calls):
            at = step * STEP_US + index * each
            for one in range(max(passes, 1 if index == 0 else 0)):
                begun = at + 100.0 * one
                made.launched("synthetic_sgemm", begun + 10.0, begun + 20.0, 80.0)
                made.op("MmBackward0", begun + 50.0, 30.0)
            made.annotation(name, at + each - 40.0, 30.0)
            for operator in range(operators):
                made.op("aten::add_", at + each - 39.0 + 2.0 * operator, 1.0)
            made.launched("synthetic_update", at + each - 20.0, at + each - 15.0, 10.0)
    return made


def _steps(folder: Path, made: Maker) -> StepFigures:
    steps = analysed(folder, made).report.devices[0].steps
    assert steps is not None
    return steps


def test_steps_run_from_the_end_of_one_to_that_of_the_next(tmp_path: Path) -> None:
    steps = _steps(tmp_path, _training([(SGD, 3)]))
    assert (steps.source, steps.window, steps.count) == ("optimizer", "launches", 5)
    assert steps.median_us == pytest.approx(STEP_US)
    assert [row.events for row in steps.rows] == [2] * 5
    assert steps.partial == (0,)
    assert "ends with a step of the optimizer" in steps.notes[0]
    assert steps.phases["optimizer"] == pytest.approx(30.0)


@pytest.mark.parametrize(
    "calls",
    [
        pytest.param([(SGD, 3), (ADAM, 3)], id="of two classes"),
        pytest.param([(ADAM, 3), (ADAM, 5)], id="of one class, which do different work"),
        pytest.param([(ADAM, 3), (ADAM, 3), (ADAM, 4)], id="three, of which two do the same"),
    ],
)
def test_several_optimizers_in_turn_make_one_step(tmp_path: Path, calls: list[tuple[str, int]]) -> None:
    steps = _steps(tmp_path, _training(calls))
    assert (steps.source, steps.count) == ("optimizer", 5)
    assert steps.median_us == pytest.approx(STEP_US)


def test_optimizers_without_a_backward_pass_between_them_make_one_step(tmp_path: Path) -> None:
    """Parameters split between two of one class, which do exactly as much."""
    steps = _steps(tmp_path, _training([(ADAM, 3), (ADAM, 3)], passes=0))
    assert steps.count == 5
    assert steps.median_us == pytest.approx(STEP_US)


def test_accumulated_gradients_are_one_step(tmp_path: Path) -> None:
    steps = _steps(tmp_path, _training([(SGD, 3)], passes=4))
    assert steps.count == 5
    assert steps.median_us == pytest.approx(STEP_US)
    assert [row.events for row in steps.rows] == [5] * 5


def test_an_optimizer_that_wraps_another_counts_once(tmp_path: Path) -> None:
    made = _training([(SGD, 3)])
    for step in range(5):
        made.annotation(ADAM, step * STEP_US + 955.0, 40.0)
    assert _steps(tmp_path, made).count == 5


def test_work_that_varies_from_step_to_step_is_no_turn(tmp_path: Path) -> None:
    made = Maker()
    for step, operators in enumerate((3, 5, 4, 3, 6)):
        made.op("MmBackward0", step * STEP_US, 10.0)
        made.annotation(SGD, step * STEP_US + 50.0, 40.0)
        for operator in range(operators):
            made.op("aten::add_", step * STEP_US + 51.0 + 2 * operator, 1.0)
        made.launched("synthetic_update", step * STEP_US + 70.0, step * STEP_US + 80.0, 100.0)
    assert _steps(tmp_path, made).count == 5


def test_marked_steps_come_first(tmp_path: Path) -> None:
    made = _training([(SGD, 3)])
    for step in range(2):
        made.step(step, step * 2.5 * STEP_US, 2.5 * STEP_US - 1.0)
    steps = _steps(tmp_path, made)
    assert (steps.source, steps.count) == ("ProfilerStep", 2)


def test_each_thread_has_its_own(tmp_path: Path) -> None:
    made = _training([(SGD, 3)])
    made.annotation(SGD, 100.0, 50.0, tid=PID + 7)
    timeline = read(made.write(tmp_path / "synthetic.json"))
    assert sorted(timeline.steps.thread.tolist()) == [0] * 5 + [1]
    assert _steps(tmp_path, made).count == 5


@pytest.mark.parametrize("name", ["a100_rank0_of_16.json.gz", "v100_resnet50_workers4.json.gz"])
def test_they_agree_with_the_profilers_marks(name: str) -> None:
    timeline = read(trace(name))
    ends = optimizer_steps(timeline.host, timeline.names)
    unmarked = replace(timeline, steps=ends)
    marked, told = (analyse([t], lambda *_: None).report.devices[0].steps for t in (timeline, unmarked))
    assert marked is not None and told is not None
    assert (told.source, told.count) == ("optimizer", marked.count)
    assert told.median_us == pytest.approx(marked.median_us, rel=0.01)
