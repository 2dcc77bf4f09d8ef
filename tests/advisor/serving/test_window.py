"""Windows over readings: growth that is never negative, quantiles in buckets, objectives within bounds."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.reports.common import Style
from advisor.reports.serving import lines
from rules.engine_reading import Buckets, Reading
from rules.serving_figures import EngineFacts, Money, figures, priced
from rules.serving_window import Window, quantile, within
from rules.slo import parse_slo

FACTS = EngineFacts(endpoint="127.0.0.1:8000", engine="vllm")


def counted(*values: float | None, name: str = "generation_tokens", **more: object) -> list[Reading]:
    """A reading every ten seconds; None is a scrape without the counter."""
    return [
        Reading(t_s=10.0 * i, counters={} if value is None else {name: {"": value}}, **more)  # type: ignore[arg-type]
        for i, value in enumerate(values)
    ]


def timed(
    *shown: tuple[float, ...] | None, bounds: tuple[float, ...] = (0.1, 0.5), name: str = "ttft"
) -> list[Reading]:
    """A histogram every ten seconds."""
    return [
        Reading(
            t_s=10.0 * i,
            histograms={} if counts is None else {name: {"": Buckets(bounds=bounds, counts=counts)}},
        )
        for i, counts in enumerate(shown)
    ]


@pytest.mark.parametrize(
    ("values", "grown", "resets"),
    [
        ((100.0, 150.0, 250.0), 150.0, 0),
        ((100.0, 150.0, 30.0), 80.0, 1),
        ((100.0, 0.0, 0.0, 40.0), 40.0, 1),
        ((100.0, None, 160.0), 60.0, 0),
        ((None, 40.0, 60.0), 60.0, 0),
        ((100.0, 100.0), 0.0, 0),
    ],
)
def test_counters_grow_over_restarts_and_gaps(
    values: tuple[float | None, ...], grown: float, resets: int
) -> None:
    window = Window(counted(*values))
    assert (window.growth("generation_tokens"), window.resets) == (grown, resets)


def test_a_series_that_was_unreadable_before_does_not_count_from_zero() -> None:
    first, second = counted(None, 5000.0)
    assert Window([msgspec.structs.replace(first, damaged=1), second]).growth("generation_tokens") == 0.0


def test_a_restart_that_counters_do_not_show_is_told_by_the_process() -> None:
    before, after = counted(100.0, 120.0)
    pair = [msgspec.structs.replace(r, started=s) for r, s in ((before, "1"), (after, "2"))]
    window = Window(pair)
    assert (window.growth("generation_tokens"), window.resets) == (120.0, 1)


def test_one_reading_and_absent_counters_are_unknown_with_a_reason() -> None:
    made = figures(FACTS, counted(100.0))
    assert made.generation_tok_s is None
    assert "one reading" in made.missing["generation_tok_s"]
    assert "does not publish" in made.missing["prompt_tok_s"]


def test_counters_of_six_digits_are_no_figure_where_rounding_hides_the_window() -> None:
    coarse = figures(FACTS, counted(1.23457e8, 1.23458e8, digits=6))
    assert coarse.generation_tok_s is None
    assert "few digits" in coarse.missing["generation_tok_s"]
    fine = figures(FACTS, counted(123_457.0, 125_457.0, digits=6))
    assert fine.generation_tok_s == 200.0


@given(st.lists(st.floats(0, 1e9), min_size=2, max_size=8))
def test_no_rate_is_ever_negative(values: list[float]) -> None:
    grown = Window(counted(*values)).growth("generation_tokens")
    assert grown is not None and grown >= 0.0


def test_quantiles_are_linear_within_their_bucket_and_keep_its_bounds() -> None:
    buckets = Window(timed((0.0, 0.0, 0.0), (50.0, 90.0, 100.0))).histogram("ttft")
    assert buckets is not None
    half, late = quantile(buckets, 0.5), quantile(buckets, 0.7)
    assert half is not None and late is not None
    assert (half.value_s, half.low_s, half.high_s) == (0.1, 0.0, 0.1)
    assert late.value_s == pytest.approx(0.3)
    last = quantile(buckets, 0.99)
    assert last is not None and (last.value_s, last.low_s, last.high_s) == (None, 0.5, None)


def test_a_quantile_without_an_end_says_what_it_is_at_least() -> None:
    made = figures(FACTS, timed((0.0, 0.0, 0.0), (50.0, 90.0, 100.0)))
    assert made.ttft_p99_s is None
    assert "at least 0.5 s" in made.missing["ttft_p99_s"]
    assert made.bounds["ttft_p99_s"] == (0.5, None)


@pytest.mark.parametrize(
    ("count", "p50", "p99"), [(1.0, False, False), (99.0, True, False), (100.0, True, True)]
)
def test_a_quantile_takes_enough_to_lie_beyond_it(count: float, p50: bool, p99: bool) -> None:
    made = figures(FACTS, timed((0.0, 0.0, 0.0), (count, count, count)))
    assert (made.ttft_p50_s is not None, made.ttft_p99_s is not None) == (p50, p99)
    assert p99 or made.missing["ttft_p99_s"] == f"{count:g} counted: a p99 takes 100"


def two_series(bounds: tuple[float, ...], counts: tuple[float, ...]) -> Window:
    """A histogram of bounds 0.1 and 0.5 in which 10 were counted, and another one beside it."""
    one, other = Buckets(bounds=(0.1, 0.5), counts=(4.0, 8.0, 10.0)), Buckets(bounds=bounds, counts=counts)
    none = [Buckets(bounds=b.bounds, counts=(0.0,) * len(b.counts)) for b in (one, other)]
    return Window(
        [
            Reading(t_s=t, histograms={"ttft": {"a": a, "b": b}})
            for t, (a, b) in enumerate([tuple(none), (one, other)])
        ]
    )


def test_series_of_other_buckets_are_counted_on_the_bounds_they_share() -> None:
    found = two_series((0.5, 1.0, 2.0), (30.0, 60.0, 80.0, 90.0)).histogram("ttft")
    assert found == Buckets(bounds=(0.5,), counts=(38.0, 100.0))


def test_series_without_a_common_bound_are_no_histogram_and_that_is_said() -> None:
    window = two_series((0.3,), (30.0, 90.0))
    assert window.histogram("ttft") is None
    assert "no bucket bounds in common" in figures(FACTS, window.readings).missing["ttft_p50_s"]


def test_histograms_restart_and_stand_askew_like_counters() -> None:
    restarted = Window(timed((50.0, 90.0, 100.0), (1.0, 2.0, 2.0))).histogram("ttft")
    assert restarted is not None and restarted.counts == (1.0, 2.0, 2.0)
    askew = Window(timed((10.0, 10.0, 10.0), (12.0, 11.0, 12.0))).histogram("ttft")
    assert askew is not None and askew.counts == (2.0, 2.0, 2.0)
    assert Window(timed(None, None)).histogram("ttft") is None


cumulative = st.lists(st.integers(0, 50), min_size=4, max_size=4).map(
    lambda steps: tuple(float(sum(steps[: i + 1])) for i in range(4))
)


@given(cumulative, st.floats(0.01, 0.99), st.floats(0.01, 3.0))
def test_quantiles_and_shares_agree_with_each_other(
    counts: tuple[float, ...], q: float, limit_s: float
) -> None:
    buckets = Buckets(bounds=(0.1, 0.5, 2.0), counts=counts)
    found, share = quantile(buckets, q), within(buckets, limit_s)
    if counts[-1] == 0.0:
        assert found is None and share is None
        return
    assert found is not None and share is not None
    assert 0.0 <= share.low <= share.high <= 1.0
    assert share.frac is None or share.low <= share.frac <= share.high
    if found.value_s is not None:
        assert found.high_s is not None and found.low_s <= found.value_s <= found.high_s
        back = within(buckets, found.value_s)
        assert back is not None and back.low - 1e-9 <= q <= back.high + 1e-9


def latencies(ttft: tuple[float, ...], tpot: tuple[float, ...], between: str = "tpot") -> list[Reading]:
    """Two readings ten seconds apart, in which these latencies and 1,000 tokens were counted."""
    bounds = {"ttft": (0.2, 1.0), between: (0.03, 0.1)}
    grown, tokens = {"ttft": ttft, between: tpot}, 1000.0
    empty = {name: {"": Buckets(bounds=b, counts=(0.0, 0.0, 0.0))} for name, b in bounds.items()}
    full = {name: {"": Buckets(bounds=b, counts=grown[name])} for name, b in bounds.items()}
    return [
        Reading(t_s=0.0, counters={"generation_tokens": {"": 0.0}}, histograms=empty),
        Reading(t_s=10.0, counters={"generation_tokens": {"": tokens}}, histograms=full),
    ]


def test_one_limit_at_a_bound_is_exact() -> None:
    made = figures(FACTS, latencies((80.0, 95.0, 100.0), (1.0, 1.0, 1.0)), parse_slo("ttft=200ms"))
    assert (made.slo_met_frac, made.slo_met_low_frac, made.slo_met_high_frac) == (0.8, 0.8, 0.8)
    assert made.goodput_tok_s == pytest.approx(80.0)


def test_two_limits_leave_a_range_since_their_overlap_is_not_counted() -> None:
    made = figures(
        FACTS, latencies((80.0, 95.0, 100.0), (90.0, 95.0, 100.0)), parse_slo("ttft=200ms,itl=30ms")
    )
    assert made.slo_met_low_frac == pytest.approx(0.7)
    assert made.slo_met_high_frac == pytest.approx(0.8)
    assert made.slo_met_frac is None
    assert "which requests" in made.missing["slo_met_frac"]
    dollars = priced(made, Money(usd_h=3.6))
    assert dollars.usd_per_mtok_good_low == pytest.approx(12.5)
    assert dollars.usd_per_mtok_good_high == pytest.approx(14.2857, rel=1e-4)
    assert dollars.usd_per_mtok_good is None
    assert dollars.usd_per_mtok_generated == pytest.approx(10.0), "of the same tokens, all of them good"


def test_every_limit_that_no_histogram_tells_is_named() -> None:
    made = figures(FACTS, counted(0.0, 100.0), parse_slo("ttft=200ms,itl=30ms"))
    assert made.missing["slo_met_frac"] == "no histogram tells ttft or itl"


def test_a_limit_inside_a_bucket_is_a_range_with_a_guess_in_it() -> None:
    made = figures(FACTS, latencies((80.0, 100.0, 100.0), (1.0, 1.0, 1.0)), parse_slo("ttft=600ms"))
    assert (made.slo_met_low_frac, made.slo_met_high_frac) == (0.8, 1.0)
    assert made.slo_met_frac == pytest.approx(0.9)


def test_an_objective_that_no_histogram_tells_is_unknown() -> None:
    made = figures(FACTS, latencies((1.0, 1.0, 1.0), (1.0, 1.0, 1.0)), parse_slo("e2e=5s"))
    assert made.slo == "e2e=5s"
    assert made.slo_met_frac is None and "no histogram tells e2e" in made.missing["slo_met_frac"]


def test_single_gaps_tell_no_share_of_requests() -> None:
    """95 % of gaps in time: every request may have had a late one, or one request all of them."""
    alone = figures(FACTS, latencies((0.0, 0.0, 0.0), (95.0, 98.0, 100.0), "itl"), parse_slo("itl=30ms"))
    assert (alone.slo_met_frac, alone.slo_met_low_frac, alone.slo_met_high_frac) == (None, None, None)
    assert alone.gaps_met_frac == pytest.approx(0.95)
    assert alone.goodput_tok_s is None and "single gaps" in alone.missing["goodput_tok_s"]
    both = figures(
        FACTS, latencies((60.0, 95.0, 100.0), (95.0, 98.0, 100.0), "itl"), parse_slo("ttft=200ms,itl=30ms")
    )
    assert (both.slo_met_frac, both.slo_met_low_frac, both.slo_met_high_frac) == (None, 0.0, 0.6)
    assert "single gaps" in both.missing["slo_met_frac"]


def test_tokens_within_the_objective_say_what_they_assume() -> None:
    made = figures(FACTS, latencies((80.0, 95.0, 100.0), (90.0, 95.0, 100.0)), parse_slo("ttft=200ms"))
    assert any("as many tokens as others" in note for note in made.notes)


@given(
    cumulative.map(lambda c: c[:3]),
    cumulative.map(lambda c: c[:3]),
    st.floats(0.01, 2.0),
    st.floats(0.001, 0.2),
)
def test_the_share_that_met_all_is_within_each_ones_share(
    ttft: tuple[float, ...], itl: tuple[float, ...], first_s: float, gap_s: float
) -> None:
    slo = parse_slo(f"ttft={first_s:.4f}s,itl={gap_s:.4f}s")
    made = figures(FACTS, latencies(ttft, itl), slo)
    low, high = made.slo_met_low_frac, made.slo_met_high_frac
    assert (low is None) == (ttft[-1] == 0.0 or itl[-1] == 0.0)
    assert low is None or high is None or 0.0 <= low <= high + 1e-12


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ttft=200ms,itl=30ms", "ttft=200ms,itl=30ms"),
        (" TPOT = 30 ms , e2e=5s", "itl=30ms,e2e=5s"),
        ("ttft=1500ms", "ttft=1.5s"),
        ("itl=.5ms", "itl=0.5ms"),
        ("e2e=2m", "e2e=120s"),
    ],
)
def test_objectives_as_people_write_them(text: str, said: str) -> None:
    assert parse_slo(text).text == said
    assert parse_slo(said) == parse_slo(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ",",
        "ttft",
        "ttft=",
        "ttft=200",
        "ttft=-1ms",
        "ttft=0s",
        "latency=1s",
        "ttft=1s,ttft=2s",
        "e2e=99999m",
    ],
)
def test_objectives_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"objective|time|twice|day"):
        parse_slo(text)


def test_dollars_are_split_by_the_time_of_requests() -> None:
    """Worked examples: 9,010 tok/s at $6.88/h is $0.212 per million; 691 W is 13.0 tokens a joule."""
    readings = [
        Reading(
            t_s=t_s,
            counters={
                "prompt_tokens": {"": 4010.0 * t_s},
                "generation_tokens": {"": 5000.0 * t_s},
                "prefill_s": {"": 1.0 * t_s},
                "decode_s": {"": 3.0 * t_s},
                "responses": {"": 10.0 * t_s},
                "good_responses": {"": 8.0 * t_s},
            },
        )
        for t_s in (0.0, 10.0)
    ]
    money = Money(usd_h=6.88, source="test", power_w=691.0, electricity_usd_kwh=0.10, pue=1.54)
    made = priced(figures(FACTS, readings), money)
    assert made.usd_per_mtok == pytest.approx(0.212, abs=5e-4)
    assert made.usd_per_mtok_generated == pytest.approx(6.88 / 3600 / 5000.0 * 1e6)
    assert made.tok_j == pytest.approx(13.04, abs=0.01)
    assert made.usd_energy_per_mtok == pytest.approx(0.0033, abs=5e-5)
    assert made.prefill_time_frac == 0.25
    prefill, decode = made.usd_per_mtok_prefill, made.usd_per_mtok_decode
    assert prefill is not None and decode is not None
    assert prefill * 4010.0 + decode * 5000.0 == pytest.approx(6.88 / 3600 * 1e6)
    assert made.usd_per_response == pytest.approx(6.88 / 3600 / 8.0)


def test_dollars_of_generated_tokens_are_called_so_beside_those_of_good_ones() -> None:
    """By hand: 1,250 tokens a second at $3.60/h are $0.80, 500 generated $2.00, half of them good $4.00."""
    buckets = {"ttft": {"": Buckets(bounds=(0.2, float("inf")), counts=(0.0, 0.0))}}
    half = {"ttft": {"": Buckets(bounds=(0.2, float("inf")), counts=(50.0, 100.0))}}
    counted = {"prompt_tokens": {"": 7500.0}, "generation_tokens": {"": 5000.0}}
    nothing = {name: {"": 0.0} for name in counted}
    window = [
        Reading(t_s=0.0, counters=nothing, histograms=buckets),
        Reading(t_s=10.0, counters=counted, histograms=half),
    ]
    made = priced(figures(FACTS, window, parse_slo("ttft=200ms")), Money(usd_h=3.6, source="test"))
    said = {line.what: line.text for line in lines(made, Style(str, str))}
    assert "$0.8 per million tokens of prompts and generated, $2 per million generated," in said["cost"]
    assert "$4 per million good generated tokens" in said["objective"]


def test_without_price_or_power_the_reasons_are_given() -> None:
    made = priced(figures(FACTS, counted(0.0, 100.0)), Money())
    assert made.usd_per_mtok is None and made.missing["usd_per_mtok"] == "no price is known"
    assert made.tok_j is None and "GPUs are not known" in made.missing["tok_j"]


@pytest.mark.parametrize(
    ("good", "cost", "why", "noted"),
    [
        ({"good_responses": 8.0}, 6.88 / 3600 / 8.0, None, False),
        ({"good_responses": 0.0}, None, "no response was good", False),
        ({}, 6.88 / 3600 / 10.0, None, True),
    ],
)
def test_a_response_that_failed_is_none_and_unknown_failures_are_named(
    good: dict[str, float], cost: float | None, why: str | None, noted: bool
) -> None:
    rates = {"responses": 10.0, **good}
    readings = [
        Reading(t_s=t_s, counters={name: {"": rate * t_s} for name, rate in rates.items()})
        for t_s in (0.0, 10.0)
    ]
    made = priced(figures(FACTS, readings), Money(usd_h=6.88))
    assert made.usd_per_response == (None if cost is None else pytest.approx(cost))
    assert made.missing.get("usd_per_response") == why
    assert any("failures are not told apart" in note for note in made.notes) is noted
