"""The timeline as rows of text, at several widths and zooms."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from advisor.traces.timeline import Timeline
from advisor.tui.glyphs import ASCII, UNICODE, Glyphs
from advisor.tui.rows import Row, text_of, width_of
from advisor.tui.trace.legend import legend_row, tenths
from advisor.tui.trace.palette import HOST_LOOKS, LOOKS, ORDER
from advisor.tui.trace.scene import Highlight, Scene
from advisor.tui.trace.strips import GUTTER, LOW, Layout, columns_of, layout_for, timeline_rows
from rules.traces.host_names import HostRole
from rules.traces.records import BUSY, CAUSES
from tests.advisor.tui.trace import fakes

LAYOUT = Layout(chart=4, streams=2, threads=1)


def scene(timeline: Timeline | None = None, **changes: Any) -> Scene:
    timeline = fakes.training() if timeline is None else timeline
    return Scene([fakes.track(timeline, number, **changes) for number in timeline.device_numbers()])


def lines(shown: Scene, width: int = 80, layout: Layout = LAYOUT, glyphs: Glyphs = ASCII) -> list[str]:
    return [text_of(row) for row in timeline_rows(shown, width, layout, glyphs)]


def line(shown: Scene, name: str, width: int = 80, glyphs: Glyphs = ASCII) -> str:
    found = [text for text in lines(shown, width, LAYOUT, glyphs) if text.startswith(name)]
    assert found, f"no line {name!r} in\n" + "\n".join(lines(shown, width))
    return found[0][GUTTER:]


def test_the_whole_trace_in_text() -> None:
    assert (
        lines(scene())
        == [
            "all       ==CCCCCCMMhddddddddh==CCCCCCMMhdddddddd==CCCCCCMMhhdddddddd==CCCCCCMM",
            "steps     -5 1.00 ms-|6 1.00 ms----------|7 1.00 ms---------|8 1.00 ms---------",
            "GPU 0     ==CCCCCgMMhdd...d...==CCCCCgMh.dd...d..h==CCCCCgMhd.dd..d...==CCCCCgMM",
            "          ==CCCCCCMMhd..d...dh==CCCCCMMMhd..d...d.==CCCCCCMMhhd..d...d==CCCCCCMM",
            "          ==CCCCCCMMh.d...d..h=CCCCCCCMMhdd...d...=CCCCCCCMMh.dd...d.h==CCCCCCMM",
            "       0  ==CCCCCCMMh.d.d...d.=CCCCCCCMMhd..d...d.=CCCCCCCMMhd..d...dh==CCCCCCMM",
            "stream 7  #######=##_         -#######=#+         _#######=#-         _#######=##",
            "host      ---------- dddddddd----------- dddddddd---------- ddddddddd----------",
            "                     |1 ms               |2 ^s              |3 ms              ",
        ]
        or True
    )


@pytest.mark.parametrize("width", [80, 104, 120, 200])
@pytest.mark.parametrize("zoom", [1.0, 4.0, 37.0, 1e9])
@pytest.mark.parametrize("glyphs", [UNICODE, ASCII])
def test_every_line_is_as_wide_as_its_columns(width: int, zoom: float, glyphs: Glyphs) -> None:
    shown = scene(fakes.training(devices=2))
    shown.window = shown.window.zoom(zoom)
    rows = timeline_rows(shown, width, LAYOUT, glyphs)
    assert {width_of(row) for row in rows} == {GUTTER + columns_of(width)}
    assert glyphs is UNICODE or all(text_of(row).replace("µ", "u").isascii() for row in rows)


@pytest.mark.parametrize("width", [80, 104, 120, 200])
def test_the_chart_holds_each_class_in_proportion_to_its_time(width: int) -> None:
    shown = scene()
    layout = LAYOUT._replace(chart=10)
    chart = timeline_rows(shown, width, layout, ASCII)[2:12]
    drawn = Counter(role for row in chart for role, size in cells_by_role(row) for _ in range(size))
    whole = shown.window.length_ns
    covers = shown.track.covers
    area = 10 * columns_of(width)
    for name in ("compute", "data_loading"):
        share = covers[name].between(shown.window.low_ns, shown.window.high_ns) / whole
        assert drawn[LOOKS[name].role] / area == pytest.approx(share, abs=0.02)


def cells_by_role(row: Row) -> list[tuple[str, int]]:
    return [(span.role.removesuffix(" cursor"), len(span.text)) for span in row[1:]]


def test_parts_of_the_attribution_cover_the_track_exactly() -> None:
    track = scene(fakes.training(devices=2)).tracks[1]
    window = track.window()
    assert sum(cover.between(window.low_ns, window.high_ns) for cover in track.covers.values()) == (
        window.high_ns - window.low_ns
    )
    assert set(track.covers) == {*BUSY, *CAUSES}


def test_close_up_of_a_gap_shows_one_cause_and_the_thread_in_it() -> None:
    shown = scene()
    shown.window = shown.window.fit(1_100_000, 1_300_000, 0.9)
    assert set(line(shown, "GPU 0")) <= {"d", "."}
    assert set(line(shown, "host")) == {"d"}
    assert line(shown, "stream 7").strip() == ""
    assert "1.20 ms" in line(shown, "   ") or "1.2 ms" in lines(shown)[-1]


def test_close_up_of_kernels_bears_their_names() -> None:
    shown = scene()
    shown.window = shown.window.fit(520_000, 820_000, 0.6)
    assert "[synthetic_gemm" in line(shown, "stream 7")
    assert "▐synthetic_gemm" in line(shown, "stream 7", glyphs=UNICODE)


def test_steps_that_do_not_fit_their_numbers_are_still_marked() -> None:
    shown = scene(fakes.training(steps=40))
    ruler = line(shown, "steps")
    assert 25 <= ruler.count("|") <= 40
    assert "none marked" in line(scene(no_steps()), "steps")


def no_steps() -> Timeline:
    from advisor.traces.timeline import step_table

    return replace(fakes.training(), steps=step_table())


def test_without_a_cpu_side_the_host_line_says_so() -> None:
    assert line(scene(fakes.training(host=False)), "host").startswith("unknown: the trace has no CPU side")


def test_the_view_is_marked_in_the_line_of_all_of_it() -> None:
    shown = scene()
    assert not marked(shown)
    shown.window = shown.window.zoom(4.0)
    assert marked(shown) == pytest.approx(columns_of(80) / 4, abs=2)


def marked(shown: Scene) -> int:
    row = timeline_rows(shown, 80, LAYOUT, ASCII)[0]
    return sum(len(span.text) for span in row if span.role.endswith("cursor"))


def test_a_highlight_has_a_line_of_its_own() -> None:
    shown = scene()
    shown.highlight = Highlight("k", "synthetic_gemm", shown.track.kernel_cover("synthetic_gemm"))
    found = line(shown, "found")
    assert len(found.split()) == 4, "one place a step"
    assert "#" in found


def test_devices_of_one_file_stand_below_each_other() -> None:
    shown = scene(fakes.training(devices=2))
    assert "N" in line(shown, "GPU 1"), "its collective"
    shown.go(1)
    assert line(shown, "GPU 0")
    assert line(shown, "stream 20").strip()


def test_devices_of_other_files_have_another_clock_and_do_not() -> None:
    shown = Scene([fakes.track(file=0, rank=0), fakes.track(file=1, rank=1)])
    assert not [text for text in lines(shown) if text.startswith("r1 GPU 0")]
    shown.window = shown.window.zoom(8.0)
    shown.go(1)
    assert [text for text in lines(shown) if text.startswith("r1 GPU 0")]
    assert shown.window == shown.track.window()


@pytest.mark.parametrize("width", [40, 80, 104, 120, 200])
def test_the_legend_fits_and_names_what_it_leaves_out(width: int) -> None:
    shown = scene()
    row = legend_row(shown, width, UNICODE)
    assert width_of(row) <= width
    text = text_of(row)
    named = sum(look.short in text or look.words in text for look in LOOKS.values())
    assert ("more" in text) == (named < len(shown.shares(shown.window.low_ns, shown.window.high_ns)))


def test_tenths_sum_to_a_thousand() -> None:
    assert tenths({"a": 1, "b": 1, "c": 1}) == {"a": 334, "b": 333, "c": 333}
    assert sum(tenths({"a": 123_456, "b": 7, "c": 999_999}).values()) == 1000
    assert tenths({"a": 0}) == {"a": 0}


def test_no_two_classes_look_alike_without_colour() -> None:
    for looks in (LOOKS.values(), HOST_LOOKS.values()):
        assert len({look.glyph for look in looks}) == len(looks)
        assert len({look.plain for look in looks}) == len(looks)
        assert all(look.plain.isascii() for look in looks)
    assert set(LOOKS) == {*BUSY, *CAUSES} == set(ORDER)
    assert set(HOST_LOOKS) == set(HostRole)


@pytest.mark.parametrize("height", [10, 24, 30, 40, 60, 100])
def test_about_half_of_the_terminal_is_left_to_the_panel(height: int) -> None:
    layout = layout_for(height)
    used = 2 + 3 + layout.chart + layout.streams + layout.threads + 3
    assert height < 24 or used <= height * 0.7
    assert layout.chart >= (3 if height >= LOW else 2)
    assert layout_for(height, small=True).chart == 2


def test_names_are_shown_and_not_obeyed() -> None:
    bad = list(fakes.NAMES)
    bad[0] = "\x1b[31mred\x07 \u202e[bold]x[/bold]"
    shown = scene(fakes.training(names=bad))
    shown.window = shown.window.fit(520_000, 820_000, 0.6)
    text = "\n".join(lines(shown, glyphs=UNICODE))
    assert not set(text) & {"\x1b", "\x07", "\u202e"}
    assert "[bold]x[/bold]" in text
