"""One row from one device."""

from __future__ import annotations

import msgspec
import pytest

from advisor import diagnosis as dx
from advisor.snapshot import DeviceView, Snapshot, State
from advisor.tui.banner import header_row
from advisor.tui.columns import COLUMNS, body_row, fit, head_row
from advisor.tui.devices import device_label, find_view, gpu_row, job_of, shown_devices, verdict_words
from advisor.tui.glyphs import UNICODE
from advisor.tui.ordering import SortKey, matches, ordered
from advisor.tui.rows import text_of, width_of
from advisor.tui.sections import detail_rows
from rules.finding import Price
from tests import factories as make
from tests.advisor.tui import fakes

replace = msgspec.structs.replace


def test_a_row_at_80_columns_drops_what_ranks_last() -> None:
    layout = fit(80)
    assert [column.name for column, _ in layout.columns] == [
        "gpu", "job", "word", "cause", "confidence", "bar", "sm", "tensor", "dram", "watts", "wasted",
    ]  # fmt: skip
    assert text_of(head_row(layout)) == (
        "  GPU  job         limit                 sure time goes   SM  TC DRAM    W   $/h"
    )
    assert text_of(body_row(gpu_row(fakes.view_of(2)), layout, UNICODE)) == (
        "2    train_vit.… HOST   input pipeline 0.94 ▒▒▒░░▓▓▓█   41  22   18  291  5.15"
    )


@pytest.mark.parametrize("width", range(60, 260, 7))
def test_every_width_is_used_and_never_exceeded(width: int) -> None:
    layout = fit(width)
    for gpu in range(8):
        assert width_of(body_row(gpu_row(fakes.view_of(gpu)), layout, UNICODE)) <= max(57, width - 2)


def test_at_200_columns_every_column_is_shown() -> None:
    assert len(fit(200).columns) == len(COLUMNS)


def test_a_lost_gpu_says_so_with_its_reason_and_no_figures() -> None:
    view = fakes.view_of(0, state="lost", state_reason="fell off the bus: reset the node")
    line = text_of(body_row(gpu_row(view), fit(120), UNICODE))
    assert "LOST" in line
    assert "fell off the bus: reset the node" in line
    assert "402" not in line


def test_unknown_says_why() -> None:
    view = fakes.view_of(3, verdict=make.make_verdict("unknown", gpu=3, unknown_because=("no GPM here",)))
    assert verdict_words(view) == ("UNKNOWN", "unknown", "no GPM here")


def test_without_gpm_the_substitutes_are_marked() -> None:
    view = fakes.view_of(2)
    assert view.latest is not None
    view = replace(view, latest=replace(view.latest, sm_active=None, tensor_active=None, dram_active=None))
    row = gpu_row(view)
    assert (row.sm, row.tensor, row.dram, row.substitute) == ("62u", "–", "18m", True)


def test_a_missing_figure_is_a_dash_and_not_zero() -> None:
    view = fakes.view_of(2)
    assert view.sample is not None
    bare = replace(view, sample=replace(view.sample, power_w=None, mem_used_bytes=None))
    assert gpu_row(bare).watts == "–"
    assert gpu_row(bare).memory == "–/80"


@pytest.mark.parametrize(
    "name", ["\x1b[2J\x1b]0;x\x07evil", "[bold red]x[/]", "a\nb", "\u202egnp.exe", "\x9b31m"]
)
def test_hostile_names_cannot_move_or_colour_anything(name: str) -> None:
    view = fakes.view_of(2, verdict=make.make_verdict(gpu=2, workload=make.make_workload(name)))
    line = text_of(body_row(gpu_row(view), fit(200), UNICODE))
    assert line.isprintable()
    assert "\u202e" not in line


def test_a_job_is_shown_as_far_as_it_fits_whole() -> None:
    assert job_of(fakes.view_of(2)) == (
        "train_vit.py 81234  slurm:4702",
        "train_vit.py 81234",
        "train_vit.py",
    )


def test_memory_held_by_no_visible_process_is_said() -> None:
    view = fakes.view_of(1, processes=())
    assert view.verdict is not None
    view = replace(view, verdict=replace(view.verdict, workload=None))
    assert job_of(view) == ("(16 GiB held)",)


def test_a_gpu_split_into_instances_stands_aside_for_them() -> None:
    parent = fakes.view_of(0)
    info = replace(parent.info, key="MIG-1", parent_key=parent.info.key, mig_profile="1g.10gb", gi_id=7)
    child = replace(parent, info=info)
    snapshot = fakes.node(devices=(parent, child))
    assert [device_label(view) for view in shown_devices(snapshot)] == ["0:7"]


