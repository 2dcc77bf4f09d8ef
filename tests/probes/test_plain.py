"""Figures in units people read, and the plain table."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.plain import figure, one_line, percent, report_table, run_table, status
from probes.record import DeviceFacts, Measurement, Outlier, ProbeReport, ProbeRun, Unit

CPU = DeviceFacts(kind="cpu", key="cpu:0", name="A CPU")


def a_measurement(**fields: object) -> Measurement:
    known: dict[str, object] = {
        "probe": "bandwidth",
        "metric": "dram_copy",
        "unit": "bytes_s",
        "median": 3e12,
    }
    return Measurement(**{**known, **fields})  # type: ignore[arg-type]


def a_report(*measurements: Measurement, **fields: object) -> ProbeReport:
    known: dict[str, object] = {
        "device": CPU,
        "mode": "quick",
        "t_s": 0.0,
        "wall_s": 1.25,
        "method_version": 1,
    }
    return ProbeReport(**{**known, "measurements": measurements, **fields})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (3.021e12, "bytes_s", "3.02 TB/s"),
        (26.31e9, "bytes_s", "26.3 GB/s"),
        (999.7e9, "bytes_s", "1.00 TB/s"),
        (999.4e9, "bytes_s", "999 GB/s"),
        (798.2e12, "flop_s", "798 TFLOP/s"),
        (1.4026e15, "flop_s", "1.40 PFLOP/s"),
        (12.0, "op_s", "12.0 OP/s"),
        (0.0, "op_s", "0.00 OP/s"),
        (2.314e-6, "s", "2.31 µs"),
        (131e-9, "s", "131 ns"),
        (9.996e-4, "s", "1.00 ms"),
        (12.5, "s", "12.5 s"),
        (0.0, "s", "0.00 ns"),
        (0.94, "frac", "0.94"),
        (7.0, "count", "7"),
        (None, "flop_s", "-"),
    ],
)
def test_figures_have_three_digits_and_a_sensible_unit(value: float | None, unit: Unit, text: str) -> None:
    assert figure(value, unit) == text


@pytest.mark.parametrize(
    ("frac", "text"), [(None, "-"), (0.0123, "1.2 %"), (0.0996, "10 %"), (0.896, "90 %"), (1.04, "104 %")]
)
def test_percentages(frac: float | None, text: str) -> None:
    assert percent(frac) == text


@given(st.text())
def test_text_of_others_stays_on_one_line_and_bounded(text: str) -> None:
    shown = one_line(text, 30)
    assert len(shown) <= 30
    assert all(c.isprintable() for c in shown)


def test_a_status_is_empty_for_what_counts_and_else_says_why_it_does_not() -> None:
    assert status(a_measurement()) == ""
    assert (
        status(a_measurement(valid="degraded", reason="below half of spec")) == "degraded: below half of spec"
    )
    told = a_measurement(valid="unsupported", reason="unsupported: needs compute capability 8.9")
    assert status(told) == "unsupported: needs compute capability 8.9"
    assert status(a_measurement(label="contended")) == "contended"


def test_a_table_aligns_its_columns_and_shows_what_counts() -> None:
    report = a_report(
        a_measurement(sustained=2.9e12, of_spec=0.866, cv=0.004),
        a_measurement(metric="dram_read", median=None, valid="failed", reason="it\x1b[31m broke"),
    )
    lines = report_table(report).splitlines()
    assert lines[0] == "CPU  A CPU  (quick, 1.2 s)"
    assert lines[2] == "memory copy  2.90 TB/s     87 %         -  0.4 %"
    assert lines[3] == "memory read          -        -         -      -  failed: it\ufffd[31m broke"
    assert lines[1].index("of clock") + len("of clock") == lines[2].rindex("-  0.4 %") + 1


def test_what_was_not_measured_is_said() -> None:
    text = report_table(a_report(refused="busy", contended=None))
    assert text.endswith("not measured: busy")
    text = report_table(a_report(a_measurement(), interrupted=True, contended="pid 7 uses it"))
    assert "contended, not a ceiling: pid 7 uses it" in text
    assert text.endswith("interrupted: what was measured until then")


def test_outliers_follow_the_tables() -> None:
    outlier = Outlier(
        key="x", index=5, metric="bf16", frac=0.91, message="GPU 5 reaches 91 % of its siblings' bf16"
    )
    gpu = DeviceFacts(kind="cuda", key="GPU-5", name="NVIDIA H100", index=5, mig_profile="1g.10gb")
    text = run_table(ProbeRun(reports=(a_report(device=gpu),), outliers=(outlier,)))
    assert text.startswith("GPU 5  NVIDIA H100, MIG 1g.10gb  (quick")
    assert text.endswith("\n\nGPU 5 reaches 91 % of its siblings' bf16")
