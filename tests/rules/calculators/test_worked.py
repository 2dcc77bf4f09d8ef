"""Worked examples with known answers, and formulas that are what was worked out."""

from __future__ import annotations

import pytest

from probes.specs import find_spec
from rules.calculators.calculation import Calculation, CalculationError, given
from rules.calculators.energy import energy_of_period, energy_of_tokens
from rules.calculators.response import response
from rules.calculators.rightsize import rightsize
from rules.calculators.scaling import compared, compounded, measured
from rules.calculators.straggler import of_times, straggler
from rules.calculators.tco import tco
from rules.calculators.tokens import tokens
from rules.finding import TERMS, Price
from rules.ladder import priced_row
from tests.rules.calculators.sheets import by_its_formulas, figures


def close(value: float, to: float, digits: int = 3) -> bool:
    """Equal when both are rounded to so many significant digits."""
    return f"{value:.{digits - 1}e}" == f"{to:.{digits - 1}e}"


def test_ladder_of_an_h100_sums_to_its_price() -> None:
    active, gr, eff = 0.75, 0.80, 0.50
    shares = dict.fromkeys(TERMS, 0.0) | {
        "free": 0.10,
        "idle_held": 0.15,
        "host_gap": active * (1 - gr),
        "inefficiency": active * (gr - eff),
        "useful": active * eff,
    }
    row = priced_row("GPU-0", 0, None, shares, Price(usd_h=6.88, basis="user", source="--price"), 1.0)
    assert row.terms is not None
    expected = {
        "free": 0.688,
        "idle_held": 1.032,
        "host_gap": 1.032,
        "inefficiency": 1.548,
        "useful": 2.580,
    }
    assert {name: round(row.terms[name], 3) for name in expected} == expected
    assert sum(row.terms.values()) == pytest.approx(6.88, abs=1e-12)


@pytest.mark.parametrize(
    ("price", "rate", "usd"), [(6.88, 9010, 0.212), (3.99, 9010, 0.123), (6.88, 1070, 1.79)]
)
def test_dollars_per_million_tokens(price: float, rate: float, usd: float) -> None:
    found = tokens(**figures(price_usd_h=price, gpus=1, tok_s=rate))
    assert close(found.value, usd)
    assert found.part("tok_usd") == pytest.approx(3600 * rate / price)


def test_tokens_for_a_dollar() -> None:
    found = tokens(**figures(price_usd_h=6.88, gpus=1, tok_s=9010))
    assert close(found.part("tok_usd"), 4.71e6)


def test_several_gpus_share_the_tokens() -> None:
    one = tokens(**figures(price_usd_h=6.88, gpus=1, tok_s=1000))
    four = tokens(**figures(price_usd_h=6.88, gpus=4, tok_s=4000))
    assert one.value == pytest.approx(four.value)


def test_phases_by_time_share() -> None:
    given_ = figures(
        price_usd_h=6.88, gpus=1, prompt_tok_s=4000, generation_tok_s=1000, prefill_s=20, decode_s=60
    )
    found = tokens(**given_)
    assert found.part("prefill_frac") == 0.25
    assert found.part("prefill_usd_h") == pytest.approx(1.72)
    assert found.part("prefill_usd_per_mtok") == pytest.approx(1e6 * 1.72 / (3600 * 4000))
    assert found.part("decode_usd_per_mtok") == pytest.approx(1e6 * 5.16 / (3600 * 1000))


def test_tokens_a_joule_are_rate_over_power() -> None:
    found = energy_of_tokens(**figures(electricity_usd_kwh=0.1, pue=1, tok_s=9010, power_w=691, gpus=1))
    assert close(found.part("tok_j"), 13.0)
    counted = energy_of_tokens(**figures(electricity_usd_kwh=0.1, pue=1, tokens=9010 * 60, energy_j=691 * 60))
    assert counted.part("tok_j") == pytest.approx(found.part("tok_j"))


def test_electricity_of_a_million_tokens() -> None:
    found = energy_of_tokens(
        **figures(electricity_usd_kwh=0.10, pue=1.54, tok_j=13.05, price_usd_h=6.88, tok_s=9010, gpus=1)
    )
    assert close(found.value, 0.0033, 2)
    assert found.part("energy_of_price_frac") == pytest.approx(0.0155, abs=5e-5)


