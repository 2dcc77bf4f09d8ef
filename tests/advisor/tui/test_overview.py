"""The overview, used by keys."""

from __future__ import annotations

import msgspec
import pytest

from advisor.tui.app import AdvisorApp, TuiOptions
from advisor.tui.screens.overview import OverviewScreen
from tests import factories as make
from tests.advisor.tui import fakes
from tests.advisor.tui.screen_text import line_with, running, screen_lines, screen_text, until

replace = msgspec.structs.replace


def selected(lines: list[str]) -> str:
    """The GPU index on the row under the cursor."""
    (line,) = (line for line in lines if line.startswith("▸"))
    return line.split()[1]


def color_of(app: AdvisorApp, words: str) -> object:
    """The colour in which the first piece of text that contains the words is drawn."""
    segments = (segment for strip in app.screen._compositor.render_strips() for segment in strip)
    return next(segment.style.color for segment in segments if words in segment.text and segment.style)


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
async def test_one_look_answers_at_each_size(size: tuple[int, int]) -> None:
    async with running(fakes.FakeSource(), size=size) as (app, _):
        lines = screen_lines(app)
        assert len(lines) == size[1]
        assert {len(line) for line in lines} == {size[0]}
        assert "SYNTHETIC" in lines[0]
        assert "LIVE  22:14:20" in lines[0]
        assert lines[1].startswith(" $41.17 of $55.04")
        assert "wasted (75 %), $10.75 to $21.20 recoverable" in lines[1]
        host_bound = line_with(app, "train_vit")
        assert "HOST" in host_bound
        assert "▒▒▒" in host_bound
        assert " 0.94 " in host_bound
        assert host_bound.rstrip().endswith("5.15")
        assert "IDLE002 on GPU 1" in line_with(app, "Do first")
        assert "CPU 49 %" in line_with(app, " host  CPU")
        assert "q Quit" in lines[-1]
        assert all(f" {gpu} " in screen_text(app) for gpu in range(8))


async def test_a_wide_screen_shows_more_of_the_selected_gpu() -> None:
    async with running(fakes.FakeSource(), size=(200, 60)) as (app, pilot):
        await pilot.press("j", "j", "j")
        await pilot.pause()
        text = screen_text(app)
        assert "─ GPU 2 NVIDIA Simulated X100 80GB" in text
        for words in (
            "where the time went",
            "counters against ceilings",
            "HOST003",
            "price per hour",
            "processes",
        ):
            assert words in text


async def test_arrows_and_letters_move_and_stop_at_both_ends() -> None:
    async with running(fakes.FakeSource()) as (app, pilot):
        assert selected(screen_lines(app)) == "1"
        await pilot.press("up", "k")
        assert selected(screen_lines(app)) == "1"
        await pilot.press("down", "j", "j")
        await pilot.pause()
        assert selected(screen_lines(app)) == "2"
        await pilot.press("end", "down")
        await pilot.pause()
        assert selected(screen_lines(app)) == "3"


async def test_selection_and_order_survive_updates() -> None:
    source = fakes.FakeSource()
    async with running(source) as (app, pilot):
        await pilot.press("j", "j", "j")
        for tick in range(61, 66):
            source.now = fakes.node(tick)
            await until(pilot, lambda: app.snapshot is source.now, "the next tick")
            assert selected(screen_lines(app)) == "2"


async def test_selection_moves_on_when_its_row_is_gone() -> None:
    source = fakes.FakeSource()
    async with running(source) as (app, pilot):
        await pilot.press("j", "j", "j")
        left = tuple(view for view in source.now.devices if view.info.index != 2)
        source.now = replace(source.now, devices=left)
        await until(pilot, lambda: app.snapshot is source.now, "the next tick")
        assert selected(screen_lines(app)) == "7"


async def test_sort_cycles_and_keeps_the_selection() -> None:
    async with running(fakes.FakeSource()) as (app, pilot):
        await pilot.press("j", "j", "j", "o")
        await pilot.pause()
        screen = app.screen
        assert isinstance(screen, OverviewScreen)
        assert screen.table.keys == [make.device_key(gpu) for gpu in range(8)]
        assert "sort: index" in screen_text(app)
        assert selected(screen_lines(app)) == "2"
        await pilot.press("o", "o")
        await pilot.pause()
        assert screen.table.keys[0] == make.device_key(1)


async def test_filter_by_typing_then_clear() -> None:
    async with running(fakes.FakeSource()) as (app, pilot):
        await pilot.press("slash", *"llm", "enter")
        await pilot.pause()
        text = screen_text(app)
        assert "train_llm" in text
        assert "train_vit" not in text
        assert 'filter "llm": 3 of 8' in text
        await pilot.press("escape")
        await pilot.pause()
        assert "train_vit" in screen_text(app)


