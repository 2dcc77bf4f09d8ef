"""Rooflines: rates from roof fractions and ceilings, classes from stretches, reasons for having none."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.ceilings import Ceiling
from rules.roofline import Roofline, Stretches, roofline
from rules.verdict import Verdict
from tests.factories import make_ceilings, make_measured, make_verdict

DRAM, BF16 = 2.9e12, 7.9e14


def seen(**changes: object) -> Verdict:
    """Memory-bound tensor work."""
    verdict = make_verdict("memory", pipe="hmma", dram_roof_frac=0.8, pipe_roof_frac=0.2)
    return msgspec.structs.replace(verdict, **changes)


def stretches(*rows: tuple[str, float, float, float]) -> Stretches:
    """One second each: whose time it is, gr_active, dram_active, tensor_active."""
    return Stretches(
        duration_s=(1.0,) * len(rows),
        shares={
            name: tuple(0.9 if row[0] == name else 0.0 for row in rows)
            for name in ("device", "memory", "compute")
        },
        counters={
            "gr_active": tuple(row[1] for row in rows),
            "dram_active": tuple(row[2] for row in rows),
            "tensor_active": tuple(row[3] for row in rows),
        },
    )


def test_the_mean_is_fractions_times_ceilings() -> None:
    found = roofline(seen(), make_ceilings())
    assert found.missing is None
    assert found.mean is not None
    assert found.mean.bytes_s == pytest.approx(0.8 * DRAM)
    assert found.mean.flop_s == pytest.approx(0.2 * BF16)
    assert found.mean.intensity == pytest.approx(0.2 * BF16 / (0.8 * DRAM))
    assert found.mean.share == pytest.approx(0.91)


def test_a_point_lies_under_its_roofs() -> None:
    found = roofline(seen(dram_roof_frac=1.0, pipe_roof_frac=0.3), make_ceilings())
    assert found.mean is not None
    assert found.mean.flop_s == pytest.approx(found.mean.intensity * DRAM)


def test_roofs_are_labelled_and_the_workloads_are_marked() -> None:
    ceilings = make_ceilings()
    more = Ceiling(metric="fp8", value=1.4e15, unit="flop_s", label="typical", source="invented")
    found = roofline(seen(), msgspec.structs.replace(ceilings, ceilings=(*ceilings.ceilings, more)))
    assert [(r.metric, r.label, r.used) for r in found.roofs] == [
        ("dram", "assumed", True),
        ("fp8", "typical", False),
        ("bf16", "assumed", True),
    ]
    stale = roofline(seen(), make_measured(stale="another driver"))
    assert {r.label for r in stale.roofs} == {"stale"}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"tier": "nvml"}, "without GPM counters"),
        ({"dram_roof_frac": None}, "no work was seen"),
        ({"pipe_roof_frac": 0.0}, "no work was seen"),
        ({"pipe": "int_active"}, "no ceiling in operations a second"),
        ({"pipe": None}, "no ceiling in operations a second"),
        ({"pipe": "fp64"}, "no ceiling in operations a second"),
    ],
)
def test_reasons_for_none(changes: dict[str, object], reason: str) -> None:
    found = roofline(seen(**changes), make_ceilings())
    assert found == Roofline(missing=found.missing)
    assert reason in (found.missing or "")


def test_without_ceilings_there_is_none() -> None:
    assert "no ceilings" in (roofline(seen(), None).missing or "")
    bare = make_ceilings()
    no_dram = msgspec.structs.replace(bare, ceilings=bare.ceilings[1:])
    assert "DRAM bandwidth is unknown" in (roofline(seen(), no_dram).missing or "")


def test_classes_have_points_of_their_own() -> None:
    rows = [("memory", 0.9, 0.9 * 0.92, 0.09 * 0.8)] * 3 + [("compute", 1.0, 0.23, 0.72)]
    found = roofline(seen(), make_ceilings(), stretches(*rows))
    by_class = {p.class_: p for p in found.classes}
    assert by_class["memory"].bytes_s == pytest.approx(DRAM)
    assert by_class["memory"].flop_s == pytest.approx(0.1 * BF16)
    assert by_class["memory"].share == pytest.approx(0.9 * 3 / 4)
    assert by_class["compute"].bytes_s == pytest.approx(0.25 * DRAM)
    assert by_class["compute"].flop_s == pytest.approx(0.9 * BF16)
    assert len(found.stretches) == 4


def test_one_class_alone_says_nothing_beside_the_mean() -> None:
    found = roofline(seen(), make_ceilings(), stretches(*[("memory", 0.9, 0.8, 0.1)] * 4))
    assert found.classes == ()


def test_stretches_hardly_busy_are_left_out() -> None:
    rows = [("memory", 0.01, 0.01, 0.01), ("memory", 0.5, 0.0, 0.1), ("memory", 0.9, 0.5, 0.1)]
    assert len(roofline(seen(), make_ceilings(), stretches(*rows)).stretches) == 1


def test_integer_products_are_in_no_series_though_tensor_cores_make_them() -> None:
    """A series has `tensor_active` alone, whose reading at the ceiling is bf16's."""
    bare = make_ceilings()
    int8 = Ceiling(metric="int8", value=1.6e15, unit="op_s", label="assumed", source="invented")
    ceilings = msgspec.structs.replace(bare, ceilings=(*bare.ceilings, int8))
    rows = stretches(("memory", 0.9, 0.5, 0.1))
    assert roofline(seen(pipe="imma"), ceilings, rows).mean is not None
    assert roofline(seen(pipe="imma"), ceilings, rows).stretches == ()
    assert len(roofline(seen(), ceilings, rows).stretches) == 1


def test_pipes_that_no_series_has_give_a_mean_alone() -> None:
    ceilings = make_ceilings()
    fp32 = Ceiling(metric="fp32", value=5e13, unit="flop_s", label="assumed", source="invented")
    with_fp32 = msgspec.structs.replace(ceilings, ceilings=(*ceilings.ceilings, fp32))
    found = roofline(seen(pipe="fp32"), with_fp32, stretches(("memory", 0.9, 0.5, 0.1)))
    assert found.mean is not None
    assert found.mean.flop_s == pytest.approx(0.2 * 5e13)
    assert found.stretches == ()


def test_the_error_is_that_of_the_weaker_reading() -> None:
    assert roofline(seen(), make_ceilings()).error_frac == pytest.approx(0.10)
    assert roofline(seen(), make_measured()).error_frac == pytest.approx(0.02)
    assert roofline(seen(), make_measured(stale="another driver")).error_frac == pytest.approx(0.05)


@given(
    rows=st.lists(
        st.tuples(
            st.sampled_from(("device", "memory", "compute")),
            st.floats(0, 1.5),
            st.floats(0, 2),
            st.floats(0, 2),
        ),
        max_size=12,
    )
)
def test_no_point_lies_beyond_its_roofs(rows: list[tuple[str, float, float, float]]) -> None:
    found = roofline(seen(), make_ceilings(), stretches(*rows))
    for point in (*found.stretches, *found.classes):
        assert 0.0 < point.bytes_s <= DRAM * (1 + 1e-9)
        assert 0.0 < point.flop_s <= BF16 * (1 + 1e-9)
