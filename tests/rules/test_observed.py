"""Figures over sub-windows are weighted by time, leave lost ones out, and stay unknown when unseen."""

from __future__ import annotations

import msgspec
import pytest

from rules.evidence import SubWindow
from rules.observed import busy_mean, link_mean, mean, reading_note, seconds, variation
from tests.rules.contexts import make_evidence

UNEVEN = make_evidence(
    windows=(
        SubWindow(t_s=1.0, duration_s=1.0, gr_active=0.2, sm_active=0.1),
        SubWindow(t_s=4.0, duration_s=3.0, gr_active=0.6, sm_active=0.3),
        SubWindow(t_s=5.0, duration_s=1.0, gr_active=1.0, lost=True),
    )
)


def test_a_mean_weighs_by_time_and_leaves_lost_windows_out() -> None:
    assert mean(UNEVEN, "gr_active") == pytest.approx(0.5)
    assert seconds(UNEVEN) == 4.0


def test_busy_means_are_conditional_on_busy_time() -> None:
    assert busy_mean(UNEVEN, "sm_active") == pytest.approx(0.5)
    assert busy_mean(make_evidence({"gr_active": 0.0, "sm_active": 0.0}), "sm_active") is None
    assert busy_mean(make_evidence({"gr_active": 0.5, "sm_active": 0.9}), "sm_active") == 1.0


def test_the_unseen_is_unknown() -> None:
    assert mean(UNEVEN, "dram_active") is None
    assert busy_mean(UNEVEN, "dram_active") is None
    assert link_mean(UNEVEN, "pcie") is None
    assert variation(UNEVEN, "gr_active") is None
    assert reading_note(make_evidence(windows=()), "gr_active") == "no data"


def test_a_link_is_judged_by_its_busier_direction() -> None:
    evidence = make_evidence({"pcie_rx_bytes_s": 1e9, "pcie_tx_bytes_s": 4e9})
    assert link_mean(evidence, "pcie") == pytest.approx(4e9)


def test_variation_is_relative_to_the_mean() -> None:
    flat = make_evidence({"gr_active": 0.5})
    assert variation(flat, "gr_active") == pytest.approx(0.0)
    swing = tuple(msgspec.structs.replace(w, gr_active=float(i % 2)) for i, w in enumerate(flat.windows))
    assert variation(make_evidence(windows=swing), "gr_active") == pytest.approx(1.0)


def test_the_note_says_where_a_counter_was_read() -> None:
    assert reading_note(make_evidence(), "gr_active") == "GPM gr_active, 50 sub-windows of 200 ms"
    assert reading_note(make_evidence(tier="nvml"), "gr_active").startswith("NVML")
