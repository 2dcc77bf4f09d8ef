"""Key s: a look inside the selected GPU's process, beside everything else the screen does."""

from __future__ import annotations

import msgspec
import pytest

from advisor.tui.app import AdvisorApp, TuiOptions
from advisor.tui.inside import whole_percents
from advisor.tui.screens.detail import DetailScreen
from rules.stacks import StackGroup, Stacks
from tests.advisor.tui import fakes
from tests.advisor.tui.screen_text import line_with, running, screen_lines, screen_text, until


def group(activity: str, frac: float, *, main: bool = True, thread: str = "MainThread") -> StackGroup:
    frame = f"{activity} (/opt/venv/lib/python3.12/site-packages/torch/utils/data/dataloader.py:1285)"
    return StackGroup(activity=activity, frac=frac, thread=thread, main=main, frame=frame)


SEEN = Stacks(
    pid=81234,
    tool="py-spy 0.4.3",
    samples=500,
    seconds=5.0,
    groups=(
        group("loader-wait", 0.62),
        group("launch", 0.31),
        group("idle", 1.0, main=False, thread="watchdog"),
        group("decode", 0.9, main=False, thread="\x1b[31mevil"),
    ),
)


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_a_look_shows_progress_and_then_where_the_thread_is(size: tuple[int, int]) -> None:
    source = fakes.FakeSource()
    source.inside = SEEN
    source.look_ends.clear()
    async with running(source, size=size) as (app, pilot):
        await pilot.press("j", "j", "j", "s")
        await until(pilot, lambda: bool(source.looked), "the look")
        await until(pilot, lambda: "py-spy samples its stacks" in screen_text(app), "progress")
        assert isinstance(app.screen, DetailScreen)
        await pilot.press("s", "space")
        await until(pilot, lambda: source.paused == [True], "other keys meanwhile")
        await pilot.press("space")
        source.look_ends.set()
        await until(pilot, lambda: "waits for the data loader" in screen_text(app), "the result")
        await until(pilot, lambda: "py-spy 0.4.3, pid 81234, 500 samples" in screen_text(app), "its source")
        assert len(source.looked) == 1
        assert "62%" in line_with(app, "waits for the data loader")
        assert "dataloader.py:1285" in screen_text(app)
        assert "which feeds the GPU" in screen_text(app)
        assert "watchdog" not in screen_text(app)
        assert "\x1b" not in screen_text(app)
        assert {len(line) for line in screen_lines(app)} == {size[0]}


async def test_why_there_is_none_is_said() -> None:
    source = fakes.FakeSource()
    async with running(source) as (app, pilot):
        await pilot.press("s")
        await until(pilot, lambda: "py-spy is not installed" in screen_text(app), "the reason")
        assert app.looking == set()


async def test_a_look_that_fails_ends_no_screen() -> None:
    class Broken(fakes.FakeSource):
        def look_inside(self, key: str, stop: object) -> Stacks:
            raise RuntimeError("boom")

    async with running(Broken()) as (app, pilot):
        await pilot.press("s")
        await until(pilot, lambda: "it failed: boom" in said(app), "the notice")
        assert app.looking == set()


def said(app: AdvisorApp) -> str:
    return " ".join(notice.message for notice in app._notifications)


async def test_leaving_ends_a_look() -> None:
    source = fakes.FakeSource()
    source.look_ends.clear()
    async with running(source) as (_, pilot):
        await pilot.press("s")
        await until(pilot, lambda: bool(source.looked), "the look")
        await pilot.press("q")


async def test_in_ascii_and_in_help() -> None:
    source = fakes.FakeSource()
    source.inside = SEEN
    async with running(source, TuiOptions(interval_s=0.02, ascii=True), size=(100, 50)) as (app, pilot):
        await pilot.press("s")
        await until(pilot, lambda: "waits for the data loader" in screen_text(app), "the result")
        assert screen_text(app).isascii()
        assert "s Stacks" in screen_lines(app)[-1]
        await pilot.press("question_mark")
        await pilot.pause()
        assert "py-spy" in line_with(app, "stacks: look inside")


@pytest.mark.parametrize(
    ("fracs", "percents"),
    [
        ((0.335, 0.335, 0.33), [34, 33, 33]),
        ((0.625, 0.255, 0.12), [63, 25, 12]),
        ((0.005, 0.995), [1, 99]),
        ((1.0,), [100]),
        ((0.62, 0.31), [62, 31]),
        ((), []),
    ],
)
def test_percents_of_a_thread_sum_to_what_its_shares_do(
    fracs: tuple[float, ...], percents: list[int]
) -> None:
    shown = whole_percents({str(number): frac for number, frac in enumerate(fracs)})
    assert list(shown.values()) == percents


async def test_a_thread_without_a_name_is_a_thread_once() -> None:
    source = fakes.FakeSource()
    source.inside = msgspec.structs.replace(SEEN, groups=(group("launch", 0.9, thread="thread 9763"),))
    async with running(source) as (app, pilot):
        await pilot.press("s")
        await until(pilot, lambda: "which feeds the GPU" in screen_text(app), "the result")
        assert "thread 9763, which" in screen_text(app)
        assert "thread thread" not in screen_text(app)
