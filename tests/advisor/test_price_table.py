"""The bundled table: which figures are flagged, by what, and that the flags come from the figures."""

from __future__ import annotations

import datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.price_table import (
    MEANINGS,
    Model,
    PriceRow,
    all_models,
    bundled_rows,
    find_models,
    flags_of,
    model_of,
    spoiled,
)

# (accelerator, provider, on-demand) -> its flags, but for the date, which no row has. Rows without an entry
# have no other flag.
FLAGGED: dict[tuple[str, str, float], tuple[str, ...]] = {
    ("A100-80GB", "gcp", 2.9458): ("spot-above-on-demand", "commitment-looking"),
    ("A100-80GB-PCIe", "runpod", 1.39): ("spot-equals-on-demand", "old"),
    ("A100-80GB-PCIe", "runpod", 1.62): ("old",),
    ("A100-80GB-SXM", "runpod", 1.89): ("old",),
    ("B200", "gcp", 8.055): ("commitment-looking", "gpu-only"),
    ("B200", "aws", 14.2416): ("spot-floor",),
    ("H100-80GB", "runpod", 2.99): ("old",),
    ("H100-80GB", "gcp", 5.3833): ("spot-above-on-demand", "commitment-looking"),
    ("H100-80GB", "digitalocean", 5.95): ("old",),
    ("H200-141GB", "runpod", 3.99): ("old",),
    ("L4", "runpod", 0.44): ("old",),
    ("L4", "gcp", 0.5582): ("gpu-only",),
    ("MI300X", "runpod", 2.39): ("secondary", "old"),
    ("P100", "gcp", 1.46): ("gpu-only",),
    ("RTX3090", "runpod", 0.43): ("old",),
    ("RTX4090", "runpod", 0.69): ("old",),
    ("RTX6000-Ada", "runpod", 0.77): ("old",),
    ("RTXA6000", "lambda", 1.09): ("old",),
    ("T4", "gcp", 0.35): ("gpu-only",),
    ("V100-16GB", "lambda", 0.79): ("old",),
}


def identity(row: PriceRow) -> tuple[str, str, float]:
    return row.accelerator, row.provider, row.usd_h


def row(**more: Any) -> PriceRow:
    """A row against which nothing speaks."""
    given: dict[str, Any] = {
        "accelerator": "X",
        "provider": "cloud",
        "instance": "x.large",
        "gpu_count": 1,
        "usd_h": 4.0,
        "spot_usd_h": 2.0,
        "region": "here",
        "host_included": True,
        "date": "2026-01-01",
        "commit": "0123456789ab",
        "source": "catalogs/v9/cloud/vms.csv",
        **more,
    }
    return PriceRow(**given)


@pytest.mark.parametrize("each", bundled_rows(), ids=lambda r: f"{r.accelerator}-{r.provider}-{r.usd_h}")
def test_flags_of_every_row(each: PriceRow) -> None:
    assert each.flags == (*FLAGGED.get(identity(each), ()), "date-unknown")


def test_every_flagged_row_is_in_the_table() -> None:
    assert set(FLAGGED) <= {identity(each) for each in bundled_rows()}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"spot_usd_h": 4.01}, "spot-above-on-demand"),
        ({"note": "GPU spot 2.1604 > on-demand 1.8462"}, "spot-above-on-demand"),
        ({"spot_usd_h": 4.0}, "spot-equals-on-demand"),
        ({"spot_usd_h": 0.4}, "spot-floor"),
        ({"host_included": False}, "gpu-only"),
        ({"note": "SECONDARY: quoted"}, "secondary"),
        ({"note": "may be a commitment price"}, "commitment-looking"),
        ({"source": "catalogs/v8/cloud/vms.csv"}, "old"),
        ({"date": "2025-01-01"}, "old"),
        ({"date": "unknown"}, "date-unknown"),
        ({"date": "2026-13-45"}, "date-unknown"),
    ],
)
def test_a_figure_that_is_off_has_its_flag_and_no_other(changes: dict[str, Any], code: str) -> None:
    one = row(**changes)
    assert flags_of(one, (one, row()), datetime.date(2026, 6, 1)) == (code,)


