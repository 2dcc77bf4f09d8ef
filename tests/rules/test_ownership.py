"""Cost of ownership: the worked example, and what must hold for any purchase."""

from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.ownership import OwnershipInputs, owned_cost

EXAMPLE = OwnershipInputs(
    capex_usd_per_gpu=250_000 / 8,
    life_y=4.0,
    maintenance_frac_y=0.05,
    kw_per_gpu=10.2 / 8,
    pue=1.54,
    electricity_usd_kwh=0.10,
    utilisation_frac=0.4,
)


def test_the_worked_example_by_part() -> None:
    cost = owned_cost(EXAMPLE)
    assert cost.writeoff_usd_h == pytest.approx(0.892, abs=5e-4)
    assert cost.electricity_usd_h == pytest.approx(0.196, abs=5e-4)
    assert cost.maintenance_usd_h == pytest.approx(0.178, abs=5e-4)
    assert cost.total_usd_h == pytest.approx(1.27, abs=5e-3)
    assert cost.used_usd_h == pytest.approx(3.17, abs=5e-3)


def test_without_power_the_total_is_what_is_known() -> None:
    cost = owned_cost(msgspec.structs.replace(EXAMPLE, kw_per_gpu=None, utilisation_frac=None))
    assert cost.electricity_usd_h is None
    assert cost.used_usd_h is None
    assert cost.total_usd_h == pytest.approx(1.070, abs=5e-4)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"life_y": 0.0}, "life_y"),
        ({"pue": 0.9}, "pue"),
        ({"utilisation_frac": 0.0}, "utilisation_frac"),
        ({"utilisation_frac": 1.1}, "utilisation_frac"),
        ({"capex_usd_per_gpu": math.nan}, "capex_usd_per_gpu"),
        ({"staffing_usd_h": -1.0}, "staffing_usd_h"),
        ({"kw_per_gpu": math.inf}, "kw_per_gpu"),
    ],
)
def test_a_quantity_no_purchase_has_is_refused_by_name(change: dict[str, float], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        owned_cost(msgspec.structs.replace(EXAMPLE, **change))


@given(
    capex=st.floats(1, 1e6),
    life=st.floats(0.1, 20),
    maintenance=st.floats(0, 1),
    kw=st.none() | st.floats(0, 20),
    used=st.floats(0.01, 1),
)
def test_parts_sum_to_the_total_and_a_used_hour_never_costs_less(
    capex: float, life: float, maintenance: float, kw: float | None, used: float
) -> None:
    cost = owned_cost(
        msgspec.structs.replace(
            EXAMPLE,
            capex_usd_per_gpu=capex,
            life_y=life,
            maintenance_frac_y=maintenance,
            kw_per_gpu=kw,
            utilisation_frac=used,
        )
    )
    parts = (cost.writeoff_usd_h, cost.maintenance_usd_h, cost.staffing_usd_h, cost.electricity_usd_h or 0.0)
    assert math.isclose(sum(parts), cost.total_usd_h)
    assert cost.used_usd_h is not None
    assert cost.used_usd_h >= cost.total_usd_h
