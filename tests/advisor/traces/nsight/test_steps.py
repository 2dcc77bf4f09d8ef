from __future__ import annotations

from pathlib import Path

import pytest

from advisor.traces.nsight import read_nsight
from advisor.traces.timeline import StepTable
from tests.advisor.traces.nsight.export import Export, training


def steps(export: Export, folder: Path) -> StepTable:
    return read_nsight(export.write(folder / "synthetic.sqlite")).steps


@pytest.mark.parametrize(
    "form",
    [
        "ProfilerStep#{}",
        "step {}",
        "Step: {}",
        "iteration {}",
        "iter{}",
        "step_{}",
        "train_step {}",
        "batch {}",
    ],
)
def test_numbered_ranges_are_steps(tmp_path: Path, form: str) -> None:
    export = Export().kernel(0, 1)
    for number in (7, 8, 9):
        export.range(100 * number, 100 * number + 90, form.format(number)).range(
            100 * number, 100 * number + 9, "x"
        )
    found = steps(export, tmp_path)
    assert list(found.number) == [7, 8, 9]
    assert list(found.end_ns - found.start_ns) == [90, 90, 90]


def test_the_profilers_own_steps_are_preferred(tmp_path: Path) -> None:
    export = training().range(0, 5000, "ProfilerStep#3")
    assert list(steps(export, tmp_path).number) == [3]


def test_ranges_of_one_name_that_tile_the_run_are_steps(tmp_path: Path) -> None:
    export = Export().kernel(0, 1)
    for number in range(6):
        at = 100 * number
        export.range(at, at + 95, "train_one_batch").range(at, at + 40, "forward").range(
            at + 40, at + 80, "backward"
        )
    found = steps(export, tmp_path)
    assert list(found.number) == [0, 1, 2, 3, 4, 5]
    assert list(found.end_ns - found.start_ns) == [95] * 6


@pytest.mark.parametrize(
    "spans",
    [
        [(0, 90), (100, 190), (200, 290)],
        [(0, 40), (100, 140), (200, 240), (300, 340), (400, 440)],
        [(0, 150), (100, 250), (200, 350), (300, 450)],
    ],
    ids=["too few", "too little of the time", "overlapping"],
)
def test_other_ranges_are_no_steps(tmp_path: Path, spans: list[tuple[int, int]]) -> None:
    export = Export().kernel(0, 1)
    for start, end in spans:
        export.range(start, end, "phase")
    assert len(steps(export, tmp_path)) == 0


def test_each_thread_has_its_own_steps(tmp_path: Path) -> None:
    export = Export().kernel(0, 1)
    for tid in (11, 12):
        for number in range(3):
            export.range(100 * number, 100 * number + 90, f"step {number}", tid=tid)
    found = steps(export, tmp_path)
    assert len(found) == 6
    assert len(set(found.thread.tolist())) == 2


def test_an_export_without_ranges_has_no_steps(tmp_path: Path) -> None:
    assert len(steps(Export().kernel(0, 1), tmp_path)) == 0
