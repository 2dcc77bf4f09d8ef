"""Charts: sound SVG that a page can embed and recolour, images that open, and figures that say the same."""

from __future__ import annotations

import re
import struct
import xml.etree.ElementTree as ET
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure

from advisor.document import Diagnosis, TimeSeries
from advisor.reports.charts.catalogue import charts_of, slugs
from advisor.reports.charts.drawing import PNG_DPI, Chart, Footer, label
from advisor.reports.charts.footer import footer
from advisor.reports.charts.palette import LIGHT, ROLE_OF
from advisor.reports.figures import instant
from advisor.reports.png import Image, image_links, write_images
from tests.advisor.reports.illustrated import illustrated, make_observed, make_series
from tests.advisor.reports.nasty import ALL, nasty
from tests.factories import make_diagnosis, make_verdict

SVG = "{http://www.w3.org/2000/svg}"
PNG = b"\x89PNG\r\n\x1a\n"


def parsed(text: str) -> ET.Element:
    return ET.fromstring(text)  # noqa: S314 - our own


def named(document: Diagnosis) -> dict[str, Chart]:
    return {chart.name: chart for chart in charts_of(document)}


@pytest.fixture(scope="module")
def drawn() -> dict[str, str]:
    """Every chart of a node of two."""
    return {chart.name: chart.svg() for chart in charts_of(illustrated(2))}


def test_which_charts_there_are(drawn: dict[str, str]) -> None:
    each = ("shares", "power", "roofline")
    assert list(drawn) == ["ladder", "gpus", *(f"gpu{i}-{name}" for i in (0, 1) for name in each)]


def test_svg_is_sound_and_has_a_name_for_those_who_cannot_see_it(drawn: dict[str, str]) -> None:
    for name, text in drawn.items():
        root = parsed(text)
        assert root.get("role") == "img"
        title, desc = root.findall(f"{SVG}title")[0], root.findall(f"{SVG}desc")[0]
        assert root.get("aria-labelledby") == f"{title.get('id')} {desc.get('id')}"
        assert title.text
        assert desc.text
        assert all(value.startswith(name) for e in root.iter() if (value := e.get("id")) is not None)


def test_svg_has_text_and_no_styles(drawn: dict[str, str]) -> None:
    for text in drawn.values():
        root = parsed(text)
        assert root.findall(f".//{SVG}text")
        assert root.findall(f".//{SVG}style") == []
        assert all("style" not in e.attrib for e in root.iter())
        assert "<metadata" not in text
        assert "<!DOCTYPE" not in text


def test_every_colour_has_a_role_and_its_class(drawn: dict[str, str]) -> None:
    for text in drawn.values():
        for element in parsed(text).iter():
            classes = (element.get("class") or "").split()
            for key, prefix in (("fill", "f"), ("stroke", "s")):
                colour = element.get(key)
                if colour is not None and colour.startswith("#"):
                    assert f"{prefix}-{ROLE_OF[colour]}" in classes


def test_references_stay_within_a_chart(drawn: dict[str, str]) -> None:
    for text in drawn.values():
        ids = set(re.findall(r' id="([^"]+)"', text))
        used = set(re.findall(r'href="#([^"]+)"', text)) | set(re.findall(r"url\(#([^)]+)\)", text))
        assert used <= ids


def test_the_ladder_says_its_dollars() -> None:
    text = named(make_diagnosis("host"))["ladder"].svg()
    said = [e.text for e in parsed(text).iter(f"{SVG}text")]
    assert "$6.88 · 100 %" in said
    assert "host gap" in said
    assert "useful" in said


def test_without_a_price_the_ladder_says_shares() -> None:
    chart = named(make_diagnosis("host", price_usd_h=None))["ladder"]
    assert "$" not in chart.svg()
    assert chart.title == "Where the paid time goes"


def test_charts_that_have_nothing_to_show_are_left_out() -> None:
    verdict = make_verdict("memory")
    bare = make_observed(verdict, series=None, ceilings=None)
    assert list(named(make_diagnosis(verdicts=(verdict,), observed=(bare,)))) == ["ladder"]


def test_a_gap_in_the_data_is_a_gap_in_the_chart() -> None:
    verdict = make_verdict("memory")
    whole = make_series(verdict)
    late = msgspec.structs.replace(whole, t_s=(*whole.t_s[:6], *(t + 60.0 for t in whole.t_s[6:])))
    charts = [
        named(make_diagnosis(verdicts=(verdict,), observed=(make_observed(verdict, series=series),)))
        for series in (whole, late)
    ]
    lines = [re.findall(r'd="(M [^"]*)"[^>]*class="s-price"', c["gpu0-power"].svg()) for c in charts]
    assert [[line.count("M") for line in found] for found in lines] == [[1, 1], [2, 2]]


# Shrinking would draw hundreds of charts.
NO_SHRINKING = (Phase.explicit, Phase.reuse, Phase.generate)
columns = st.lists(st.floats(0.0, 1.0), min_size=0, max_size=4).map(tuple)


@given(
    series=st.builds(
        TimeSeries,
        t_s=st.lists(st.floats(0, 1e6), max_size=4).map(tuple),
        duration_s=st.lists(st.floats(0, 100), max_size=4).map(tuple),
        shares=st.dictionaries(st.sampled_from(("host", "memory", "device")), columns),
        useful_frac=columns,
        figures=st.dictionaries(st.sampled_from(("power_w", "sm_mhz", "gr_active", "dram_active")), columns),
    )
)
@settings(max_examples=25, phases=NO_SHRINKING)
def test_columns_that_do_not_fit_are_no_chart_and_no_crash(series: TimeSeries) -> None:
    verdict = make_verdict("memory", pipe="hmma")
    document = make_diagnosis(verdicts=(verdict,), observed=(make_observed(verdict, series=series),))
    for chart in charts_of(document):
        if chart.name != "ladder":
            parsed(chart.svg())


