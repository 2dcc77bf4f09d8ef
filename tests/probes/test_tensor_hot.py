"""The GEMM probe on a card whose clock decays under its power limit: settled figures, fair shares of time."""

from __future__ import annotations

from typing import Any

import pytest

from probes import matmul, tensor, timing
from probes.matmul import LARGER, Shape
from probes.precisions import PRECISIONS
from probes.record import Measurement
from probes.registry import PROBES
from probes.sanity import judge
from tests.probes.hot_card import FACTS, HELD_MHZ, HotCard, hot_lab

torch = pytest.importorskip("torch")

BUDGET_S = next(probe.budget_s for probe in PROBES if probe.name == "tensor")
MINE = [p for p in PRECISIONS if p.metric in HELD_MHZ]
SMALL = {str(shape) for shape in tensor.START}


@pytest.fixture(autouse=True)
def exact_results(monkeypatch: pytest.MonkeyPatch) -> None:
    """Operands without data have no result to check."""
    monkeypatch.setattr(matmul, "error_of", lambda *_: 0.0)
    monkeypatch.setattr(matmul, "flaw", lambda *_: None)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)


def ran(
    monkeypatch: pytest.MonkeyPatch, card: HotCard, mode: str, budget_s: float = BUDGET_S
) -> tuple[dict[str, Measurement], float]:
    """Judged records by metric, and the seconds that it took of the card's time."""
    for module in (timing, matmul, tensor):
        monkeypatch.setattr(module, "_now", card.clock, raising=False)
    monkeypatch.setattr(timing, "_pause", card.sleep)
    monkeypatch.setattr("time.monotonic", card.clock)
    here: Any = hot_lab(card, mode)
    here.begin(budget_s)
    begin = card.now_s
    found = list(tensor.each(here, [card.precision(p) for p in MINE]))
    judged = judge(found, FACTS, here.spec)
    return {m.metric: m for m in judged}, card.now_s - begin


def shape_of(m: Measurement) -> Shape:
    return Shape(*(int(edge) for edge in str(m.conditions.shape).split("x")))


# How far above what the card holds a figure may be: in quick mode it is still leaving its boost clock.
@pytest.mark.parametrize(
    ("mode", "limit_s", "above"), [("quick", 6.5, 0.10), ("default", 26.0, 0.03), ("full", 105.0, 0.01)]
)
def test_every_precision_is_measured_at_a_large_shape_within_the_budget(
    monkeypatch: pytest.MonkeyPatch, mode: str, limit_s: float, above: float
) -> None:
    card = HotCard()
    found, took_s = ran(monkeypatch, card, mode)
    assert {m: r.reason for m, r in found.items() if r.valid != "valid"} == {}
    assert took_s < limit_s
    for metric, m in found.items():
        assert m.conditions.shape not in SMALL
        assert m.median is not None
        assert 0.995 < m.median / card.held_flop_s(metric, shape_of(m)) < 1 + above, metric
        assert m.conditions.extra["settled"] == float("settled" not in m.conditions.missing)
    assert found["bf16"].conditions.extra["settled"] == 1.0


def test_the_best_shape_of_operands_as_wide_is_tried_first(monkeypatch: pytest.MonkeyPatch) -> None:
    found, _ = ran(monkeypatch, HotCard(), "quick")
    tried = {metric: list(m.conditions.tried) for metric, m in found.items()}
    for earlier, later in (("bf16", "fp16"), ("tf32", "fp32"), ("fp8_e4m3", "fp8_e5m2")):
        assert tried[later][0] == found[earlier].conditions.shape


def test_default_mode_holds_what_matters_most(monkeypatch: pytest.MonkeyPatch) -> None:
    found, _ = ran(monkeypatch, HotCard(), "default")
    for metric in ("bf16", "fp8_e4m3"):
        m = found[metric]
        assert m.sustained == pytest.approx(m.median, rel=0.02)
        assert m.burst is not None
        assert m.burst > 1.05 * (m.sustained or 0.0)


@pytest.mark.parametrize("mode", ["quick", "default"])
def test_a_slow_start_costs_extras_and_no_large_shape(monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    late_s = 5.5 if mode == "quick" else 27.0
    found, took_s = ran(monkeypatch, HotCard(first_s=late_s), mode)
    assert took_s < late_s + (5.0 if mode == "quick" else 8.0)
    assert {m.valid for m in found.values()} == {"valid"}
    assert not {m.conditions.shape for m in found.values()} & SMALL


def test_where_nothing_is_left_of_the_run_every_precision_still_has_a_large_shape(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found, took_s = ran(monkeypatch, HotCard(), "quick", budget_s=0.0)
    assert {m.valid for m in found.values()} == {"valid"}
    assert not {m.conditions.shape for m in found.values()} & SMALL
    assert took_s < 6.0


def test_a_figure_of_a_small_shape_is_no_ceiling_and_is_compared_with_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found, _ = ran(monkeypatch, HotCard(first_s=15.0), "quick")
    assert found.pop("bf16").valid == "valid"
    assert {m.valid for m in found.values()} == {"degraded"}
    assert {m.reason for m in found.values()} == {"degraded: no time for larger shapes"}
    assert {m.conditions.missing[LARGER] for m in found.values()} == {"no time"}
    assert {m.conditions.shape for m in found.values()} <= SMALL
