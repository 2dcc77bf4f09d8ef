"""The longest gaps, the device in stretches, and why idle time is unknown."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.traces.gap_rows import gap_rows
from advisor.traces.strip import strip
from advisor.traces.unknown_causes import why_unknown
from rules.traces.records import GapRow
from tests.advisor.traces.scene import Scene

US = 1000


def loading() -> Scene:
    """A kernel, a batch, a kernel, some Python, a kernel."""
    scene = Scene().launched((-20 * US, -10 * US), (0, 10 * US), name="first")
    scene.range("ProfilerStep#1", -30 * US, 400 * US)
    scene.range("enumerate(DataLoader)", 12 * US, 180 * US).op("aten::stack", 100 * US, 180 * US)
    scene.launched((182 * US, 190 * US), (200 * US, 210 * US), name="second")
    return scene.launched((250 * US, 255 * US), (260 * US, 270 * US), name="third")


def rows(scene: Scene, count: int = 10) -> tuple[GapRow, ...]:
    return gap_rows(scene.timeline(), scene.attributed(), count)


def test_the_longest_gap_with_what_stood_around_it() -> None:
    longest = rows(loading())[0]
    assert (longest.start_us, longest.duration_us) == (10.0, 190.0)
    assert (longest.before, longest.after, longest.host) == ("first", "second", "enumerate(DataLoader)")
    assert longest.causes == {"data_loading": 168.0, "host_launch": 22.0}


def test_marks_of_steps_are_no_answer_to_what_the_host_did() -> None:
    assert rows(loading())[1].host is None


def test_the_innermost_operator_that_lasts_is_named() -> None:
    scene = loading().op("module", 205 * US, 258 * US).op("aten::mm", 212 * US, 257 * US)
    assert rows(scene.op("aten::empty", 212 * US, 213 * US))[1].host == "aten::mm"


def test_where_work_was_queued_the_host_is_not_asked() -> None:
    scene = (
        Scene().launched((-20 * US, -10 * US), (0, 10 * US)).launched((-9 * US, -8 * US), (13 * US, 20 * US))
    )
    assert rows(scene.op("aten::mm", 0, 30 * US))[0].host is None


def test_of_equal_gaps_the_earlier_comes_first_and_no_more_than_asked() -> None:
    scene = Scene().ran(0, 10).ran(20, 30).ran(40, 50).ran(55, 60)
    assert [row.start_us for row in rows(scene, 2)] == [0.01, 0.03]


def test_a_device_that_never_rests_has_no_gaps() -> None:
    assert rows(Scene().ran(0, 10)) == ()


@given(
    st.lists(st.tuples(st.integers(0, 300), st.integers(0, 40)), min_size=1, max_size=8), st.integers(1, 400)
)
@settings(max_examples=60, deadline=None)
def test_stretches_sum_to_the_whole(pairs: list[tuple[int, int]], stretches: int) -> None:
    scene = Scene()
    for start, length in pairs:
        scene.ran(start, start + length)
    made = scene.attributed()
    cut = strip(made, stretches)
    total = sum(round(us * 1000) for values in (*cut.causes.values(), *cut.busy.values()) for us in values)
    assert total == made.span_ns
    assert {len(values) for values in (*cut.causes.values(), *cut.busy.values())} <= {
        max(1, min(stretches, made.span_ns))
    }


def test_a_stretch_holds_what_happened_in_it() -> None:
    made = strip(loading().attributed(), 27)
    assert made.width_us == 10.0
    assert made.busy["other"][0] == 10.0 and made.busy["other"][20] == 10.0
    assert made.causes["data_loading"][1:3] == (8.0, 10.0)


@pytest.mark.parametrize(
    ("scene", "words"),
    [
        (Scene().ran(0, 10).ran(20, 30), "nothing of the host"),
        (Scene().launched((-9, -8), (0, 10)).ran(50 * US, 60 * US), "the launch of what ran next is not in"),
        (Scene().launched((-9, -8), (0, 10)).launched((-7, -6), (50 * US, 60 * US)), "other programs shared"),
        (
            Scene().launched((-9, -8), (0, 10)).launched((-7, -6), (50 * US, 60 * US), api="cudaGraphLaunch"),
            "kernels inside graphs",
        ),
    ],
)
def test_why_time_is_unknown(scene: Scene, words: str) -> None:
    told = why_unknown(scene.timeline(), scene.attributed())
    assert told is not None and told.startswith("because ") and words in told


def test_nothing_unknown_needs_no_reason() -> None:
    assert why_unknown(loading().timeline(), loading().attributed()) is None
