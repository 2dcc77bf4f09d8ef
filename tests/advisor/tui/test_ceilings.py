"""Ceilings on the screens: header, counters, and the screen of probes."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from advisor.snapshot import Snapshot
from advisor.tui import banner
from advisor.tui.app import TuiOptions
from advisor.tui.counters import counter_rows
from advisor.tui.glyphs import UNICODE
from advisor.tui.probes import probe_command, probe_rows, quantity
from advisor.tui.rows import Row, text_of, width_of
from advisor.tui.screens.overview import OverviewScreen
from advisor.tui.screens.probes import ProbesScreen
from probes.ceilings import Ceiling, Ceilings
from tests import factories as make
from tests.advisor.tui import fakes
from tests.advisor.tui.screen_text import line_with, running, screen_lines, screen_text

replace = msgspec.structs.replace
OLD_DRIVER = "measured under driver 570.1, now it is 580.159"


def texts(rows: list[Row]) -> list[str]:
    return [text_of(line).rstrip() for line in rows]


def node(*ceilings: Ceilings | None, **changes: Any) -> Snapshot:
    """The synthetic node, its first GPUs with these ceilings and the rest as measured."""
    given = (*ceilings, *[make.make_measured()] * (8 - len(ceilings)))
    views = [fakes.view_of(gpu, ceilings=known) for gpu, known in enumerate(given)]
    return fakes.node(devices=tuple(views), **changes)


def header(snapshot: Snapshot, width: int = 160) -> Row:
    return banner.header_row(snapshot, width, UNICODE)


def roles(line: Row, words: str) -> str:
    return next(span.role for span in line if words in span.text)


# --- header -------------------------------------------------------------------------------------


def test_the_header_says_how_old_the_oldest_measurement_is() -> None:
    older = make.make_measured(measured_s=make.T0_S - 9 * 86400.0)
    assert "ceilings measured 9 d ago" in text_of(header(node(older)))


def test_one_stale_card_is_a_warning_with_its_reason_where_there_is_room() -> None:
    snapshot = node(make.make_measured(stale=OLD_DRIVER))
    wide, narrow = header(snapshot, 200), header(snapshot, 100)
    assert f"ceilings stale: {OLD_DRIVER}" in text_of(wide)
    assert "ceilings stale" in text_of(narrow)
    assert OLD_DRIVER not in text_of(narrow)
    assert {roles(wide, "stale"), roles(narrow, "stale")} == {"warn"}
    assert width_of(narrow) == 100


def test_a_warning_outlives_the_host_and_not_the_gpus() -> None:
    snapshot = node(make.make_measured(stale=OLD_DRIVER), hello=make.make_hello(synthetic=False))
    line = text_of(header(snapshot, 80))
    assert "8 × Simulated" in line and "ceilings stale" in line
    assert "host-7f3a9c21" not in line
    assert "8 × Simulated" in text_of(header(snapshot, 56))


@pytest.mark.parametrize(
    ("ceilings", "mode", "text"),
    [
        ((None,) * 8, "live", "ceilings unknown: run advisor probe"),
        ((make.make_ceilings(),) * 8, "live", "ceilings assumed: run advisor probe"),
        ((make.make_ceilings(),), "live", "ceilings assumed/measured: run advisor probe"),
        ((make.make_ceilings(measured_s=1.0),) * 8, "live", "ceilings partly measured: run advisor probe"),
        ((make.make_ceilings(),) * 8, "replay", "ceilings assumed"),
    ],
)
def test_what_is_not_measured_says_how_to_unless_it_is_a_recording(
    ceilings: tuple[Ceilings | None, ...], mode: Any, text: str
) -> None:
    line = text_of(header(node(*ceilings, mode=mode), 200))
    assert f"· {text} ·" in line


def test_a_hostile_reason_stays_text() -> None:
    line = text_of(header(node(make.make_measured(stale="\x1b[31m[red]x\n")), 200))
    assert line.isprintable()


# --- counters -----------------------------------------------------------------------------------


def test_the_counters_heading_says_age_and_staleness() -> None:
    view = fakes.view_of(0, ceilings=make.make_measured())
    assert "ceilings measured 2 d ago" in texts(counter_rows(view, 80, UNICODE))[0]
    stale = fakes.view_of(0, ceilings=make.make_measured(stale=OLD_DRIVER))
    rows = counter_rows(stale, 80, UNICODE)
    assert "ceilings stale, measured 2 d ago" in text_of(rows[0])
    assert text_of(rows[1]) == f"ceilings stale: {OLD_DRIVER}"
    assert roles(rows[1], "stale") == "warn"


# --- the screen of probes -----------------------------------------------------------------------


def test_each_ceiling_with_its_unit_spread_label_and_source() -> None:
    ceilings = (
        Ceiling(metric="dram_read", value=3.18e12, unit="bytes_s", label="measured", source="read kernel",
                p10=3.17e12, p90=3.19e12),
        Ceiling(metric="fp8", value=1.4e15, unit="flop_s", label="assumed", source="data sheet x 0.71"),
        Ceiling(metric="launch_interval", value=2.31e-6, unit="s", label="measured", source="\x1b[2J"),
    )  # fmt: skip
    view = fakes.view_of(0, ceilings=make.make_measured(ceilings=ceilings))
    rows = probe_rows(view, 120, UNICODE)
    lines = [" ".join(text_of(line).split()) for line in rows]
    assert "memory read 3.18 TB/s ± 0.3 % measured read kernel" in lines
    assert "fp8 GEMM 1.40 PFLOP/s assumed data sheet x 0.71" in lines
    assert any(line.startswith("kernel launch, back to back 2.31 µs measured") for line in lines)
    assert "DRAM (dram_active) 0.92 measured invented" in lines
    assert all(width_of(line) <= 120 and text_of(line).isprintable() for line in rows if line)


def test_a_figure_with_two_names_stands_once() -> None:
    copy = Ceiling(metric="dram_copy", value=3.0e12, unit="bytes_s", label="measured", source="torch copy_")
    both = (copy, replace(copy, metric="dram"), replace(copy, metric="pcie", value=5.5e10))
    view = fakes.view_of(0, ceilings=make.make_measured(ceilings=both))
    lines = texts(probe_rows(view, 80, UNICODE))
    assert len([line for line in lines if "3.00 TB/s" in line]) == 1
    assert any(line.startswith("PCIe copy") for line in lines)


def test_stale_figures_are_marked_one_by_one() -> None:
    view = fakes.view_of(0, ceilings=make.make_measured(stale=OLD_DRIVER))
    rows = probe_rows(view, 80, UNICODE)
    assert text_of(rows[2]) == f"ceilings stale: {OLD_DRIVER}"
    (copy,) = (line for line in rows if text_of(line).startswith("memory copy"))
    assert text_of(copy).split()[-1] == "stale"


def test_which_command_measures_which_device() -> None:
    whole = fakes.view_of(3)
    part = replace(whole, info=replace(whole.info, key="MIG-1", parent_key=whole.info.key))
    assert probe_command(whole) == "advisor probe --device 3"
    assert probe_command(part) == "advisor probe --device MIG-1"


def test_a_model_nothing_is_known_of_and_a_device_that_is_gone() -> None:
    lines = texts(probe_rows(fakes.view_of(0, ceilings=None), 80, UNICODE))
    assert "ceilings unknown" in lines[1]
    assert any("no data sheet" in line for line in lines)
    assert any("advisor probe --device 0" in line for line in lines)
    assert "Esc goes back" in texts(probe_rows(None, 80, UNICODE))[0]


def test_a_recording_says_that_it_is_not_this_node() -> None:
    lines = texts(probe_rows(fakes.view_of(0), 80, UNICODE, live=False))
    assert "On the recorded node, while nothing runs on this GPU:" in lines


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (3.0e12, "bytes_s", "3.00 TB/s"),
        (794e12, "flop_s", "794 TFLOP/s"),
        (301e-9, "s", "301 ns"),
        (0.5, "frac", "0.50"),
        (3.0, "\x1bfurlongs", "3 �furlongs"),
    ],
)
def test_quantities(value: float, unit: str, text: str) -> None:
    assert quantity(value, unit) == text


def probed() -> fakes.FakeSource:
    return fakes.FakeSource(node(make.make_ceilings(), make.make_measured(stale=OLD_DRIVER)))


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
async def test_p_shows_the_selected_gpus_ceilings(size: tuple[int, int]) -> None:
    async with running(probed(), size=size) as (app, pilot):
        assert "p Probes" in screen_lines(app)[-1]
        await pilot.press("p")
        await pilot.pause()
        lines = screen_lines(app)
        assert len(lines) == size[1]
        assert {len(line) for line in lines} == {size[0]}
        assert lines[1].startswith(" GPU 1")
        assert OLD_DRIVER in line_with(app, "ceilings stale: measured")
        assert "2.90 TB/s" in line_with(app, "memory copy")
        assert "advisor probe --device 1" in screen_text(app)
        assert "Nothing is measured from this screen" in " ".join(screen_text(app).split())
        assert "p Probes" not in lines[-1]
        await pilot.press("right")
        await pilot.pause()
        assert screen_lines(app)[1].startswith(" GPU 2")
        assert "2 d ago" in line_with(app, "ceilings measured 2 d")
        await pilot.press("escape")
        await pilot.pause()
        assert isinstance(app.screen, OverviewScreen)


async def test_p_follows_the_detail_screen_and_opens_once() -> None:
    async with running(probed()) as (app, pilot):
        await pilot.press("enter", "right", "p")
        await pilot.pause()
        assert screen_lines(app)[1].startswith(" GPU 2")
        await pilot.press("f", "p", "p")
        await pilot.pause()
        assert isinstance(app.screen, ProbesScreen)
        assert len([screen for screen in app.screen_stack if isinstance(screen, ProbesScreen)]) == 1


async def test_p_on_a_finding_is_about_its_gpu() -> None:
    async with running(probed()) as (app, pilot):
        await pilot.press("f", "j", "p")
        await pilot.pause()
        assert screen_lines(app)[1].startswith(" GPU 2")


async def test_p_without_any_gpu() -> None:
    empty = fakes.node(devices=(), diagnosis=make.make_diagnosis(verdicts=[], findings=[]))
    async with running(fakes.FakeSource(empty)) as (app, pilot):
        await pilot.press("p")
        await pilot.pause()
        assert "no GPU is selected" in screen_text(app)


async def test_probes_in_ascii() -> None:
    async with running(probed(), TuiOptions(interval_s=0.02, ascii=True)) as (app, pilot):
        await pilot.press("p")
        await pilot.pause()
        assert screen_text(app).isascii()


async def test_help_names_the_key() -> None:
    async with running(probed(), size=(100, 50)) as (app, pilot):
        await pilot.press("question_mark")
        await pilot.pause()
        assert "how to measure them" in line_with(app, "probes: the selected GPU's ceilings")


async def test_the_palette_has_it() -> None:
    async with running(probed()) as (app, _):
        assert "Probes" in {command.title for command in app.get_system_commands(app.screen)}