def test_a_key_that_occurs_twice_is_drawn_once() -> None:
    verdict = make_verdict("memory", pipe="hmma")
    twice = (verdict, msgspec.structs.replace(verdict, gpu=1))
    document = make_diagnosis(verdicts=twice, observed=(make_observed(verdict),))
    names = [chart.name for chart in charts_of(document) if chart.key]
    assert len(names) == len(set(names)) == 3


def test_slugs_tell_slices_apart() -> None:
    verdicts = (make_verdict(gpu=0), make_verdict(gpu=1, mig="a"), make_verdict(gpu=1, mig="../b"))
    assert list(slugs(make_diagnosis(verdicts=verdicts)).values()) == ["gpu0", "gpu1-1", "gpu1-2"]


@pytest.mark.parametrize("words", ALL)
def test_labels_are_short_ascii(words: str) -> None:
    shown = label(words)
    assert shown.isascii()
    assert shown.isprintable()
    assert len(shown) <= 28


def test_images_open_and_are_the_owners_alone(tmp_path: Path) -> None:
    made = write_images(make_diagnosis("host"), tmp_path / "report.html")
    assert [image.name for image in made] == ["report-ladder.png"]
    path = tmp_path / "report-ladder.png"
    raw = path.read_bytes()
    assert raw.startswith(PNG)
    width, height = struct.unpack(">II", raw[16:24])
    assert width > 800
    assert height > 200
    assert path.stat().st_mode & 0o077 == 0


def test_settings_of_the_user_change_nothing() -> None:
    import matplotlib as mpl

    first = named(make_diagnosis("host"))["ladder"].svg()
    with mpl.rc_context({"font.size": 20.0, "axes.grid": True, "lines.linewidth": 5.0}):
        assert named(make_diagnosis("host"))["ladder"].svg() == first
        assert mpl.rcParams["font.size"] == 20.0


def test_images_are_the_same_each_time() -> None:
    said = Footer(facts=("host x",))
    first, second = (named(make_diagnosis("host"))["ladder"].png(said) for _ in range(2))
    assert first == second


def said_below(document: Diagnosis, key: str | None = None) -> str:
    made = footer(document, key)
    return " ".join((*made.marks, *made.facts))


def test_an_image_alone_says_where_its_figures_come_from() -> None:
    document = illustrated(2)
    p = document.provenance
    row = document.ladder[0]
    said = said_below(document)
    assert p.host in said and instant(p.t_end_s) in said
    assert row.price_source in said and f"price ({row.basis})" in said
    assert "ceilings assumed" in said
    assert document.provenance.devices[0].name in said_below(document, row.key)


@pytest.mark.parametrize(
    ("change", "mark"),
    [
        ({"synthetic": True}, "SYNTHETIC DATA"),
        ({"source": "demo"}, "DEMO"),
        ({"source": "replay"}, "REPLAY"),
        ({}, None),
    ],
)
def test_an_image_alone_says_what_its_data_is(change: dict[str, Any], mark: str | None) -> None:
    document = illustrated(1)
    provenance = {"synthetic": False, "source": "live", **change}
    document = msgspec.structs.replace(
        document, provenance=msgspec.structs.replace(document.provenance, **provenance)
    )
    marks = " ".join(footer(document, None).marks)
    assert mark in marks if mark is not None else marks == ""


def test_prices_below_a_chart_are_those_of_its_device() -> None:
    document = illustrated(2)
    bare = msgspec.structs.replace(document.ladder[1], price_usd_h=None, terms=None, price_source="")
    document = msgspec.structs.replace(document, ladder=(document.ladder[0], bare))
    assert "no price is known" in said_below(document, bare.key)
    assert "no price is known" not in said_below(document, document.ladder[0].key)


@pytest.mark.parametrize("document", [illustrated(1), nasty()])
def test_what_stands_below_an_image_is_inside_it_and_below_the_chart(document: Diagnosis) -> None:
    for chart in charts_of(document)[:4]:
        kept: list[Figure] = []
        below = footer(document, chart.key)
        msgspec.structs.replace(chart, draw=partial(_kept, chart, kept)).png(below)
        drawn = kept[0]
        drawn.set_dpi(PNG_DPI)
        whole = drawn.get_window_extent()
        lines = [text for text in drawn.texts if text.get_text() in (*below.marks, *below.facts)]
        assert len(lines) == len(below.marks) + len(below.facts) > 0
        boxes = [line.get_window_extent() for line in lines]
        assert all(box.x1 <= whole.x1 and box.y0 >= whole.y0 for box in boxes)
        top = max(box.y1 for box in boxes)
        assert all(tight.y0 >= top for ax in drawn.axes if (tight := ax.get_tightbbox()) is not None)


def _kept(chart: Chart, kept: list[Figure]) -> Figure:
    kept.append(chart.draw())
    return kept[-1]


def test_links_to_images_in_both_dialects() -> None:
    document = make_diagnosis("host")
    images = [type(i)(name="re port|x.png", title=i.title) for i in _made(document)]
    assert image_links(images, "github") == "![Where the money goes, per hour](<re_port_x.png>)\n\n"
    assert image_links(images, "jira") == "!re_port_x.png|width=800!\n\n"


def _made(document: Diagnosis) -> list[Image]:
    return [Image(name=f"{chart.name}.png", title=chart.title) for chart in charts_of(document)]


def test_hostile_slices_can_be_drawn() -> None:
    for chart in charts_of(nasty()):
        root = parsed(chart.svg())
        assert all(e.tag.startswith(SVG) for e in root.iter())
    assert set(LIGHT) >= {"text", "muted", "surface"}
