"""Two pictures of the screen, for colour and style. Text is asserted elsewhere."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import textual
from textual.pilot import Pilot

from advisor.tui.app import AdvisorApp, TuiOptions
from tests.advisor.tui import fakes
from tests.advisor.tui.screen_text import until

pytestmark = pytest.mark.skipif(
    textual.__version__ != "8.2.8", reason="pictures are those of the pinned Textual, see pyproject.toml"
)

SnapCompare = Callable[..., bool]


async def drawn(pilot: Pilot[int]) -> None:
    """Wait for the first data."""
    app = pilot.app
    assert isinstance(app, AdvisorApp)
    await until(pilot, lambda: app.snapshot is not None, "the first snapshot")
    await pilot.pause()


def test_overview(snap_compare: SnapCompare) -> None:
    app = AdvisorApp(fakes.FakeSource(), TuiOptions(interval_s=0.02))
    assert snap_compare(app, terminal_size=(100, 30), run_before=drawn)


def test_stale_and_lost_in_light(snap_compare: SnapCompare) -> None:
    views = list(fakes.node().devices)
    views[0] = fakes.view_of(0, state="lost", state_reason="GPU is lost")
    node = fakes.node(devices=tuple(views), stale="driver not answering since 14:02:31")
    app = AdvisorApp(fakes.FakeSource(node), TuiOptions(interval_s=0.02, theme="light"))
    assert snap_compare(app, terminal_size=(80, 24), run_before=drawn)
