"""What the host was in behind idle time: each name with the time it really took."""

from __future__ import annotations

from advisor.traces.host_behind import behind
from rules.traces.records import HostRow
from tests.advisor.traces.scene import AUTOGRAD, Scene

US = 1000


def found(scene: Scene) -> dict[tuple[str, str], tuple[float, int]]:
    """(cause, name) -> µs and stretches."""
    rows: tuple[HostRow, ...] = behind(scene.timeline(), scene.attributed().idle)[0]
    return {(row.cause, row.name): (row.idle_us, row.count) for row in rows}


def test_a_loaders_time_is_the_loaders_whatever_operator_stood_in_its_middle() -> None:
    scene = Scene().launched((-20 * US, -10 * US), (0, 10 * US))
    scene.op("enumerate(DataLoader)#__next__", 10 * US, 200 * US).op("aten::contiguous", 100 * US, 112 * US)
    scene.launched((200 * US, 205 * US), (205 * US, 210 * US))
    assert found(scene) == {("data_loading", "enumerate(DataLoader)#__next__"): (190.0, 1)}


def test_idle_time_of_launches_is_shared_among_operators_by_overlap() -> None:
    scene = Scene().launched((-20 * US, -10 * US), (0, 10 * US))
    scene.op("aten::linear", 10 * US, 210 * US).op("aten::empty", 105 * US, 115 * US)
    scene.op("aten::t", 115 * US, 145 * US).op("aten::empty", 150 * US, 155 * US)
    scene.launched((200 * US, 205 * US), (205 * US, 250 * US))
    assert found(scene) == {
        ("host_launch", "aten::linear"): (150.0, 1),
        ("host_launch", "aten::t"): (30.0, 1),
        ("host_launch", "aten::empty"): (15.0, 1),
    }


def test_a_range_on_another_thread_names_the_time_that_it_caused() -> None:
    scene = (
        Scene().launched((-20 * US, -10 * US), (0, 10 * US)).launched((-9 * US, -8 * US), (10 * US, 11 * US))
    )
    scene.op("enumerate(DataLoader)#__next__", 20 * US, 4000 * US)
    scene.launched((5000 * US, 5005 * US), (5005 * US, 5010 * US), thread=AUTOGRAD)
    assert ("data_loading", "enumerate(DataLoader)#__next__") in found(scene)


def test_a_step_s_mark_is_code_outside_of_operators() -> None:
    scene = Scene().range("ProfilerStep#3", -50 * US, 400 * US).launched((-20 * US, -10 * US), (0, 10 * US))
    scene.op("aten::mm", 60 * US, 80 * US).launched((100 * US, 105 * US), (105 * US, 110 * US))
    told = found(scene)
    assert told["host_launch", "code outside of any operator"] == (75.0, 1)
    assert told["host_launch", "aten::mm"] == (20.0, 1)


def test_no_more_is_charged_than_was_idle() -> None:
    scene = Scene().launched((-20 * US, -10 * US), (0, 10 * US))
    for start in range(0, 300, 7):  # ranges that cross, as hostile files have them
        scene.op(f"crossing {start % 5}", start * US, (start + 40) * US)
    scene.launched((300 * US, 305 * US), (305 * US, 310 * US))
    assert sum(us for us, _ in found(scene).values()) == 295.0
