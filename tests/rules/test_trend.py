"""A card beside its own past: planted falls are found, noise raises no alarm, other settings are no fall."""

from __future__ import annotations

import math
import random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules import thresholds_history as th
from rules.trend import Setting, Take, Trend, allowed_frac, ceiling_trend, differences, plain_trend

DAY_S = 86400.0
SETTING = Setting(
    method_version=3, driver="580.1", versions={"torch": "2.9"}, power_limit_w=700.0, ecc=True, mode="default"
)
VALUES = st.floats(1e-9, 1e18)
DIRECTIONS = st.booleans()


def takes(*values: float, **changes: Any) -> list[Take]:
    """One run a day."""
    return [
        Take(t_s=day * DAY_S, value=value, setting=SETTING, p10=value * 0.998, p90=value * 1.002, **changes)
        for day, value in enumerate(values)
    ]


def trend(found: list[Take], *, higher: bool = True) -> Trend:
    made = ceiling_trend("bf16", "flop_s", found, higher=higher)
    assert made is not None
    return made


@given(VALUES, st.integers(2, 40), DIRECTIONS)
def test_a_constant_series_is_no_degradation(value: float, count: int, higher: bool) -> None:
    found = trend(takes(*[value] * count), higher=higher)
    assert found.fall is None
    assert found.judged
    assert found.change_frac == 0.0
    assert (found.compared, found.usual) == (count - 1, value)


@given(st.lists(st.floats(0.976, 1.024), min_size=2, max_size=60), VALUES, DIRECTIONS)
def test_noise_of_less_than_the_threshold_raises_no_alarm(
    noise: list[float], value: float, higher: bool
) -> None:
    """Any two figures within ±2.4 % of one are less than 5 % apart, whatever their order."""
    assert trend(takes(*[value * part for part in noise]), higher=higher).fall is None


@given(
    st.lists(st.floats(0.99, 1.01), min_size=4, max_size=20),
    st.lists(st.floats(0.99, 1.01), min_size=1, max_size=6),
    st.floats(0.3, 0.85),
    DIRECTIONS,
)
def test_a_planted_fall_is_found_where_it_began(
    before: list[float], after: list[float], part: float, higher: bool
) -> None:
    factor = part if higher else 1 / part
    found = trend(takes(*(1e12 * v for v in before), *(1e12 * factor * v for v in after)), higher=higher)
    fall = found.fall
    assert fall is not None
    assert fall.since_s == len(before) * DAY_S
    assert fall.before_s == (len(before) - 1) * DAY_S
    assert fall.runs == len(after)
    assert fall.compared == len(before) + len(after) - 1
    assert fall.of_best == pytest.approx(part, rel=0.03)
    if abs(part - th.HISTORY_SEVERE.value) > 0.03:
        assert fall.severity == ("severe" if part < th.HISTORY_SEVERE.value else "degraded")


@given(st.floats(0.0, 0.2), st.integers(3, 30))
def test_noisy_figures_must_fall_further(spread: float, count: int) -> None:
    noisy = [Take(t_s=i, value=1.0, setting=SETTING, cv=spread) for i in range(count)]
    allowed = allowed_frac(noisy[:-1], noisy[-1])
    assert allowed >= max(th.HISTORY_FALL.value, th.HISTORY_NOISE.value * spread * 0.999)
    just = msgspec.structs.replace(noisy[-1], value=1.0 - allowed * 0.9)
    if allowed < 1:
        assert trend([*noisy[:-1], just]).fall is None


def test_a_slow_decline_does_not_carry_its_baseline_down() -> None:
    found = trend(takes(*(1e12 * (1 - 0.01 * i) for i in range(20))))
    assert found.fall is not None
    assert found.fall.best > 0.98e12
    assert found.fall.of_best == pytest.approx(0.81 / 0.99, rel=1e-6)


def test_one_lucky_run_makes_no_ceiling() -> None:
    assert trend(takes(1.0, 1.0, 1.2, 1.0, 1.0)).fall is None


def test_a_figure_that_may_be_no_ceiling_makes_no_best_and_can_still_fall() -> None:
    lucky = takes(1.0, 1.0, 2.0, 2.0, 2.0, 1.0)
    lucky[2:5] = [msgspec.structs.replace(take, fit=False) for take in lucky[2:5]]
    assert trend(lucky).fall is None
    fallen = [*takes(1.0, 1.0), *takes(1.0, 1.0, 0.4, fit=False)[2:]]
    assert trend(fallen).fall is not None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"driver": "570.9"}, "driver 570.9 then, 580.1 now"),
        ({"method_version": 2}, "method 2 then, 3 now"),
        ({"power_limit_w": 500.0}, "power limit 500 W then, 700 W now"),
        ({"versions": {"torch": "2.8"}}, "torch 2.8 then, 2.9 now"),
        ({"ecc": False}, "ECC off then, on now"),
        ({"mode": "quick"}, "mode quick then, default now"),
        ({"mig": "1g.10gb"}, "1g.10gb then, a whole GPU now"),
        ({"held": True}, "held until clocks settled in one of them alone"),
    ],
)
def test_runs_under_another_setting_are_not_compared(change: dict[str, Any], said: str) -> None:
    then = msgspec.structs.replace(SETTING, **change)
    assert differences(then, SETTING) == (said,)
    old = [msgspec.structs.replace(take, setting=then) for take in takes(1.0, 1.0, 1.0)]
    alone = trend([*old, *[msgspec.structs.replace(takes(0.5)[0], t_s=9 * DAY_S)]])
    assert (alone.fall, alone.judged, alone.compared) == (None, False, 0)
    assert alone.because == "no earlier run was made under the same setting"
    assert alone.apart is not None
    assert (alone.apart.runs, alone.apart.differences) == (3, (said,))
    assert alone.apart.change_frac == pytest.approx(-0.5)