def test_a_note_whose_figures_are_in_order_is_no_flag() -> None:
    assert row(note="GPU spot 1.2 > on-demand 1.8").flags == ()


def test_half_the_price_of_the_same_instance_elsewhere_looks_like_a_commitment() -> None:
    cheap, dear = row(usd_h=2.0, spot_usd_h=None), row(usd_h=4.0, region="there")
    assert flags_of(cheap, (cheap, dear)) == ("commitment-looking",)
    assert flags_of(dear, (cheap, dear)) == ()
    other = row(usd_h=2.0, spot_usd_h=None, instance="x.small")
    assert flags_of(other, (other, dear)) == ()


prices = st.floats(0.01, 200, allow_nan=False)
made = st.builds(
    row,
    usd_h=prices,
    spot_usd_h=st.none() | prices,
    host_included=st.booleans(),
    date=st.sampled_from(["unknown", "2026-01-01", "x", ""]),
    source=st.sampled_from(["catalogs/v9/a", "catalogs/v1/a", "elsewhere", ""]),
    note=st.text(max_size=20)
    | st.sampled_from(["SECONDARY", "GPU spot 3 > on-demand 1", "SpotPrice = Price"]),
)


@given(st.lists(made, min_size=1, max_size=6))
def test_whatever_is_unflagged_is_sane(rows: list[PriceRow]) -> None:
    for each in rows:
        flags = flags_of(each, rows)
        assert list(flags) == [code for code in MEANINGS if code in flags]
        if not spoiled(flags, "on-demand"):
            assert each.host_included
            assert each.usd_h >= 0.6 * max(r.usd_h for r in rows)  # all are the same instance
        if not spoiled(flags, "spot") and each.spot_usd_h is not None:
            assert each.spot_usd_h < each.usd_h


def test_a_flag_on_spot_alone_leaves_on_demand() -> None:
    assert spoiled(("spot-floor",), "spot")
    assert not spoiled(("spot-floor",), "on-demand")
    assert not spoiled(("old", "date-unknown"), "on-demand")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("NVIDIA H100 80GB HBM3", {"NVIDIA H100 80GB HBM3"}),
        ("h100-80gb", {"H100 SXM5 80GB"}),
        ("H100", {"H100 SXM5 80GB", "H100 PCIe 80GB", "H100 NVL 94GB"}),
        ("V100-32GB", {"V100 SXM2 32GB"}),
        ("a6000", {"RTXA6000"}),
        ("RTX 4090", {"RTX 4090 GeForce"}),
        ("mi300x", {"MI300X OAM"}),
        ("P100", {"P100"}),
    ],
)
def test_a_model_is_found_by_what_people_call_it(text: str, names: set[str]) -> None:
    assert {model.name for model in find_models(text)} == names


@pytest.mark.parametrize("text", ["", "  ", "--", "H9000", "\x1b[31m", "x" * 10_000])
def test_what_names_no_model_finds_none(text: str) -> None:
    assert find_models(text) == ()


def test_every_row_is_of_a_model_that_can_be_asked_for() -> None:
    named = {name for model in all_models() for name in model.accelerators}
    assert {each.accelerator for each in bundled_rows()} == named
    for name in named:
        assert any(name in model.accelerators for model in find_models(name))


def test_a_title_is_the_same_for_all_drivers_names() -> None:
    assert model_of("Tesla V100-SXM2-32GB").title == "V100 SXM2 32GB"
    assert model_of("NVIDIA H100 80GB HBM3").title == "H100 SXM5 80GB"
    assert model_of("Something").title == "Something"
    assert Model(name="x").title == "x"


def test_rows_are_frozen_records() -> None:
    assert msgspec.json.decode(msgspec.json.encode(bundled_rows()[0]), type=PriceRow) == bundled_rows()[0]
