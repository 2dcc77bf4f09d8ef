"""Verdicts against truths: right, wrong and abstained, and what is made of them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.accuracy.rival import Rival
from benchmarks.accuracy.score import (
    Row,
    Said,
    class_shares,
    confusion,
    metrics,
    rival_figures,
    row_of,
    share_error,
)
from benchmarks.workloads.spec import LABELS, Truth
from rules.verdict import SHARES, Class
from tests.factories import make_verdict

TRUTH = Truth(
    name="copy",
    family="memory_stream",
    label="memory",
    cause="dram-bandwidth",
    causes=("latency",),
    shares={"memory": 0.9, "host": 0.1},
    confirmed=True,
    because="planted",
    recording="copy.jsonl.gz",
    device="made-up",
    synthetic=True,
)

RIVAL = Rival(
    name="r", version="1", source="https://example.org", mapping="as it is", looks=lambda _: [], sees="nvml"
)


def row(label: str = "memory", said: Class = "memory", confidence: float = 0.8, **changes: Any) -> Row:
    truth = msgspec.structs.replace(
        TRUTH, label=label, **{k: v for k, v in changes.items() if k in Truth.__struct_fields__}
    )
    verdict = make_verdict(said)
    cause = changes.get("verdict_cause", "dram-bandwidth")
    return row_of(truth, "x", msgspec.structs.replace(verdict, confidence=confidence, cause=cause))


def test_an_accepted_class_is_right_and_unknown_is_neither() -> None:
    assert row(said="memory").right and row("memory", "host", accepted=("host",)).right
    wrong, unknown = row(said="host"), row(said="unknown", confidence=0.0)
    assert wrong.wrong and not wrong.abstained and wrong.cause_right is None
    assert unknown.abstained and not unknown.wrong and not unknown.right


def test_a_cause_counts_only_where_the_class_is_right() -> None:
    rows = [row(), row(verdict_cause="latency"), row(verdict_cause="sync"), row(said="host")]
    assert [r.cause_right for r in rows] == [True, True, False, None]
    assert metrics(rows).cause_accuracy == pytest.approx(2 / 3)


def test_accuracy_counts_abstentions_as_not_right_and_says_what_it_is_without_them() -> None:
    found = metrics([row(), row(said="host", confidence=0.95), row(said="unknown", confidence=0.0), row()])
    assert (found.n, found.abstained, found.confident_mistakes) == (4, 1, 1)
    assert found.accuracy == 0.5 and found.accuracy_decided == pytest.approx(2 / 3)
    assert found.brier == pytest.approx((0.2**2 + 0.95**2 + 0.2**2) / 3)


def test_a_mistake_is_confident_from_nine_tenths_on() -> None:
    assert row(said="host", confidence=0.9).confident_mistake
    assert not row(said="host", confidence=0.899).confident_mistake
    assert not row(confidence=0.99).confident_mistake


def test_an_unconfirmed_truth_counts_nowhere() -> None:
    rows = [row(), row(said="host", confidence=0.97, confirmed=False)]
    assert metrics(rows) == metrics(rows[:1]) and confusion(rows) == confusion(rows[:1])


def test_nothing_scored_has_no_figures() -> None:
    found = metrics([])
    assert found.n == 0 and found.accuracy is found.brier is found.share_error is None


def test_the_share_error_is_the_largest_difference_of_a_class() -> None:
    assert share_error({"memory": 0.7, "host": 0.2, "unknown": 0.1}, TRUTH.shares) == pytest.approx(0.2)
    assert share_error({"memory": 0.5, "compute": 0.5}, {"memory": 1.0}) == 0.5
    assert share_error({"memory": 1.0}, {}) is None


def test_throttled_time_belongs_to_the_class_that_it_slowed() -> None:
    shares = dict.fromkeys(SHARES, 0.0)
    for name, class_ in (("compute", "compute"), ("device", "device")):
        verdict = msgspec.structs.replace(make_verdict(), shares={**shares, name: 0.8, "throttle": 0.2})
        assert class_shares(verdict)[class_] == pytest.approx(1.0)


def test_precision_is_of_verdicts_and_recall_of_recordings() -> None:
    rows = [row(), row(said="host"), row("host", "host"), row("host", "memory"), row("host", "host")]
    found = metrics(rows).by_class
    assert found["host"].recall == pytest.approx(2 / 3) and found["host"].precision == pytest.approx(2 / 3)
    assert (found["memory"].n, found["memory"].given, found["memory"].precision) == (2, 2, 0.5)
    assert set(found) == {"host", "memory"}


def test_a_rival_that_names_no_class_is_not_right() -> None:
    said = [
        Said(row(), "memory", "memory"),
        Said(row(), "compute", "compute"),
        Said(row(), None, "memory"),
        Said(row(confirmed=False), "memory", "memory"),
    ]
    found = rival_figures(said, RIVAL)
    assert (found.n, found.abstained, found.abstained_named) == (3, 1, 0)
    assert found.accuracy == pytest.approx(1 / 3) and found.accuracy_decided == 0.5
    assert found.accuracy_named == pytest.approx(2 / 3)


CLASSES: tuple[Class, ...] = (*LABELS, "unknown")
ROWS = st.lists(
    st.builds(
        row, st.sampled_from(LABELS), st.sampled_from(CLASSES), st.floats(0.0, 1.0), confirmed=st.booleans()
    ),
    max_size=12,
)


@settings(max_examples=30, deadline=None)
@given(rows=ROWS)
def test_figures_hold_together(rows: list[Row]) -> None:
    found = metrics(rows)
    assert sum(sum(line.values()) for line in confusion(rows).values()) == found.n
    assert sum(line["unknown"] for line in confusion(rows).values()) == found.abstained
    assert sum(b.n for b in found.calibration) == found.n - found.abstained
    assert found.confident_mistakes <= found.n - found.abstained
    figures = (found.accuracy, found.accuracy_decided, found.brier, found.share_error, found.cause_accuracy)
    assert all(figure is None or 0.0 <= figure <= 1.0 for figure in figures)
    if found.accuracy is not None and found.accuracy_interval is not None:
        assert found.accuracy_interval[0] <= found.accuracy <= found.accuracy_interval[1]
    if found.accuracy is not None and found.accuracy_decided is not None:
        assert found.accuracy <= found.accuracy_decided + 1e-12
    assert sum(c.n for c in found.by_class.values()) == found.n
