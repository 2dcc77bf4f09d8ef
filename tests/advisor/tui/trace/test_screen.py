"""The trace screen driven by keys, read as text."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from textual.pilot import Pilot

from advisor.document import Diagnosis
from advisor.traces.analyse import analyse
from advisor.tui.app import TuiOptions
from advisor.tui.screens.explain import ExplainScreen
from advisor.tui.trace.app import TraceApp, tracks_of
from advisor.tui.trace.header import without_device
from advisor.tui.trace.help import TraceHelpScreen
from advisor.tui.trace.page import FindingPage
from advisor.tui.trace.scene import Scene
from advisor.tui.trace.tables import KERNEL_ORDERS, kernel_note
from advisor.tui.trace.track import Track
from tests import factories as make
from tests.advisor.tui.trace import fakes
from tests.advisor.tui.trace.test_strips import no_steps

SIZES = [(80, 24), (120, 40)]


def lines_of(app: TraceApp) -> list[str]:
    strips = app.screen._compositor.render_strips()
    return ["".join(segment.text for segment in strip) for strip in strips]


def text_of(app: TraceApp) -> str:
    return "\n".join(lines_of(app))


def line_with(app: TraceApp, words: str) -> str:
    found = [line for line in lines_of(app) if words in line]
    assert found, f"{words!r} is not on the screen:\n{text_of(app)}"
    return found[0]


def notices(app: TraceApp) -> str:
    return "\n".join(notice.message for notice in app._notifications)


def scene_of(app: TraceApp) -> Scene:
    assert app.scene is not None
    return app.scene


@asynccontextmanager
async def running(
    tracks: Sequence[Track] | None = None,
    size: tuple[int, int] = (80, 24),
    document: Diagnosis | None = None,
    options: TuiOptions | None = None,
) -> AsyncIterator[tuple[TraceApp, Pilot[int]]]:
    shown = [fakes.track()] if tracks is None else list(tracks)
    app = TraceApp(shown, document or fakes.diagnosis(shown), options)
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        yield app, pilot


@pytest.mark.parametrize("size", SIZES)
async def test_the_first_screen_says_what_where_and_how_much(size: tuple[int, int]) -> None:
    async with running(size=size) as (app, _):
        text = text_of(app)
        assert "synthetic.json.gz" in line_with(app, "advisor trace")
        assert "Simulated X100 80GB" in line_with(app, "advisor trace")
        assert "HOST" in line_with(app, "/h wasted")
        idle = scene_of(app).track.figures.idle_frac
        assert f"idle {idle * 100:.1f} %" in line_with(app, "/h wasted")
        for words in ("steps", "GPU 0", "stream 7", "host", " 1 here ", "because", "all 3.51 ms", "Help"):
            assert words in text
        assert "/home/someone" not in text
        assert all(len(line) == size[0] for line in lines_of(app))


@pytest.mark.parametrize("size", SIZES)
async def test_zoom_pan_and_reset(size: tuple[int, int]) -> None:
    async with running(size=size) as (app, pilot):
        scene = scene_of(app)
        whole = scene.window
        await pilot.press("plus", "plus")
        assert scene.window.length_ns == pytest.approx(whole.length_ns / 4, rel=0.01)
        assert "878 µs" in line_with(app, "6 findings")
        before = scene.window
        await pilot.press("L")
        assert scene.window.start_ns == pytest.approx(before.start_ns + before.length_ns / 2, rel=0.01)
        await pilot.press("H", "minus")
        assert scene.window.length_ns == pytest.approx(whole.length_ns / 2, rel=0.01)
        await pilot.press("0")
        assert (scene.window.start_ns, scene.window.end_ns) == (whole.start_ns, whole.end_ns)
        assert "all 3.51 ms" in text_of(app)


async def test_the_line_of_panels_gives_up_words_and_not_names() -> None:
    async with running() as (app, pilot):
        await pilot.press(*["plus"] * 9)
        assert "6 findings" in text_of(app)
        assert "6.86 µs" in line_with(app, "6 findings")


async def test_the_cursor_moves_in_every_panel_and_its_place_is_told() -> None:
    async with running() as (app, pilot):
        scene = scene_of(app)
        for panel in "123456":
            await pilot.press(panel)
            at = scene.window.column(69)
            await pilot.press("right", "l", "left", "right")
            assert scene.window.column(69) == at + 2
        await pilot.press("1", "h")
        assert "column of 50.9 µs" in line_with(app, "at ")


async def test_gaps_say_what_stood_around_them_and_what_the_host_did() -> None:
    async with running(size=(120, 40)) as (app, pilot):
        await pilot.press("left_square_bracket")
        gap = line_with(app, " gap     ")
        assert "490 µs" in gap
        assert "of 7" in gap
        assert "data loading 400 µs" in line_with(app, "because")
        assert "vectorized_elementwise_kernel" in line_with(app, "before")
        assert "Memcpy HtoD" in line_with(app, "after ")
        assert "trainer" in line_with(app, "thread ")
        assert "enumerate(DataLoader)" in line_with(app, "did ")
        first = scene_of(app).window.cursor_ns
        await pilot.press("right_square_bracket")
        assert scene_of(app).window.cursor_ns > first
        await pilot.press("right_square_bracket", "right_square_bracket")
        assert "no further long gap" in notices(app)


async def test_a_close_up_of_a_kernel_tells_its_shape_and_its_launch() -> None:
    async with running(size=(120, 40)) as (app, pilot):
        scene = scene_of(app)
        scene.window = scene.window.at(600_000)
        await pilot.press("z")
        assert scene.window.length_ns == pytest.approx(600_000, rel=0.01)
        assert "300 µs" in line_with(app, "kernel   ")
        assert "1,024 blocks of 256 threads" in line_with(app, "shape")
        assert "aten::mm [128, 64] × [64, 32]" in line_with(app, "op   ")
        assert "80.0 µs before, by cudaLaunchKernel on trainer" in line_with(app, "launched")
        assert "aten::mm › cudaLaunchKernel" in text_of(app)


async def test_steps_by_key_and_by_list() -> None:
    async with running() as (app, pilot):
        scene = scene_of(app)
        await pilot.press("n")
        assert scene.window.cursor_ns == 3_000_000
        await pilot.press("p", "p")
        assert scene.window.cursor_ns == 1_000_000
        await pilot.press("4")
        assert "outlier: data loading" in text_of(app)
        await pilot.press("j", "enter")
        assert scene.window.start_ns < 1_000_000 < 2_000_000 < scene.window.end_ns
        assert scene.window.length_ns < 1_200_000


async def test_without_steps_the_list_says_why() -> None:
    track = fakes.track(no_steps(), steps=None)
    async with running([track]) as (app, pilot):
        await pilot.press("4")
        assert "no steps: the program marked none" in text_of(app)
        await pilot.press("n")
        assert "no steps are marked" in notices(app)


@pytest.mark.parametrize("size", SIZES)
async def test_causes_sum_to_a_hundred_and_enter_highlights(size: tuple[int, int]) -> None:
    async with running(size=size) as (app, pilot):
        await pilot.press("2")
        rows = [line for line in lines_of(app) if " idle  " in line or " busy  " in line]
        if size[1] == 40:
            shares = [float(row.split(" %")[0].split()[-1]) for row in rows]
            assert sum(shares) == pytest.approx(100.0, abs=1e-6)
        assert "data loading" in rows[0]
        await pilot.press("enter")
        assert "found" in text_of(app)
        await pilot.press("enter")
        assert "found" not in text_of(app)


async def test_kernels_are_ordered_by_each_of_their_figures() -> None:
    first = {}
    async with running(size=(120, 40)) as (app, pilot):
        await pilot.press("3")
        for order in KERNEL_ORDERS:
            rows = [
                line
                for line in lines_of(app)
                if "synthetic_gemm" in line or "vector" in line or "nccl" in line
            ]
            first[order] = next(row for row in rows if " µs" in row and " %" in row)
            await pilot.press("o")
    assert "synthetic_gemm" in first["total"]
    assert "vectorized" in first["count"]
    assert "synthetic_gemm" in first["mean"]
    assert "synthetic_gemm" in first["roofline"]
    assert "ncclDevKernel" in first["occupancy"]


async def test_a_kernel_can_be_followed_through_the_timeline() -> None:
    async with running(size=(120, 40)) as (app, pilot):
        await pilot.press("3", "enter", "1")
        assert "4 places: synthetic_gemm" in line_with(app, "% of the view")
        begin = scene_of(app).window.cursor_ns
        await pilot.press("full_stop")
        assert scene_of(app).window.cursor_ns == 2_670_000
        await pilot.press("comma")
        assert scene_of(app).window.cursor_ns < begin + 1
        await pilot.press("escape")
        assert "found" not in text_of(app)
        await pilot.press("full_stop")
        assert "nothing is highlighted" in notices(app)


async def test_tab_goes_from_device_to_device() -> None:
    timeline = fakes.training(devices=2)
    tracks = [fakes.track(timeline, 0), fakes.track(timeline, 1)]
    async with running(tracks) as (app, pilot):
        assert "1 of 2" in lines_of(app)[0]
        await pilot.press("3", "enter", "tab")
        assert "2 of 2" in lines_of(app)[0]
        assert "GPU 1" in lines_of(app)[0]
        assert "found" not in text_of(app)
        await pilot.press("shift+tab")
        assert "1 of 2" in lines_of(app)[0]


async def test_ranks_lead_to_their_device_or_say_why_there_are_none() -> None:
    tracks = [fakes.track(file=0, rank=0), fakes.track(file=1, rank=1)]
    async with running(tracks, document=fakes.diagnosis(tracks, ranks=True)) as (app, pilot):
        await pilot.press("5")
        assert "straggler: the others" in text_of(app)
        await pilot.press("j", "enter")
        assert scene_of(app).current == 1
    async with running() as (app, pilot):
        await pilot.press("5")
        assert "no ranks: one file was read" in text_of(app)


async def test_findings_open_and_are_explained() -> None:
    async with running() as (app, pilot):
        await pilot.press("f")
        assert "HOST003" in text_of(app)
        await pilot.press("enter")
        assert isinstance(app.screen, FindingPage)
        assert "what to do" in text_of(app)
        await pilot.press("x")
        assert isinstance(app.screen, ExplainScreen)
        await pilot.press("escape", "escape", "x")
        assert isinstance(app.screen, ExplainScreen)


async def test_help_names_every_glyph_and_closes() -> None:
    async with running(size=(120, 60)) as (app, pilot):
        await pilot.press("question_mark")
        assert isinstance(app.screen, TraceHelpScreen)
        for words in ("previous and next long gap", "letters are waits", "data loading", "kernel to kernel"):
            assert words in text_of(app)
        await pilot.press("escape")
        assert not isinstance(app.screen, TraceHelpScreen)


async def test_a_smaller_timeline_leaves_more_to_the_list() -> None:
    async with running() as (app, pilot):
        await pilot.press("3")
        before = lines_of(app).index(line_with(app, " 3 kernels "))
        await pilot.press("v")
        await pilot.pause()
        assert lines_of(app).index(line_with(app, " 3 kernels ")) < before - 3


async def test_export_writes_both_files_and_says_where(tmp_path: Path) -> None:
    async with running(options=TuiOptions(folder=tmp_path)) as (app, pilot):
        await pilot.press("e")
        await app.workers.wait_for_complete()
        await pilot.pause()
        assert sorted(path.suffix for path in tmp_path.iterdir()) == [".json", ".md"]
        assert "Exported" in notices(app)


async def test_an_export_bears_the_name_of_its_trace(tmp_path: Path) -> None:
    async with running(options=TuiOptions(folder=tmp_path)) as (app, pilot):
        for _ in range(2):
            await pilot.press("e")
            await app.workers.wait_for_complete()
            await pilot.pause()
    names = sorted(path.name for path in tmp_path.iterdir())
    assert len(names) == 4
    assert all(name.startswith("advisor-synthetic-") for name in names)


@pytest.mark.parametrize("size", [(39, 30), (80, 11), (10, 3)])
async def test_too_small_a_terminal_says_so_and_a_larger_one_shows_it_again(size: tuple[int, int]) -> None:
    async with running(size=size) as (app, pilot):
        assert "terminal" in text_of(app)
        assert "GPU 0" not in text_of(app)
        await pilot.resize_terminal(80, 24)
        await pilot.pause()
        assert "too small" not in text_of(app)
        assert "GPU 0" in text_of(app)


async def test_the_smallest_terminal_has_room_for_timeline_panel_and_keys() -> None:
    async with running(size=(40, 12)) as (app, _):
        lines = lines_of(app)
        assert "advisor trace" in lines[0]
        assert "GPU 0" in text_of(app)
        assert " at " in text_of(app)


async def test_an_export_that_fails_is_said_and_the_screen_goes_on(tmp_path: Path) -> None:
    async with running(options=TuiOptions(folder=tmp_path / "none")) as (app, pilot):
        await pilot.press("e")
        await app.workers.wait_for_complete()
        await pilot.pause()
        assert "Did not work: export" in notices(app)
        await pilot.press("plus")
        assert app.is_running


async def test_in_ascii_nothing_else_is_drawn() -> None:
    async with running(options=TuiOptions(ascii=True)) as (app, pilot):
        for key in ("plus", "2", "3", "enter", "4", "5", "6", "1"):
            await pilot.press(key)
            assert text_of(app).isascii()
        await pilot.press("question_mark")
        assert text_of(app).isascii()


async def test_names_are_shown_and_not_obeyed() -> None:
    bad = [f"\x1b[31m\u202e[b]{name}" for name in fakes.NAMES]
    async with running([fakes.track(fakes.training(names=bad))], size=(120, 40)) as (app, pilot):
        for key in ("z", "3", "enter", "1", "left_square_bracket", "2"):
            await pilot.press(key)
            assert not set(text_of(app)) & {"\x1b", "\u202e"}
        await pilot.press("3")
        assert "[b]synthetic_gemm" in text_of(app)


async def test_a_click_puts_the_cursor_there_and_the_wheel_zooms() -> None:
    async with running() as (app, pilot):
        await pilot.click("TimelineView", offset=(30, 4))
        assert scene_of(app).window.column(69) == 20
        await pilot.click("TimelineView", offset=(2, 4))
        assert scene_of(app).window.column(69) == 20


async def test_a_trace_without_a_device_says_so_and_shows_findings() -> None:
    document = make.make_diagnosis("host")
    async with running([], document=document) as (app, pilot):
        assert "No device ran anything" in text_of(app)
        await pilot.press("enter")
        assert isinstance(app.screen, FindingPage)


async def test_without_a_price_no_dollars_are_shown() -> None:
    tracks = [fakes.track()]
    document = fakes.diagnosis(tracks, price_usd_h=None)
    async with running(tracks, (120, 40), document) as (app, _):
        assert "no price: --price" in lines_of(app)[1]
        assert "$" not in text_of(app)


async def test_what_the_analysis_makes_of_two_files_is_shown_device_by_device() -> None:
    analysis = analyse(
        [fakes.training(devices=2), fakes.training(host=False)], lambda _timeline, _device: None
    )
    tracks = tracks_of(analysis)
    assert [(track.figures.file, track.figures.device) for track in tracks] == [(0, 0), (0, 1), (1, 0)]
    document = make.make_diagnosis("host", trace=analysis.report)
    async with running(tracks, (120, 40), document) as (app, pilot):
        for _ in tracks:
            await pilot.press("3", "4", "2", "tab")
        await pilot.press("shift+tab", "1", "left_square_bracket")
        assert "unknown: the trace has no CPU side" in text_of(app)
        assert "unknown, because the trace holds nothing of the host" in text_of(app)


def test_lanes_show_the_nature_of_kernels_that_no_table_lists() -> None:
    """Ten names, of which one is listed: every kernel of the lane has its own nature all the same."""
    timeline = fakes.training()
    bare, whole = (analyse([timeline], lambda _timeline, _device: None, top=top) for top in (1, 25))
    (track,), (other,) = tracks_of(bare), tracks_of(whole)
    assert len(track.figures.kernels) == 1 < len(other.figures.kernels)
    for lane, same in zip(track.streams, other.streams, strict=True):
        sums = {name: cover.spans.total_ns for name, cover in lane.covers.items()}
        assert sums == {name: cover.spans.total_ns for name, cover in same.covers.items()}
    ran = {name for lane in track.streams for name in lane.covers}
    assert ran == {name for name, us in track.figures.busy.items() if us} | (ran & {"copy", "communication"})


async def test_more_than_dram_carries_is_not_shown_as_its_part() -> None:
    (first, *_) = fakes.track().figures.kernels
    served = msgspec.structs.replace(first, memory_frac=1.35, compute_frac=None)
    async with running([fakes.track(kernels=(served,))], (120, 40)) as (app, pilot):
        await pilot.press("3")
        assert ">100 % M" in text_of(app)
        assert "135 %" not in text_of(app)


def test_an_unknown_theme_is_refused() -> None:
    with pytest.raises(ValueError, match="no theme is called 'nope'"):
        TraceApp([], make.make_diagnosis("host"), TuiOptions(theme="nope"))


def test_the_live_screen_never_loads_numpy() -> None:
    script = "import sys, advisor.tui.app, advisor.cli.screen; print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize(
    ("headline", "class_", "words"),
    [
        (
            "GPU 0 (X (80GB)) is host-bound: it waits, 48 % of the time.",
            "host",
            "it waits, 48 % of the time.",
        ),
        ("GPU 1 (X): what limits it is unknown: no data", "unknown", "what limits it is unknown: no data"),
        ("GPU 1 (X) is compute- or memory-bound: within", "unknown", "is compute- or memory-bound: within"),
        ("nothing of a device: here", "host", "nothing of a device: here"),
    ],
)
def test_the_headline_does_not_repeat_what_stands_beside_it(headline: str, class_: str, words: str) -> None:
    assert without_device(headline, class_) == words


def test_a_kernel_says_why_its_figures_are_unknown() -> None:
    row = fakes.kernels(fakes.training())[0]
    unknown = {"compute_frac": "no shapes", "memory_frac": "no shapes", "waves": "no grid"}
    row = msgspec.structs.replace(row, precision="bf16", tensor="used", unknown=unknown)
    assert kernel_note(row) == (
        "synthetic, bf16; tensor cores used; unknown compute, memory: no shapes; unknown waves: no grid"
    )
