"""Properties that hold for whatever goes in."""

from __future__ import annotations

import math

import pytest
from hypothesis import given as cases
from hypothesis import strategies as st

from rules.calculators.calculation import CalculationError, Sheet, given, plain
from rules.calculators.quantities import QUANTITIES, Quantity
from rules.calculators.ranking import ranking
from rules.calculators.tco import tco
from rules.calculators.tokens import tokens
from tests.rules.calculators.sheets import by_its_formulas, figures

AMOUNTS = st.floats(0.01, 9_999)
SHARES = st.floats(0, 1)


@pytest.mark.parametrize("name", QUANTITIES)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -1.0, 1e300, 5e-324])
def test_no_quantity_takes_what_is_no_figure(name: str, value: float) -> None:
    if not QUANTITIES[name].least <= value <= QUANTITIES[name].most:
        with pytest.raises(CalculationError, match=name):
            given(name, value)


@pytest.mark.parametrize("quantity", QUANTITIES.values(), ids=QUANTITIES)
def test_quantities_accept_their_own_limits_and_say_them(quantity: Quantity) -> None:
    assert quantity.problem(quantity.least) == ""
    assert quantity.problem(quantity.most) == ""
    assert quantity.problem(math.nextafter(quantity.least, -math.inf))
    assert quantity.problem(math.nextafter(quantity.most, math.inf))
    assert quantity.accepts.startswith("a ")
    assert quantity.flag.startswith("--")


def test_counts_are_whole() -> None:
    with pytest.raises(CalculationError, match="whole"):
        given("gpus", 2.5)


@cases(price=AMOUNTS, gpus=st.integers(1, 10_000), prompt=AMOUNTS, made=AMOUNTS, share=SHARES)
def test_phases_sum_to_the_price(price: float, gpus: int, prompt: float, made: float, share: float) -> None:
    found = tokens(
        **figures(
            price_usd_h=price, gpus=gpus, prompt_tok_s=prompt, generation_tok_s=made, prefill_frac=share
        )
    )
    paid = found.part("prefill_usd_h") + found.part("decode_usd_h")
    assert paid == pytest.approx(price * gpus, rel=1e-12)
    assert found.value == pytest.approx(by_its_formulas(found)[found.name], rel=1e-9)
    weighted = found.part("prefill_usd_per_mtok") * prompt + found.part("decode_usd_per_mtok") * made
    assert weighted / (prompt + made) == pytest.approx(found.value, rel=1e-9)


@cases(
    capex=st.floats(1, 1e6), life=st.floats(0.1, 20), kw=st.floats(0.01, 20), staff=st.floats(0, 1000),
    upkeep=SHARES, pue=st.floats(1, 4), rate=st.floats(0.001, 10),
)  # fmt: skip
def test_parts_of_ownership_sum_to_the_hour(
    capex: float, life: float, kw: float, staff: float, upkeep: float, pue: float, rate: float
) -> None:
    found = tco(
        **figures(
            capex_usd_per_gpu=capex,
            life_y=life,
            maintenance_frac_y=upkeep,
            electricity_usd_kwh=rate,
            pue=pue,
            kw_per_gpu=kw,
            staffing_usd_h=staff,
            gpus=1,
        )
    )
    parts = [found.part(name) for name in ("writeoff_usd_h", "energy_usd_h", "maintenance_usd_h")]
    assert math.fsum((*parts, staff)) == pytest.approx(found.value, rel=1e-12)


@cases(st.floats(1e-12, 1e15))
def test_a_number_in_a_formula_reads_back(value: float) -> None:
    assert float(plain(value).replace(",", "")) == pytest.approx(value, rel=1e-3)


def test_a_step_too_large_to_be_a_figure_is_refused() -> None:
    with pytest.raises(CalculationError, match="too large"):
        Sheet().add("usd", "$", "", "1 / 0", math.inf)


def test_nothing_to_rank_is_said() -> None:
    with pytest.raises(CalculationError, match="nobody"):
        ranking(())
