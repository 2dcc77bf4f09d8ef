"""Whatever two documents hold, they are compared or refused, shown, and valid by the schema."""

from __future__ import annotations

import importlib
import json
import math
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from advisor.comparing.compare import Wish, compare
from advisor.comparing.gate import Limit, judge
from advisor.comparing.throughput import Work
from advisor.document import Diagnosis, TimeSeries
from advisor.reports.compare import render_markdown, render_text
from advisor.reports.json import decode, encode
from advisor.reports.jsontext import as_json
from advisor.schema import json_schema
from rules.compare.records import Comparison
from rules.verdict import SHARES
from tests.advisor.comparing.looks import make_look, make_row
from tests.factories import T0_S
from tests.strategies import diagnoses, with_sound_money

jsonschema: Any = importlib.import_module("jsonschema")
SCHEMA = jsonschema.Draft202012Validator(json_schema("comparison"))
LIMITS = (Limit("regression", 0.05), Limit("wasted", 0.1), Limit("usd", 1.0))
wishes = st.sampled_from(
    [Wish(), Wish(force=True), Wish(cards=True), Wish(work=Work(1.0, 1e9)), Wish(gpu=None)]
)

fracs = st.floats(0.0, 1.0)
figures = st.none() | st.floats(-1e9, 1e9) | st.just(0.0)


@st.composite
def series(draw: st.DrawFn) -> TimeSeries:
    """A series of any content, mostly of equal columns; sometimes damaged."""
    count = draw(st.integers(0, 50))
    length = st.just(count) | st.integers(0, 3)

    def column(values: st.SearchStrategy[Any]) -> tuple[Any, ...]:
        base = draw(st.lists(values, min_size=1, max_size=4))
        wanted = draw(length)
        return tuple((base * (wanted // len(base) + 1))[:wanted])

    return TimeSeries(
        t_s=tuple(float(i) for i in range(count)),
        duration_s=tuple([draw(st.floats(0.0, 100.0))] * count),
        shares={name: column(fracs) for name in SHARES},
        useful_frac=column(fracs),
        figures={name: column(figures) for name in ("gr_active", "dram_active", "power_w", "sm_mhz")},
    )


@st.composite
def looks(draw: st.DrawFn) -> Diagnosis:
    """One row with a made-up series."""
    look = make_look(
        make_row(draw(fracs), useful_frac=draw(st.none() | fracs), dram_roof_frac=draw(st.none() | fracs)),
        at_s=T0_S + draw(st.sampled_from([0.0, 30.0, 600.0])),
        price_usd_h=draw(st.none() | st.sampled_from([0.0, 1e-9, 6.88, 1e6])),
    )
    seen = msgspec.structs.replace(look.observed[0], series=draw(st.none() | series()))
    return msgspec.structs.replace(look, observed=(seen,))


def read_back(look: Diagnosis) -> Diagnosis:
    return decode(encode(with_sound_money(look)))


def holds(found: Comparison) -> None:
    """What is true of every comparison."""
    judge(found, LIMITS)
    for width in (60, 100):
        assert "\x1b" not in render_text(found, width, False)
    assert render_markdown(found).endswith("\n")
    document = json.loads(as_json(found))
    SCHEMA.validate(document)
    for pair in found.pairs:
        assert (pair.figures == ()) is (pair.refused is not None) or not pair.refused
        for figure in pair.figures:
            if figure.low is not None and figure.high is not None and figure.change is not None:
                assert figure.low <= figure.change <= figure.high
            if figure.change is not None:
                assert math.isclose(figure.change, (figure.b or 0.0) - (figure.a or 0.0), abs_tol=1e-9)
                assert figure.refused is None


@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(diagnoses(), diagnoses(), wishes)
def test_any_two_documents(a: Diagnosis, b: Diagnosis, wish: Wish) -> None:
    holds(compare(read_back(a), read_back(b), ("a", "b"), wish))


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(looks(), looks(), wishes)
def test_any_two_series(a: Diagnosis, b: Diagnosis, wish: Wish) -> None:
    holds(compare(a, b, ("a", "b"), wish))


@settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(diagnoses())
def test_a_document_beside_itself_is_matched_whole(look: Diagnosis) -> None:
    found = compare(look, look, ("a", "b"))
    assert (found.only_a, found.only_b) == ((), ())
    assert all(pair.a.key == pair.b.key for pair in found.pairs)
    assert not any(f.says in ("up", "down") for pair in found.pairs for f in pair.figures)
