"""The price list as text: hostile words of rows and nodes cannot reach a terminal as they are."""

from __future__ import annotations

import datetime

from hypothesis import given
from hypothesis import strategies as st

from advisor.config import Config
from advisor.price_list import Wanted, price_list
from advisor.price_table import Model, PriceRow
from advisor.prices import NodeFacts
from advisor.reports.prices import as_text

NASTY = st.text(max_size=60) | st.sampled_from(["\x1b[31mred", "a\nb", "\u202eevil", "x" * 500, ""])
ROWS = st.lists(
    st.builds(
        PriceRow,
        accelerator=NASTY,
        provider=NASTY,
        instance=NASTY,
        gpu_count=st.just(1),
        usd_h=st.floats(0.01, 1000),
        spot_usd_h=st.none() | st.floats(0.01, 1000),
        region=NASTY,
        host_included=st.booleans(),
        date=st.sampled_from(["unknown", "2026-01-01"]) | NASTY,
        commit=NASTY,
        note=NASTY,
    ),
    max_size=3,
)


@given(rows=ROWS, model=NASTY, instance=NASTY, label=NASTY, columns=st.integers(40, 200))
def test_any_words_give_lines_that_are_safe(
    rows: list[PriceRow], model: str, instance: str, label: str, columns: int
) -> None:
    node = NodeFacts(host=label, provider="aws", instance=instance, instance_why=label, label=label)
    wanted = [Wanted(model=Model(name=model), gpus=(0,))]
    config = Config(job_prices={f"label:{label}": 2.0})
    text = as_text(price_list(rows, wanted, config, {}, node, datetime.date(2026, 1, 1)), columns)
    assert all(line.isprintable() for line in text.splitlines())
    assert "\x1b" not in text
    assert "\u202e" not in text