def test_provide_by_p90_and_pay_by_the_mean() -> None:
    given_ = figures(
        gpus=8,
        nodes=2,
        years=1,
        electricity_usd_kwh=0.1,
        pue=1.5,
        energy_j=30_000,
        window_s=60,
        power_p90_w=600,
    )
    found = energy_of_period(**given_)
    assert found.part("power_w") == 500.0
    assert found.part("provide_kw") == pytest.approx(14.4)
    assert found.part("node_usd") == pytest.approx(0.5 * 8 * 8760 * 0.1 * 1.5)
    assert found.name == "all_usd"
    assert found.value == pytest.approx(2 * found.part("node_usd"))
    assert "by the energy counter" in found.notes[0]


@pytest.mark.parametrize(
    ("gpus", "nodes", "name", "meaning"),
    [
        (1, 1, "gpu_usd", "one GPU,"),
        (8, 1, "node_usd", "one node,"),
        (1, 3, "all_usd", "all 3 nodes,"),
        (8, 100, "all_usd", "all 100 nodes,"),
    ],
)
def test_energy_is_of_what_was_asked_for(gpus: int, nodes: int, name: str, meaning: str) -> None:
    given_ = figures(gpus=gpus, nodes=nodes, years=1, electricity_usd_kwh=0.1, pue=1.0, power_w=700)
    found = energy_of_period(**given_)
    assert (found.name, found.meaning.startswith(meaning)) == (name, True)
    assert "cooling (PUE 1)" in found.meaning
    assert found.value == pytest.approx(0.7 * 8760 * 0.1 * gpus * nodes)
    assert found.part("gpu_usd_h") == pytest.approx(0.07)
    assert not [part.name for part in found.parts if gpus == nodes == 1 and part.name.startswith("node")]
    assert "as given" in found.notes[0] and "counter" not in found.notes[0]
    assert found.warnings == ()


def test_a_difference_of_two_gpus_is_called_that() -> None:
    given_ = figures(gpus=8, nodes=1, years=3, electricity_usd_kwh=0.1, pue=1.0, power_w=700)
    assert "difference" not in energy_of_period(**given_).title
    assert (
        "difference of two GPUs' electricity costs"
        in energy_of_period(**given_, **figures(other_power_w=400)).title
    )
    assert (
        "difference of two GPUs' electricity saves"
        in energy_of_period(**given_, **figures(other_power_w=900)).title
    )


def test_ownership_by_part_and_by_use() -> None:
    found = tco(
        **figures(
            capex_usd_per_gpu=31250,
            life_y=4,
            maintenance_frac_y=0.05,
            electricity_usd_kwh=0.1,
            pue=1.54,
            kw_per_gpu=1.275,
            staffing_usd_h=0,
            gpus=8,
            utilisation_frac=0.4,
            price_usd_h=6.88,
        )
    )
    assert round(found.part("writeoff_usd_h"), 3) == 0.892
    assert round(found.part("energy_usd_h"), 3) == 0.196
    assert round(found.part("maintenance_usd_h"), 3) == 0.178
    assert round(found.part("owned_usd_h"), 2) == 1.27
    assert round(found.value, 2) == 3.17
    assert round(found.part("energy_frac"), 2) == 0.16
    assert found.part("breakeven_frac") == pytest.approx(0.184, abs=5e-4)


def test_a_straggler_among_64() -> None:
    found = straggler(**figures(price_usd_h=6.88, gpus=64, slower_frac=0.15))
    assert round(found.value, 1) == 57.4
    ranks, middle, slowest = of_times((1.0, 1.15, *[1.0] * 62))
    timed = straggler(price_usd_h=given("price_usd_h", 6.88), gpus=ranks, median_s=middle, slowest_s=slowest)
    assert timed.value == pytest.approx(found.value)


def test_one_rank_waits_for_nobody() -> None:
    with pytest.raises(CalculationError, match="waits for nobody") as caught:
        straggler(**figures(price_usd_h=1, gpus=1, slower_frac=0.15))
    assert "--gpus" in caught.value.fix


def test_the_slowest_is_not_faster_than_the_median() -> None:
    with pytest.raises(CalculationError, match="faster"):
        straggler(**figures(price_usd_h=1, gpus=4, median_s=2, slowest_s=1))


@pytest.mark.parametrize(("step", "bound"), [(7.3, 1.49), (26.1, 1.10)])
def test_precision_halves_the_weights_alone(step: float, bound: float) -> None:
    found = rightsize(**figures(bandwidth_gb_s=3350, weights_gb=16.06, step_ms=step, kept_frac=0.5))
    assert close(found.part("weights_ms"), 4.79)
    assert round(found.value, 2) == bound


