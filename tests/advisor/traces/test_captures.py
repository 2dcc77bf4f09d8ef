"""Real captures of PyTorch on a CPU, as users hand them in: read, their steps and phases, every report."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from advisor.cli.app import run_cli
from advisor.cli.options import DIAGNOSIS_FORMATS
from advisor.traces.read import read
from advisor.traces.step_phases import OTHER, phases_of
from advisor.traces.step_windows import marks
from advisor.traces.timeline import HostKind, Timeline
from advisor.tui.trace.app import TraceApp, tracks_of
from rules.traces.host_names import HostRole
from tests.advisor.traces.diagnosed import analysed, diagnosed

DATA = Path(__file__).with_name("data")
STEPS, ORDERED = DATA / "torch-cpu-steps.json.gz", DATA / "torch-cpu-ordered.json.gz"
both = pytest.mark.parametrize("path", [STEPS, ORDERED], ids=["steps", "ordered"])


@pytest.fixture(scope="module")
def timelines() -> dict[Path, Timeline]:
    return {path: read(path) for path in (STEPS, ORDERED)}


@both
def test_a_capture_is_read_whole(timelines: dict[Path, Timeline], path: Path) -> None:
    timeline = timelines[path]
    assert timeline.meta.format == "kineto"
    assert timeline.device_numbers() == ()
    assert [loss.code for loss in timeline.losses] == ["no-gpu-events"]
    assert (timeline.host.end_ns >= timeline.host.start_ns).all()
    assert {"aten::addmm", "aten::linear"} <= set(timeline.names)
    assert timeline.meta.zero_ns is not None


def test_marked_steps_are_taken_as_the_profiler_marks_them(timelines: dict[Path, Timeline]) -> None:
    steps = timelines[STEPS].steps
    assert steps.number.tolist() == [1, 2, 3]
    assert steps.source == ""
    assert (steps.end_ns[:-1] <= steps.start_ns[1:]).all()


def test_steps_that_were_asked_for_end_with_the_optimizers(timelines: dict[Path, Timeline]) -> None:
    timeline = timelines[ORDERED]
    host, steps = timeline.host, timeline.steps
    name = timeline.names.index("Optimizer.step#SGD.step")
    calls = (host.name == name) & (host.kind == HostKind.ANNOTATION)
    assert steps.source == "optimizer"
    assert steps.end_ns.tolist() == host.end_ns[calls].tolist()
    assert steps.start_ns.tolist()[1:] == steps.end_ns.tolist()[:-1]
    assert len(steps) == 3


@pytest.mark.parametrize(
    ("path", "seen"),
    [
        (STEPS, {"data", "zero_grad", "forward", "backward", "optimizer"}),
        (ORDERED, {"zero_grad", "forward", "backward", "optimizer"}),
    ],
    ids=["steps", "ordered"],
)
def test_every_step_has_its_phases(timelines: dict[Path, Timeline], path: Path, seen: set[str]) -> None:
    marked = marks(timelines[path], 0)
    assert marked is not None
    phases = phases_of(timelines[path], marked)
    assert set(phases) == seen | {OTHER}
    assert all((phases[name] > 0).all() for name in seen)
    whole = np.sum(list(phases.values()), axis=0)
    assert whole.tolist() == (marked.end_ns - marked.start_ns).tolist()


def test_the_loader_is_found_among_python_functions(timelines: dict[Path, Timeline]) -> None:
    host = timelines[STEPS].host
    assert ((host.kind == HostKind.PYTHON) & (host.role == HostRole.DATA)).any()


@both
def test_what_limits_cannot_be_told_without_a_device(path: Path) -> None:
    made = diagnosed([path])
    assert made.trace is not None
    assert made.trace.cpu_only
    assert made.trace.devices == ()
    assert [found.code for found in made.findings] == ["TRACE018"]
    assert made.verdicts == ()


@both
@pytest.mark.parametrize("form", DIAGNOSIS_FORMATS)
def test_every_report_is_written(path: Path, form: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(["trace", str(path), "--format", form]) == 0
    said = capsys.readouterr().out
    assert "TRACE018" in said
    if form == "json":
        assert json.loads(said)["trace"]["cpu_only"] is True


def test_two_captures_without_a_device_are_read_together() -> None:
    report = analysed([STEPS, ORDERED]).report
    assert report.cpu_only
    assert [file.name for file in report.files] == [STEPS.name, ORDERED.name]


@both
async def test_the_screen_says_why_it_has_nothing_to_draw(path: Path) -> None:
    analysis, made = analysed([path]), diagnosed([path])
    app = TraceApp(tracks_of(analysis), made)
    async with app.run_test(size=(80, 24)):
        assert app.scene is None
        strips = app.screen._compositor.render_strips()
        said = "\n".join("".join(segment.text for segment in strip) for strip in strips)
    assert "TRACE018" in said
