"""One picture of the trace screen, for colour and style. Text is asserted elsewhere."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import textual

from advisor.tui.app import TuiOptions
from advisor.tui.trace.app import TraceApp
from tests.advisor.tui.trace import fakes

pytestmark = pytest.mark.skipif(
    textual.__version__ != "8.2.8", reason="pictures are those of the pinned Textual, see pyproject.toml"
)


def test_two_devices_in_light(snap_compare: Callable[..., bool]) -> None:
    timeline = fakes.training(devices=2)
    tracks = [fakes.track(timeline, 0), fakes.track(timeline, 1)]
    app = TraceApp(tracks, fakes.diagnosis(tracks), TuiOptions(theme="light"))
    assert snap_compare(app, terminal_size=(100, 34), press=["plus", "2", "enter"])