def test_weights_must_fit_into_the_step() -> None:
    with pytest.raises(CalculationError, match="more than the step"):
        rightsize(**figures(bandwidth_gb_s=3350, weights_gb=160, step_ms=7.3, kept_frac=0.5))


def test_host_bound_is_one_over_gr() -> None:
    assert rightsize(**figures(gr_active_frac=0.8)).value == pytest.approx(1.25)


def test_hardly_any_work_bounds_nothing_and_spoils_nothing() -> None:
    with pytest.raises(CalculationError, match="too little"):
        rightsize(**figures(gr_active_frac=0.01))
    found = rightsize(**figures(gr_active_frac=0.01, price_usd_h=2, other_price_usd_h=1))
    assert found.value == 0.5
    assert "no bound" in found.notes[0]


def test_another_gpu_by_dollars_per_bandwidth() -> None:
    given_ = figures(
        price_usd_h=6.88, bandwidth_gb_s=3350, other_price_usd_h=7.912, other_bandwidth_gb_s=4800
    )
    assert rightsize(**given_).value == pytest.approx((7.912 / 4800) / (6.88 / 3350))


@pytest.mark.parametrize(("memory", "fits"), [(80, True), (24, False)])
def test_another_gpu_must_hold_the_weights(memory: float, fits: bool) -> None:
    given_ = figures(
        price_usd_h=6.88, bandwidth_gb_s=3350, other_price_usd_h=1, other_bandwidth_gb_s=900,
        other_memory_gb=memory, weights_gb=16, kv_gb=10,
    )  # fmt: skip
    found = rightsize(**given_)
    assert ("does not fit the other GPU" in found.title) is not fits
    assert found.name == ("usd_per_token_ratio" if fits else "other_of_room")
    assert found.value == pytest.approx((1 / 900) / (6.88 / 3350) if fits else 26 / (24 * 0.9))


@pytest.mark.parametrize(
    ("here", "there", "said"),
    [(80, 80, ""), (80, 48, "not fit the other"), (48, 80, "not fit this"), (48, 48, "fits neither")],
)
def test_no_bound_leads_where_the_weights_fit_nowhere(here: float, there: float, said: str) -> None:
    given_ = figures(
        price_usd_h=2, bandwidth_gb_s=1000, other_price_usd_h=1, other_bandwidth_gb_s=900,
        memory_gb=here, other_memory_gb=there, weights_gb=60,
    )  # fmt: skip
    found = rightsize(**given_)
    assert said in found.title
    assert (found.name == "usd_per_token_ratio") is not bool(said)
    assert not said or found.value > 1.0
    assert len([text for text in found.warnings if "are needed" in text]) == (here < 60) + (there < 60)


def test_a_large_batch_uses_no_more_than_the_peak() -> None:
    found = rightsize(**figures(tflop_s=300, bandwidth_gb_s=3000, weight_bytes=2, batch=1000))
    assert found.value == 1.0
    assert "From batch 100 on" in found.notes[0]


@pytest.mark.parametrize(("slo", "holds"), [(40, True), (20, False)])
def test_another_gpu_must_keep_the_objective(slo: float, holds: bool) -> None:
    given_ = figures(
        price_usd_h=6.88, bandwidth_gb_s=3000, other_price_usd_h=1, other_bandwidth_gb_s=1000,
        step_ms=10, slo_ms=slo,
    )  # fmt: skip
    found = rightsize(**given_)
    assert found.part("other_step_ms") == pytest.approx(30)
    assert any("misses the objective" in text for text in found.warnings) is not holds
    assert ("misses the objective" in found.title) is not holds
    assert found.name == ("usd_per_token_ratio" if holds else "of_slo")


@pytest.mark.parametrize(
    ("driver", "dtype", "ridge"),
    [("NVIDIA A100-SXM4-80GB", "fp16", 153), ("NVIDIA H100 80GB HBM3", "bf16", 295)],
)
def test_ridge_batches(driver: str, dtype: str, ridge: int) -> None:
    spec = find_spec(driver, None)
    assert spec is not None
    given_ = figures(
        tflop_s=spec.flop_s[dtype] / 1e12, bandwidth_gb_s=spec.dram_bytes_s / 1e9, weight_bytes=2, batch=32
    )
    assert round(rightsize(**given_).part("ridge_batch")) == ridge


def test_int8_is_bound_by_two_in_both_limits() -> None:
    spec = find_spec("NVIDIA A100-SXM4-80GB", None)
    assert spec is not None
    found = rightsize(
        **figures(tflop_s=spec.flop_s["fp16"] / 1e12, other_tflop_s=spec.flop_s["int8"] / 1e12, kept_frac=0.5)
    )
    assert found.part("peak_ratio") == found.part("bytes_ratio") == 2.0