def of_mig(rest: float = 2 / 7, *, listed: bool = True) -> Snapshot:
    """A GPU in two instances, with a part in none; the GPU itself is no row."""
    parent = fakes.view_of(0).info
    views = []
    for gi in (1, 3):
        view = fakes.view_of(0)
        name = f"{parent.name} MIG 1g.10gb"
        info = replace(
            parent, key=f"MIG-{gi}", name=name, parent_key=parent.key, mig_profile="1g.10gb", gi_id=gi
        )
        views.append(replace(view, info=info))
    price = Price(usd_h=35.0, basis="user", source="--price")
    children = [replace(views[0].info, slice_frac=1 - rest, mig_profile=None)]
    row = dx.remainder(parent, children, price)
    assert row is not None
    base = fakes.node(devices=tuple(views))
    hello = replace(base.hello, devices=(parent,) if listed else ())
    return replace(base, hello=hello, diagnosis=replace(base.diagnosis, ladder=(row,)))


def test_what_is_in_no_mig_instance_has_a_row_of_its_own() -> None:
    snapshot = of_mig()
    views = ordered(shown_devices(snapshot), "wasted")
    assert device_label(views[0]) == "0:-"
    assert [device_label(view) for view in ordered(views, "index")] == ["0:1", "0:3", "0:-"]
    line = text_of(body_row(gpu_row(views[0]), fit(80), UNICODE))
    assert line.split() == ["0:-", "unallocated", "IDLE", "free", "1.00", "·········", *"––––", "10.00"]
    assert find_view(snapshot, views[0].info.key) == views[0]
    assert find_view(snapshot, None) is None


@pytest.mark.parametrize("listed", [True, False])
def test_the_header_counts_the_gpu_and_its_instances(listed: bool) -> None:
    head = text_of(header_row(of_mig(listed=listed), 120, UNICODE))
    assert "1 × Simulated X100 80GB · 2 MIG instances" in head


@pytest.mark.parametrize("width", [80, 140])
def test_detail_of_what_is_in_no_instance_says_why_and_what_it_costs(width: int) -> None:
    view = ordered(shown_devices(of_mig()), "wasted")[0]
    text = "\n".join(text_of(line) for line in detail_rows(view, (), width, 8, UNICODE))
    assert "GPU 0 (unallocated)" in text
    assert "A part of GPU 0 is in no MIG instance" in text.replace("\n", " ")
    assert "10.00  100 %  price per hour" in text
    assert "counters" not in text


def test_dollars_too_wide_for_their_column_lose_their_cents() -> None:
    line = text_of(body_row(gpu_row(wasting(0, 1234.56)), fit(80), UNICODE))
    assert line.endswith(" 1,234")


VIEWS = [fakes.view_of(gpu) for gpu in range(8)]


def indexes(views: list[DeviceView]) -> list[int]:
    return [view.info.index for view in views]


def test_orders() -> None:
    assert indexes(ordered(VIEWS, "wasted")) == [1, 6, 4, 2, 7, 5, 0, 3]
    assert indexes(ordered(VIEWS, "index")) == list(range(8))
    assert [verdict_words(view)[0] for view in ordered(VIEWS, "verdict")] == sorted(
        verdict_words(view)[0] for view in VIEWS
    )


@pytest.mark.parametrize("state", ["lost", "silent"])
@pytest.mark.parametrize("by", ["wasted", "verdict"])
def test_what_needs_someone_now_stands_first(by: SortKey, state: State) -> None:
    views = [*VIEWS[:7], fakes.view_of(7, state=state, ladder=None)]
    critical = {VIEWS[3].info.key}
    assert indexes(ordered(views, by, critical=critical))[:2] == [7, 3]
    before = [view.info.key for view in views]
    assert indexes(ordered(views, by, before, critical))[:2] == [7, 3]
    assert indexes(ordered(views, "index", critical=critical)) == list(range(8))


def wasting(gpu: int, usd_h: float) -> DeviceView:
    ladder = replace(make.make_ladder(make.make_verdict(gpu=gpu)), wasted_usd_h=usd_h)
    return fakes.view_of(gpu, ladder=ladder)


def test_a_small_change_does_not_move_rows_and_a_large_one_does() -> None:
    before = [wasting(0, 5.0), wasting(1, 4.9)]
    keys = [view.info.key for view in before]
    assert indexes(ordered([wasting(0, 4.9), wasting(1, 5.0)], "wasted", keys)) == [0, 1]
    assert indexes(ordered([wasting(0, 2.0), wasting(1, 5.0)], "wasted", keys)) == [1, 0]


@pytest.mark.parametrize(
    ("needle", "expected"),
    [
        ("vit", [2]),
        ("slurm:4707", [7]),
        ("IDLE", [1, 6]),
        ("gpu3", [3]),
        ("3", [3]),
        ("90017", [3]),
        ("alice", [0, 1, 2, 3, 4, 5, 7]),
        ("zzz", []),
    ],
)
def test_filter(needle: str, expected: list[int]) -> None:
    assert [view.info.index for view in VIEWS if matches(view, needle)] == expected


def test_a_column_with_nothing_to_show_gives_its_room_to_others() -> None:
    assert "user" not in [column.name for column, _ in fit(200, without=frozenset({"user"})).columns]
