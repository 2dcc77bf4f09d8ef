"""Electricity from the energy counter: the worked figure, and when there is none."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.power import ElectricityRates, electricity

RATES = ElectricityRates(usd_kwh=0.10, pue=1.54)


def test_a_board_s_mean_power_and_its_price() -> None:
    found = electricity(691.0 * 60.0, 60.0, RATES)
    assert found is not None
    assert found.mean_w == pytest.approx(691.0)
    assert found.usd_h == pytest.approx(0.691 * 1.54 * 0.10)
    assert (found.rates.usd_kwh_label, found.rates.pue_label) == ("default", "default")


@pytest.mark.parametrize(
    ("energy_j", "seconds"),
    [(None, 60.0), (1.0, None), (1.0, 0.0), (1.0, -1.0), (-1.0, 60.0), (math.nan, 1.0), (1.0, math.inf)],
)
def test_without_two_readings_apart_there_is_none(energy_j: float | None, seconds: float | None) -> None:
    assert electricity(energy_j, seconds, RATES) is None


@given(
    energy_j=st.floats(0, 1e12),
    seconds=st.floats(1e-3, 1e9),
    usd_kwh=st.floats(0.001, 10),
    pue=st.floats(1, 4),
)
def test_an_hour_s_dollars_times_the_hours_are_the_window_s(
    energy_j: float, seconds: float, usd_kwh: float, pue: float
) -> None:
    found = electricity(energy_j, seconds, ElectricityRates(usd_kwh=usd_kwh, pue=pue))
    assert found is not None
    assert math.isclose(found.usd_h * seconds / 3600.0, energy_j / 3.6e6 * pue * usd_kwh, abs_tol=1e-12)