def test_scaling_of_a_measured_pair() -> None:
    found = measured(
        **figures(gpus=8, one_tok_s=1000, all_tok_s=6800, price_usd_h=5, servers=2, racks=1, kw=10)
    )
    assert found.value == pytest.approx(0.85)
    assert found.part("loss_usd_h") == pytest.approx(8 * 5 * 0.15)
    assert [found.part(f"{unit}_tok_s") for unit in ("server", "rack", "kw")] == [3400, 6800, 680]
    assert found.part("per_doubling_frac") ** 3 == pytest.approx(0.85)
    each = measured(**figures(gpus=8, one_tok_s=1000, each_tok_s=850))
    assert each.value == pytest.approx(0.85)


@pytest.mark.parametrize("total", [100.0, 99.0, 12.5, 817.0])
def test_scaling_refuses_a_total_that_is_none(total: float) -> None:
    with pytest.raises(CalculationError):
        measured(**figures(gpus=8, one_tok_s=100, all_tok_s=total))


def test_scaling_refuses_aggregates() -> None:
    pair = figures(one_tok_s=138, efficiency_frac=0.85, other_tok_s=111, other_efficiency_frac=0.97)
    single = figures(gpus=8, one_tok_s=9, all_tok_s=50)
    doubling = figures(gpus=64, per_doubling_frac=0.97)
    with pytest.raises(CalculationError, match="twice"):
        compared(**pair, aggregated=True)
    with pytest.raises(CalculationError, match="twice"):
        compounded(**doubling, aggregated=True)
    with pytest.raises(CalculationError, match="twice"):
        measured(**single, aggregated=True)


def test_the_order_flips_below_the_flip_point() -> None:
    def said(efficiency: float) -> Calculation:
        return compared(
            **figures(one_tok_s=138, efficiency_frac=efficiency, other_tok_s=111, other_efficiency_frac=0.97)
        )

    flip = said(0.85).part("flip_frac")
    assert round(flip, 3) == 0.780
    assert said(0.85).value > 1.0
    assert "does not flip" in said(0.85).notes[0]
    assert "flips the order" in said(flip - 0.001).notes[0]


@pytest.mark.parametrize(("kept", "whole"), [(0.97, 0.83), (0.85, 0.38)])
def test_efficiency_compounds_by_doublings(kept: float, whole: float) -> None:
    assert round(compounded(**figures(gpus=64, per_doubling_frac=kept)).value, 2) == whole


def test_a_response_by_attempts_or_success() -> None:
    price = figures(tokens_per_response=150, usd_per_mtok=150, guardrail_usd_per_mtok=2)
    once = response(**price, attempts=given("attempts", 1.2))
    each = response(**price, success_frac=given("success_frac", 1 / 1.2), guardrail="attempt")
    assert once.value == pytest.approx(0.0273)
    assert each.value == pytest.approx(0.02736)
    assert each.part("usd_per_response_once") == pytest.approx(0.0273)


def test_a_guardrail_reads_what_it_is_told_to() -> None:
    price = figures(tokens_per_response=150, usd_per_mtok=150, attempts=1)
    found = response(**price, **figures(guardrail_usd_per_mtok=2, guardrail_tokens=1000))
    assert found.part("guardrail_usd") == pytest.approx(0.002)
    with pytest.raises(CalculationError, match="no price"):
        response(**price, **figures(guardrail_usd_per_mtok=0, guardrail_tokens=1000))


@pytest.mark.parametrize(("hourly", "agrees"), [(1.8e6, True), (10.8e6, False)])
def test_counts_of_an_hour_are_held_against_the_rest(hourly: float, agrees: bool) -> None:
    found = response(
        **figures(tokens_per_response=150, attempts=1.2, usd_per_mtok=1, guardrail_usd_per_mtok=0),
        **figures(tok_h=hourly, responses_h=10_000),
    )
    assert (found.warnings == ()) is agrees


@pytest.mark.parametrize(("watts", "other", "name"), [(300, 700, "less_w"), (700, 300, "more_w")])
def test_a_difference_of_power_is_a_cost_or_a_saving_and_no_share_of_a_price(
    watts: float, other: float, name: str
) -> None:
    period = figures(gpus=8, nodes=1, years=1, electricity_usd_kwh=0.1, pue=1, price_usd_h=4)
    found = energy_of_period(**period, **figures(power_w=watts, other_power_w=other))
    assert found.part(name) == 400
    assert found.value == pytest.approx(0.4 * 8 * 8760 * 0.1)
    assert any("what it saves" in note for note in found.notes) is (name == "less_w")
    with pytest.raises(KeyError):
        found.part("of_price_frac")


