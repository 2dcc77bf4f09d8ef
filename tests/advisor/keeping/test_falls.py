"""A live diagnosis beside the card's own past."""

from __future__ import annotations

from pathlib import Path

import pytest

from advisor.keeping.falls import with_falls
from advisor.keeping.history import HistoryFile
from advisor.keeping.runs import figures_of
from advisor.store import Store
from tests.factories import device_key, make_diagnosis
from tests.probes.reports import DAY_S, T0_S, VERSIONS, facts, full, report, take


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store of ceilings."""
    return Store(tmp_path / "ceilings")


def probed(store: Store, *values: float, last_driver: str = "580.95.05") -> None:
    for day, value in enumerate(values):
        driver = last_driver if day == len(values) - 1 else "580.95.05"
        device = facts(key=device_key(0))
        versions = {**VERSIONS, "driver": driver}
        store.add(report(take("bf16", value), device=device, t_s=T0_S + day * DAY_S, versions=versions))


def test_a_card_whose_ceiling_fell_is_flagged(store: Store) -> None:
    probed(store, 7e14, 7e14, 7e14, 5.6e14)
    flagged = with_falls(make_diagnosis("host", "memory"), store)
    (flag,) = flagged.flags
    assert (flag.code, flag.key) == ("ceiling-degraded", device_key(0))
    assert "bf16 GEMM at 80 % of its best since 2026-09-24" in flag.message
    assert f"advisor history --trends --gpu {device_key(0)}" in flag.message


def test_a_steady_card_or_another_driver_is_not_flagged(store: Store) -> None:
    made = make_diagnosis("host")
    assert with_falls(made, store) is made
    probed(store, 7e14, 7e14, 7.1e14, 6.9e14)
    assert with_falls(made, store) is made
    store.path(device_key(0)).unlink()
    probed(store, 7e14, 7e14, 7e14, 5e14, last_driver="590.1")
    assert with_falls(made, store) is made


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), UnicodeError("no text"), KeyError("x")])
def test_a_store_that_cannot_be_read_costs_the_flag_alone(
    store: Store, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def broken(_self: Store, _key: str) -> None:
        raise error

    monkeypatch.setattr(Store, "history", broken)
    made = make_diagnosis("host")
    if isinstance(error, KeyError):
        with pytest.raises(KeyError):
            with_falls(made, store)  # a defect of our own is not hidden
    else:
        assert with_falls(made, store) is made


def test_figures_are_those_that_come_back_from_the_history(store: Store, tmp_path: Path) -> None:
    store.add(full())
    history = HistoryFile(tmp_path / "h.sqlite3")
    history.take_over(store)
    kept = sorted(history.figures(-float("inf")), key=lambda f: f.metric)
    assert sorted(figures_of(full()), key=lambda f: f.metric) == kept