async def test_letters_typed_into_the_filter_are_not_commands() -> None:
    async with running(fakes.FakeSource()) as (app, pilot):
        await pilot.press("slash", *"qerf")
        await pilot.pause()
        assert isinstance(app.screen, OverviewScreen)
        assert app.screen.needle == "qerf"
        assert 'no GPU matches "qerf"' in screen_text(app)
        await pilot.press("escape")
        await pilot.pause()
        assert app.screen.needle == ""
        await pilot.press("down")
        await pilot.pause()
        assert selected(screen_lines(app)) == "6"


async def test_stale_data_looks_stale() -> None:
    source = fakes.FakeSource(fakes.node(stale="driver not answering since 14:02:31"))
    async with running(source) as (app, pilot):
        assert "STALE" in screen_lines(app)[0]
        assert screen_lines(app)[1].startswith(" driver not answering since 14:02:31")
        stale = color_of(app, "jupyter-lab")
        source.now = fakes.node(61)
        await until(pilot, lambda: app.snapshot is source.now, "fresh data")
        assert color_of(app, "jupyter-lab") != stale
        assert "STALE" not in screen_lines(app)[0]
        assert screen_lines(app)[1].startswith(" $")


async def test_a_lost_gpu_leaves_the_others() -> None:
    views = list(fakes.node().devices)
    views[0] = replace(views[0], state="lost", state_reason="GPU is lost: XID 79")
    async with running(fakes.FakeSource(fakes.node(devices=tuple(views)))) as (app, _):
        assert "GPU is lost: XID 79" in line_with(app, "LOST")
        assert "HOST" in line_with(app, "train_vit")


async def test_the_demo_says_why_it_is_shown() -> None:
    source = fakes.FakeSource(fakes.node(mode="demo", reason="no NVIDIA driver found: showing the demo"))
    async with running(source) as (app, _):
        assert "REPLAY" in screen_lines(app)[0]
        assert "no NVIDIA driver found" in screen_lines(app)[1]


async def test_no_gpu_is_said() -> None:
    source = fakes.FakeSource(make.make_snapshot(diagnosis=make.make_diagnosis(verdicts=[], findings=[])))
    async with running(source) as (app, pilot):
        assert "no GPU is visible" in screen_text(app)
        await pilot.press("enter", "down", "o", "s")
        assert isinstance(app.screen, OverviewScreen)


async def test_more_rows_than_lines_scroll_to_the_cursor() -> None:
    parent = fakes.view_of(2)
    views = tuple(
        replace(parent, info=replace(parent.info, key=f"MIG-{gi}", mig_profile="1g.10gb", gi_id=gi))
        for gi in range(40)
    )
    async with running(fakes.FakeSource(fakes.node(devices=views))) as (app, pilot):
        assert "2:0 " in screen_text(app)
        assert "2:39" not in screen_text(app)
        await pilot.press("end")
        await pilot.pause()
        assert selected(screen_lines(app)) == "2:39"
        assert "q Quit" in screen_lines(app)[-1]


async def test_ascii_mode_shows_nothing_beyond_ascii() -> None:
    options = TuiOptions(ascii=True, interval_s=0.02)
    for keys in ([], ["enter"], ["f"], ["dollar_sign"], ["question_mark"], ["slash"], ["f", "x"]):
        async with running(fakes.FakeSource(), options, size=(120, 40)) as (app, pilot):
            await pilot.press(*keys)
            await pilot.pause()
            assert screen_text(app).isascii(), keys


@pytest.mark.parametrize("theme", ["dark", "light", "ansi", "nord"])
async def test_themes(theme: str) -> None:
    async with running(fakes.FakeSource(), TuiOptions(theme=theme, interval_s=0.02)) as (app, pilot):
        await pilot.press("enter", "escape", "f")
        await pilot.pause()
        assert "IDLE002" in screen_text(app)


async def test_the_bars_read_without_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    async with running(fakes.FakeSource()) as (app, _):
        assert app.no_color
        assert "▒▒▒░░▓▓▓█" in line_with(app, "train_vit")


async def test_a_click_selects_and_a_double_click_opens() -> None:
    async with running(fakes.FakeSource()) as (app, pilot):
        table = app.screen.query_one("GpuTable")
        await pilot.click(table, offset=(10, 4))
        await pilot.pause()
        assert selected(screen_lines(app)) == "2"
        await pilot.click(table, offset=(10, 4), times=2)
        await pilot.pause()
        assert "GPU 2" in screen_lines(app)[1]


async def test_until_a_key_is_pressed_the_cursor_is_on_the_first_row() -> None:
    source = fakes.FakeSource(fakes.node(gpus=1))
    async with running(source) as (app, pilot):
        assert selected(screen_lines(app)) == "0"
        source.now = fakes.node(61)
        await until(pilot, lambda: app.snapshot is source.now, "all GPUs")
        assert selected(screen_lines(app)) == "1"


async def test_another_size_lays_the_table_out_again_and_keeps_the_selection() -> None:
    async with running(fakes.FakeSource()) as (app, pilot):
        await pilot.press("j", "j", "j")
        await pilot.resize_terminal(160, 50)
        await pilot.pause()
        assert "mem GiB" in screen_text(app)
        assert selected(screen_lines(app)) == "2"