def test_more_than_n_single_devices_loses_nothing() -> None:
    found = measured(**figures(gpus=2, one_tok_s=100, all_tok_s=202, price_usd_h=10))
    assert found.value > 1
    assert found.part("loss_usd_h") == 0


EVERY = {
    "tokens": lambda: tokens(
        **figures(price_usd_h=3, gpus=2, prompt_tok_s=70, generation_tok_s=30, prefill_s=1, decode_s=7)
    ),
    "energy-tokens": lambda: energy_of_tokens(
        **figures(electricity_usd_kwh=0.2, pue=1.2, tok_s=50, power_w=400, gpus=3, price_usd_h=2)
    ),
    "energy-counted": lambda: energy_of_tokens(
        **figures(electricity_usd_kwh=0.2, pue=1.2, tokens=50, energy_j=7)
    ),
    "energy-period": lambda: energy_of_period(
        **figures(gpus=8, nodes=3, years=2, electricity_usd_kwh=0.3, pue=1.1, energy_j=9e4, window_s=60),
        **figures(other_power_w=90, power_p90_w=1700),
    ),
    "energy-beside-its-price": lambda: energy_of_period(
        **figures(gpus=8, nodes=3, years=2, electricity_usd_kwh=0.3, pue=1.1, power_w=400, price_usd_h=4)
    ),
    "response": lambda: response(
        **figures(tokens_per_response=9, success_frac=0.7, price_usd_h=3, gpus=2, tok_s=100),
        **figures(guardrail_usd_per_mtok=2, guardrail_tokens=5, tok_h=900, responses_h=7),
    ),
    "tco": lambda: tco(
        **figures(capex_usd_per_gpu=3e4, life_y=5, maintenance_frac_y=0.1, electricity_usd_kwh=0.2, pue=1.3),
        **figures(kw_per_gpu=1.5, staffing_usd_h=0.3, gpus=4, utilisation_frac=0.7, price_usd_h=2),
    ),
    "scaling": lambda: measured(
        **figures(gpus=6, one_tok_s=100, each_tok_s=91, price_usd_h=2, servers=3, racks=2, kw=7)
    ),
    "compounded": lambda: compounded(**figures(gpus=48, per_doubling_frac=0.93, one_tok_s=90, price_usd_h=2)),
    "compared": lambda: compared(
        **figures(one_tok_s=138, efficiency_frac=0.85, other_tok_s=111, other_efficiency_frac=0.97)
    ),
    "straggler": lambda: straggler(**figures(price_usd_h=6.88, gpus=64, slower_frac=0.15)),
    "straggler-times": lambda: straggler(**figures(price_usd_h=6.88, gpus=64, median_s=2, slowest_s=3)),
    "rightsize": lambda: rightsize(
        **figures(price_usd_h=6.88, bandwidth_gb_s=3350, other_price_usd_h=2, other_bandwidth_gb_s=900),
        **figures(
            memory_gb=24, other_memory_gb=80, weights_gb=16, kv_gb=10, step_ms=7.3, slo_ms=20, kept_frac=0.5
        ),
        **figures(gr_active_frac=0.8, tflop_s=989, other_tflop_s=1979, batch=32, weight_bytes=2),
        **figures(requests_min=10, request_s=0.1),
    ),
}


@pytest.mark.parametrize("name", EVERY)
def test_what_is_printed_is_what_was_worked_out(name: str) -> None:
    found = EVERY[name]()
    worked = by_its_formulas(found)
    for part in found.parts:
        assert part.value == pytest.approx(worked[part.name], rel=1e-12), part.name
    assert found.value == pytest.approx(worked[found.name], rel=1e-12)


@pytest.mark.parametrize("name", EVERY)
def test_numbers_take_the_place_of_every_name(name: str) -> None:
    found = EVERY[name]()
    words = set().union(*(part.worked.replace("log2", "").split() for part in found.parts))
    assert not [word for word in words if word.strip("()").isidentifier()]


@pytest.mark.parametrize("name", EVERY)
def test_every_input_is_used_and_named_with_unit_and_source(name: str) -> None:
    found = EVERY[name]()
    assert not [text for text in found.warnings if text.startswith("Not used")]
    for item in found.inputs:
        assert (item.unit, item.meaning, item.source) > ("", "", "")
