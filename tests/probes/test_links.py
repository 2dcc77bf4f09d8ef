"""Which link a copy is held against."""

from __future__ import annotations

import pytest

from probes.links import held_against_link
from probes.record import Conditions, DeviceFacts, Measurement


def held(
    rate: float,
    ran: tuple[int | None, int | None],
    most: tuple[int | None, int | None],
    name: str = "NVIDIA H100 80GB HBM3",
    metric: str = "h2d_pinned",
) -> Measurement:
    m = Measurement(
        probe="transfer",
        metric=metric,
        unit="bytes_s",
        median=rate,
        of_spec=0.123,
        conditions=Conditions(method="copy", pcie_gen=ran[0], pcie_width=ran[1]),
    )
    known = DeviceFacts(kind="cuda", key="k", name=name, pcie_gen_max=most[0], pcie_width_max=most[1])
    return held_against_link(m, known, None)


def test_the_link_as_it_ran() -> None:
    m = held(55e9, (5, 16), (5, 16))
    assert m.of_spec == pytest.approx(55 / 64)
    assert m.conditions.method == "copy; of the line rate of PCIe gen 5 x16, as it ran"
    assert not m.conditions.extra and not m.conditions.missing


def test_a_card_in_a_narrow_slot_is_held_against_the_slot() -> None:
    m = held(26e9, (5, 8), (5, 16))
    assert m.of_spec == pytest.approx(26 / 32)
    assert "gen 5 x8, as it ran" in m.conditions.method
    assert m.conditions.extra["of_max_link"] == pytest.approx(26 / 64)


def test_an_unknown_link_counts_as_its_most() -> None:
    m = held(55e9, (None, None), (5, 16))
    assert m.of_spec == pytest.approx(55 / 64)
    assert "its most" in m.conditions.method
    assert "did not say" in m.conditions.missing["link"]


def test_a_link_that_cannot_carry_the_rate_is_not_believed() -> None:
    m = held(55e9, (1, 16), (5, 16))
    assert m.of_spec == pytest.approx(55 / 64)
    assert "cannot carry" in m.conditions.missing["link"]


def test_a_rate_beyond_every_link_stays_beyond() -> None:
    assert held(90e9, (5, 16), (5, 16)).of_spec == pytest.approx(90 / 64)


def test_without_any_link_there_is_no_fraction() -> None:
    m = held(55e9, (None, None), (None, None))
    assert m.of_spec is None
    assert "did not say" in m.conditions.missing["of_spec"]
    m = held(55e9, (1, 16), (None, None))
    assert m.of_spec == pytest.approx(55 / 4)


@pytest.mark.parametrize("name", ["NVIDIA GH200 480GB", "NVIDIA GB200", "NVIDIA GB300"])
def test_c2c_has_no_pcie_line_rate(name: str) -> None:
    m = held(190e9, (5, 16), (5, 16), name)
    assert m.of_spec is None
    assert "NVLink-C2C" in m.conditions.missing["of_spec"]


def test_other_boards_are_on_pcie() -> None:
    assert held(55e9, (5, 16), (5, 16), "NVIDIA B200").of_spec is not None


def test_both_directions_have_no_line_rate() -> None:
    assert held(90e9, (5, 16), (5, 16), metric="bidir_pinned").of_spec == 0.123
