"""From rows to trends: by device, by metric, and what counts as the card's own ceiling."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from advisor.keeping.history import HistoryFile
from advisor.keeping.records import DeviceTrends, KeptFigure
from advisor.keeping.trends import ceiling_trends, device_trends, fallen
from advisor.store import Store
from tests.factories import make_diagnosis
from tests.probes.reports import DAY_S, T0_S, VERSIONS, facts, report, take

EVER = -float("inf")


@pytest.fixture
def history(tmp_path: Path) -> HistoryFile:
    """An empty history."""
    return HistoryFile(tmp_path / "history.sqlite3")


def probed(history: HistoryFile, tmp_path: Path, *runs: Any) -> list[KeptFigure]:
    store = Store(tmp_path / "ceilings")
    for run in runs:
        store.add(run)
    history.take_over(store)
    return history.figures(EVER)


def daily(*values: float, metric: str = "bf16", **changes: Any) -> list[Any]:
    return [
        report(take(metric, value), t_s=T0_S + day * DAY_S, **changes) for day, value in enumerate(values)
    ]


def only(devices: tuple[DeviceTrends, ...]) -> DeviceTrends:
    (device,) = devices
    return device


def test_a_ceiling_that_fell_is_named_with_since_when(history: HistoryFile, tmp_path: Path) -> None:
    figures = probed(history, tmp_path, *daily(7e14, 7e14, 7e14, 6e14, 6e14))
    device = only(device_trends([], figures))
    (trend,) = fallen(device)
    assert trend.fall is not None
    assert (trend.metric, trend.fall.since_s, trend.fall.runs) == ("bf16", T0_S + 3 * DAY_S, 2)
    assert (device.probe_runs, device.diagnoses, device.gpu) == (5, 0, 0)


def test_less_is_better_for_a_latency(history: HistoryFile, tmp_path: Path) -> None:
    better = probed(history, tmp_path, *daily(6e-7, 6e-7, 5e-7, metric="dram_latency"))
    assert fallen(only(device_trends([], better))) == ()
    worse = probed(history, tmp_path, report(take("dram_latency", 9e-7), t_s=T0_S + 9 * DAY_S))
    assert [t.metric for t in fallen(only(device_trends([], worse)))] == ["dram_latency"]


def test_what_the_host_decides_is_shown_and_not_judged(history: HistoryFile, tmp_path: Path) -> None:
    figures = probed(history, tmp_path, *daily(2e-6, 2e-6, 2e-6, 9e-6, metric="launch_interval"))
    (trend,) = ceiling_trends(figures)
    assert (trend.fall, trend.judged) == (None, False)
    assert trend.because == "the host decides it as much as the card"


@pytest.mark.parametrize(
    "changes",
    [
        {"versions": {**VERSIONS, "driver": "590.1"}},
        {"versions": {**VERSIONS, "torch": "3.0"}},
        {"device": facts(power_limit_w=500.0)},
        {"device": facts(ecc_enabled=False)},
        {"mode": "quick"},
        {"method_version": 99},
    ],
)
def test_a_fall_that_came_with_another_setting_is_not_the_cards(
    history: HistoryFile, tmp_path: Path, changes: dict[str, Any]
) -> None:
    last = report(take("bf16", 5e14), t_s=T0_S + 9 * DAY_S, **changes)
    device = only(device_trends([], probed(history, tmp_path, *daily(7e14, 7e14, 7e14), last)))
    assert fallen(device) == ()
    (trend,) = device.ceilings
    assert trend.apart is not None and trend.apart.differences
    assert trend.apart.change_frac == pytest.approx(-2 / 7)


def test_contended_and_rejected_figures_do_not_count(history: HistoryFile, tmp_path: Path) -> None:
    busy = report(take("bf16", 2e14), t_s=T0_S + 8 * DAY_S, contended="python holds it")
    wrong = report(take("bf16", 2e14, valid="rejected", reason="x"), t_s=T0_S + 9 * DAY_S)
    figures = probed(history, tmp_path, *daily(7e14, 7e14), busy, wrong)
    (trend,) = ceiling_trends(figures)
    assert trend.values == (7e14, 7e14)


def test_devices_come_by_index_and_one_metric_alone(history: HistoryFile, tmp_path: Path) -> None:
    for _ in range(2):
        history.add(make_diagnosis("host", "memory"))
    figures = probed(history, tmp_path, *daily(7e14, device=facts(1)))
    devices = device_trends(history.diagnoses(EVER), figures)
    assert [d.gpu for d in devices] == [0, 1, 1] or [d.gpu for d in devices] == [0, 1]
    assert all(d.synthetic for d in devices if d.diagnoses)
    names = {t.metric for d in devices for t in d.workloads}
    assert names == {"useful", "wasted", "wasted_usd_h", "power_w_p50", "power_w_p90", "sm_mhz"}
    some = device_trends(history.diagnoses(EVER), figures, "useful")
    assert {t.metric for d in some for t in (*d.workloads, *d.ceilings)} == {"useful"}
