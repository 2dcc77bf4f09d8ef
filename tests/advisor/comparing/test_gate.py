"""--fail-on of a comparison: its words, and when they fail."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.comparing.compare import Wish, compare
from advisor.comparing.gate import CompareGateError, Limit, judge, parse_limits
from advisor.comparing.match import MatchError
from advisor.comparing.throughput import Work
from rules.serving import ServingFigures
from tests.advisor.comparing.looks import AFTER, BEFORE, make_look, make_row, without_series
from tests.factories import T0_S, device_key

NAMES = ("a", "b")
WORSE = compare(AFTER, BEFORE, NAMES)
BETTER = compare(BEFORE, AFTER, NAMES)


@pytest.mark.parametrize(
    ("word", "limit"),
    [
        ("regression>5%", Limit("regression", 0.05)),
        ("regression > 5 %", Limit("regression", 0.05)),
        ("REGRESSION:5%", Limit("regression", 0.05)),
        ("usd>1.5", Limit("usd", 1.5)),
        ("usd>$1.50", Limit("usd", 1.5)),
    ],
)
def test_words(word: str, limit: Limit) -> None:
    assert parse_limits([word]) == (limit,)


def test_words_can_be_repeated_and_joined() -> None:
    assert len(parse_limits(["regression>5%, usd>1", "wasted:3%", ""])) == 3


@pytest.mark.parametrize(
    "word",
    [
        *("regression", "regression>", "regression>5", "regression>x%", "regression>100%", "regression<5%"),
        *("usd>5%", "usd>", "usd>1.2.3", "high", ">5%", "wasted>-1%", "wasted>=10%", "usd>nan"),
    ],
)
def test_what_means_nothing_is_refused_with_how_to_write_it(word: str) -> None:
    with pytest.raises(CompareGateError) as caught:
        parse_limits([word])
    assert "in quotes" in caught.value.fix


@given(st.text(max_size=30))
def test_any_text_is_a_limit_or_refused(text: str) -> None:
    try:
        found = parse_limits([text])
    except CompareGateError:
        return
    assert all(limit.value >= 0.0 for limit in found)


def test_worse_fails_and_better_does_not() -> None:
    for word in ("regression>5%", "wasted>10%", "usd>0.5"):
        assert judge(WORSE, parse_limits([word])).failed, word
        assert not judge(BETTER, parse_limits([word])).failed, word
    assert judge(WORSE, ()).failed == ()


@given(st.floats(0.0, 0.99))
def test_a_limit_fails_exactly_below_the_loss(value: float) -> None:
    loss = 1.0 - (WORSE.pairs[0].throughput.factor or 0.0)
    assert bool(judge(WORSE, [Limit("regression", value)]).failed) is (loss > value)


@given(st.floats(0.0, 10.0), st.floats(0.0, 10.0))
def test_a_milder_limit_never_fails_where_a_stricter_one_does_not(one: float, other: float) -> None:
    low, high = sorted((one, other))
    strict, mild = (bool(judge(WORSE, [Limit("usd", v)]).failed) for v in (low, high))
    assert strict or not mild


@pytest.mark.parametrize("word", ["regression>5%", "wasted>10%", "usd>1.5"])
def test_a_gpu_that_is_gone_leaves_limits_open(word: str) -> None:
    three, two = (make_look(*(make_row(gpu=i) for i in range(n))) for n in (3, 2))
    found = judge(compare(three, two, NAMES), parse_limits([word]))
    assert found.failed == ()
    (line,) = found.open
    assert "GPU 2: it is not in B" in line
    assert judge(compare(two, three, NAMES), parse_limits([word])).open == ()
    for wish in (Wish(gpu="1"), Wish(pairs=("0=0",))):
        assert judge(compare(three, two, NAMES, wish), parse_limits([word])).open == ()


def test_noise_does_not_fail() -> None:
    """A loss over the limit whose interval still holds no change at all."""
    a = make_look(make_row(0.40), seed=1)
    b = make_look(make_row(0.405), at_s=T0_S + 600.0, seed=2)
    found = compare(a, b, NAMES)
    assert found.pairs[0].throughput.says == "no-difference"
    assert judge(found, [Limit("regression", 0.0), Limit("wasted", 0.0)]).failed == ()


def test_without_an_interval_a_limit_stays_open() -> None:
    found = judge(compare(without_series(AFTER), BEFORE, NAMES), parse_limits(["regression>5%", "usd>0.5"]))
    assert found.failed == ()
    assert len(found.open) == 2
    kept = judge(compare(without_series(BEFORE), AFTER, NAMES), parse_limits(["regression>5%"]))
    assert kept.open == ()


@pytest.mark.parametrize("word", ["regression>5%", "wasted>10%", "usd>0.5"])
def test_a_fall_of_demand_is_no_regression(word: str) -> None:
    busy, quiet = (
        ServingFigures(
            endpoint="h:1", engine="vllm", keys=(device_key(0),), t_start_s=0.0, t_end_s=60.0,
            generation_tok_s=tok_s, running=running, waiting=0.0,
        )
        for tok_s, running in ((2347.0, 3.0), (69.8, 0.4))
    )  # fmt: skip
    a, b = (msgspec.structs.replace(d, serving=(s,)) for d, s in ((AFTER, busy), (BEFORE, quiet)))
    found = judge(compare(a, b, NAMES), parse_limits([word]))
    assert found.failed == ()
    assert "demand was not the same" in found.open[0]
    same = msgspec.structs.replace(b, serving=(busy,))
    assert bool(judge(compare(a, same, NAMES), parse_limits([word])).failed) is (word != "regression>5%")


def test_counted_work_needs_no_interval() -> None:
    found = compare(without_series(BEFORE), AFTER, NAMES, Wish(work=Work(10.0, 9.0)))
    assert judge(found, parse_limits(["regression>5%"])).failed
    assert not judge(found, parse_limits(["regression>15%"])).failed


def test_what_is_refused_or_has_no_price_stays_open() -> None:
    refused = compare(BEFORE, make_look(make_row(0.9, tier="nvml"), at_s=T0_S + 600.0), NAMES)
    assert judge(refused, parse_limits(["regression>5%"])).open
    unpriced = compare(make_look(price_usd_h=None), AFTER, NAMES)
    assert judge(unpriced, parse_limits(["usd>1"])).open


@pytest.mark.parametrize("words", [("0",), ("0=",), ("=0",), ("0=9",), ("x=0",), ("0=0", "0=0")])
def test_pairs_that_are_not_there(words: tuple[str, ...]) -> None:
    with pytest.raises(MatchError) as caught:
        compare(BEFORE, AFTER, NAMES, Wish(pairs=words))
    assert caught.value.fix
