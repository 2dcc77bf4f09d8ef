"""What a person would read on the screen, as lines of text."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from textual.pilot import Pilot

from advisor.tui.app import AdvisorApp, TuiOptions
from tests.advisor.tui.fakes import FakeSource

DEADLINE_S = 10.0


def screen_lines(app: AdvisorApp) -> list[str]:
    """The screen's rows, exactly as wide as the terminal."""
    strips = app.screen._compositor.render_strips()
    return ["".join(segment.text for segment in strip) for strip in strips]


def screen_text(app: AdvisorApp) -> str:
    """The screen as one string."""
    return "\n".join(screen_lines(app))


def line_with(app: AdvisorApp, words: str) -> str:
    """The first row that contains the words."""
    found = [line for line in screen_lines(app) if words in line]
    assert found, f"{words!r} is not on the screen:\n{screen_text(app)}"
    return found[0]


async def until(pilot: Pilot[int], true: Callable[[], bool], what: str) -> None:
    """Wait for something that a thread brings about."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + DEADLINE_S
    while not true():
        if loop.time() > deadline:
            app = pilot.app
            assert isinstance(app, AdvisorApp)
            raise AssertionError(f"{what} did not happen:\n{screen_text(app)}")
        await asyncio.sleep(0.01)
    await pilot.pause()


@asynccontextmanager
async def running(
    source: FakeSource,
    options: TuiOptions | None = None,
    size: tuple[int, int] = (80, 24),
    *,
    notices: bool = False,
) -> AsyncIterator[tuple[AdvisorApp, Pilot[int]]]:
    """The app with its first data drawn. The source is asked every 20 ms. notices: draw them too."""
    app = AdvisorApp(source, options or TuiOptions(interval_s=0.02))
    async with app.run_test(size=size, notifications=notices) as pilot:
        await until(pilot, lambda: app.snapshot is not None, "the first snapshot")
        await pilot.pause()
        yield app, pilot