def test_what_is_not_known_differs_from_nothing() -> None:
    assert differences(Setting(), SETTING) == ()
    assert differences(Setting(power_limit_w=700.4), SETTING) == ()
    assert differences(Setting(versions={"cuda": "12"}), SETTING) == ()


def test_a_fall_after_a_change_of_driver_is_still_the_cards() -> None:
    old = [
        msgspec.structs.replace(take, setting=msgspec.structs.replace(SETTING, driver="570"))
        for take in takes(1.0, 1.0)
    ]
    new = [msgspec.structs.replace(t, t_s=t.t_s + 9 * DAY_S) for t in takes(1.1, 1.1, 1.1, 0.8)]
    found = trend([*old, *new])
    assert found.fall is not None and found.apart is not None
    assert found.fall.best == 1.1
    assert found.apart.change_frac == pytest.approx(0.1), "what came with the driver, not with the fall"


def test_what_else_changed_is_said() -> None:
    cool = takes(1.0, 1.0, 1.0, sm_mhz=1740.0, mem_mhz=2619.0, power_w=690.0, temp_c=60.0)
    hot = takes(
        0.8, 0.8, sm_mhz=1400.0, mem_mhz=2619.0, power_w=500.0, temp_c=84.0, throttle_reasons=("hw_thermal",)
    )
    fall = trend([*cool, *(msgspec.structs.replace(t, t_s=t.t_s + 5 * DAY_S) for t in hot)]).fall
    assert fall is not None
    assert fall.meanwhile == (
        "SM clock 1740 MHz before, 1400 MHz since",
        "power 690 W before, 500 W since",
        "temperature 60 °C before, 84 °C since",
        "throttled by hw_thermal",
    )
    same = trend(takes(1.0, 1.0, 1.0, 0.8, sm_mhz=1740.0)).fall
    assert same is not None and same.meanwhile == ()


def test_a_single_run_is_not_judged() -> None:
    alone = trend(takes(1.0))
    assert (alone.judged, alone.because, alone.usual, alone.change_frac) == (
        False,
        "there is no earlier run",
        None,
        None,
    )


def test_recovery_ends_a_fall() -> None:
    assert trend(takes(1.0, 1.0, 1.0, 0.7, 0.7, 1.0)).fall is None


@given(
    st.lists(
        st.builds(
            Take,
            t_s=st.floats(allow_nan=True, allow_infinity=True),
            value=st.floats(allow_nan=True, allow_infinity=True),
            p10=st.none() | st.floats(allow_nan=True),
            p90=st.none() | st.floats(allow_nan=True),
            cv=st.none() | st.floats(allow_nan=True),
            sm_mhz=st.none() | st.floats(0, 1e4),
            setting=st.builds(Setting, driver=st.none() | st.sampled_from("ab")),
        ),
        max_size=12,
    ),
    DIRECTIONS,
)
def test_any_takes_give_finite_figures(found: list[Take], higher: bool) -> None:
    made = ceiling_trend("x", "flop_s", found, higher=higher)
    if made is None:
        return
    back = msgspec.json.decode(msgspec.json.encode(made), type=Trend)
    assert back == made, "NaN and infinity would come back as null"
    assert all(v > 0 for v in made.values)
    assert list(made.t_s) == sorted(made.t_s)


def test_plain_trends_are_shown_and_not_judged() -> None:
    found = plain_trend("useful", "frac", [(3.0, 0.2), (1.0, 0.8), (2.0, 0.6), (4.0, math.nan)])
    assert found is not None
    assert (found.values, found.now, found.usual) == ((0.8, 0.6, 0.2), 0.2, 0.7)
    assert (found.judged, found.fall) == (False, None)
    assert plain_trend("useful", "frac", []) is None
    assert ceiling_trend("bf16", "flop_s", []) is None


@pytest.mark.parametrize(
    ("sd", "most"),
    [(0.01, 0.002), (0.015, 0.01), (0.02, 0.012), (0.03, 0.025)],
)
@pytest.mark.parametrize("earlier", [3, 5, 20, 100])
def test_false_alarms_stay_rare_however_long_the_past_is(sd: float, most: float, earlier: int) -> None:
    """Healthy cards, whose runs are normal: a longer past has a better best in it, and no more alarms."""
    dice, histories = random.Random(7), 1000
    alarms = sum(
        trend(takes(*(dice.gauss(1.0, sd) for _ in range(earlier + 1)))).fall is not None
        for _ in range(histories)
    )
    assert alarms / histories <= most


def test_a_planted_fall_of_a_tenth_is_nearly_always_found() -> None:
    dice = random.Random(8)
    found = sum(
        trend(
            takes(*(dice.gauss(1.0, 0.01) for _ in range(8)), *(dice.gauss(0.9, 0.01) for _ in range(2)))
        ).fall
        is not None
        for _ in range(500)
    )
    assert found >= 475
