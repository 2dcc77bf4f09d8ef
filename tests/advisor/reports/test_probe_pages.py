"""Pages about probes: byte-exact at 80 and 120 columns, safe with hostile text, fitting at any width."""

from __future__ import annotations

import json
import math
import os
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.reports.markup import GitHub
from advisor.reports.probe_json import cleaned, encode
from advisor.reports.probe_pages import TERMINAL, as_markup, as_text, markup_for
from advisor.reports.probes import (
    change,
    earlier,
    figure,
    history_page,
    run_page,
    said_outliers,
    spread,
    typical_frac,
)
from probes.record import Outlier, ProbeReport, ProbeRun
from tests.probes.reports import DAY_S, T0_S, cpu_facts, facts, full, report, take

GOLDEN = Path(__file__).parent / "golden"
EARLIER = [full(0.9, t_s=T0_S - 9 * DAY_S), full(0.99, t_s=T0_S - 3 * DAY_S)]
RUN = ProbeRun(
    reports=(full(),),
    outliers=(Outlier(key="k", index=5, metric="bf16", frac=0.91, message="GPU 5 reaches 91 % of its ..."),),
)


def drawn(made: ProbeReport, width: int = 80, **kind: Any) -> str:
    page = run_page(made, earlier(EARLIER), TERMINAL)
    return as_text([page], [], width=width, color=kind.get("color", False), unicode=kind.get("unicode", True))


def hold(name: str, text: str) -> None:
    """Compare with the golden file; ADVISOR_UPDATE_GOLDEN=1 writes it anew."""
    path = GOLDEN / name
    if os.environ.get("ADVISOR_UPDATE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text()


@pytest.mark.parametrize("width", [80, 120])
def test_a_run(width: int) -> None:
    page = run_page(full(), earlier(EARLIER), TERMINAL)
    said = said_outliers(RUN, TERMINAL)
    hold(f"probe.{width}.txt", as_text([page], said, width=width, color=False))


@pytest.mark.parametrize("width", [80, 120])
def test_a_history(width: int) -> None:
    page = history_page([*EARLIER, full()], TERMINAL, now_s=T0_S + 5 * DAY_S)
    hold(f"probe-history.{width}.txt", as_text([page], [], width=width, color=False))


@pytest.mark.parametrize("flavor", ["github", "jira"])
def test_a_ticket(flavor: str) -> None:
    m = markup_for(flavor)
    page = run_page(full(contended="python holds 3 GiB"), earlier(EARLIER), m.style)
    hold(f"probe.{flavor}.txt", as_markup([page], said_outliers(RUN, m.style), m))


def test_in_colour() -> None:
    hold("probe.ansi", drawn(full(contended="python holds 3 GiB", interrupted=True), color=True))


def test_in_ascii() -> None:
    text = drawn(full(), unicode=False)
    assert text.isascii()
    assert "needs compute capability >= 10.0" in text
    assert "2.98-3.01" in text


@pytest.mark.parametrize("width", [1, 40, 50, 60, 70, 80, 100, 120, 500])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    for text in (
        drawn(full(), width),
        as_text([history_page([full()], TERMINAL)], [], width=width, color=False),
    ):
        assert max(map(len, text.splitlines())) <= min(140, max(40, width))
    assert "bf16" in drawn(full(), width)
    assert "730 TFLOP/s" in drawn(full(), width)


def test_invalid_figures_say_why_and_contended_ones_are_marked() -> None:
    text = drawn(full(contended="python (pid 7) holds 3 GiB"))
    assert "CONTENDED: python (pid 7) holds 3 GiB. No figure of this run is used as a ceiling." in " ".join(
        text.split()
    )
    assert "degraded: cv 5 % after a rerun" in text
    assert "rejected: 1.31 of the data sheet" in text
    assert "unsupported: needs" in text
    assert text.count("unsupported") == 1
    alone = drawn(report(take("bf16", 1.0, label="contended"), contended="in use"))
    assert re.search(r"bf16 .*\n    contended\n", alone)


def test_an_old_history_is_marked_stale() -> None:
    page = history_page([full()], TERMINAL, now_s=T0_S + 400 * DAY_S)
    assert page.labels == ("STALE: measured 400 days ago.",)
    assert (
        history_page([full(method_version=99)], TERMINAL).labels[0].startswith("STALE: measured by method 99")
    )
    sliced = full(device=facts(mig_profile="1g.10gb"))
    assert history_page([sliced], TERMINAL, now_s=T0_S + 3600).labels == ()


def test_an_instance_is_named_once() -> None:
    named = full(device=facts(name="NVIDIA H100 80GB HBM3 MIG 1g.10gb", mig_profile="1g.10gb"))
    plain = full(device=facts(mig_profile="1g.10gb"))
    assert drawn(named).startswith("GPU 0 NVIDIA H100 80GB HBM3 MIG 1g.10gb\n")
    assert drawn(plain).startswith("GPU 0 MIG 1g.10gb NVIDIA H100 80GB HBM3\n")


def test_a_refused_device_says_so() -> None:
    assert "not measured: it is busy" in drawn(report(refused="it is busy"))


def test_typical_is_of_the_model() -> None:
    assert typical_frac(full(), "bf16") == 0.80
    assert typical_frac(full(), "h2d_pinned") == pytest.approx(53 / 64)
    for metric in ("dram_read", "h2d_pageable", "launch_interval", "int8", "no such metric"):
        assert typical_frac(full(), metric) is None
    assert typical_frac(full(device=facts(name="NVIDIA X9")), "bf16") is None
    assert typical_frac(full(device=cpu_facts()), "bf16") is None


def test_changes_are_against_the_newest_usable_figure() -> None:
    runs = [
        report(take("bf16", 5.0), t_s=1.0),
        report(take("bf16", 4.0), t_s=2.0),
        report(take("bf16", 1.0, valid="degraded"), t_s=3.0),
        report(take("bf16", 1.0), t_s=4.0, contended="in use"),
    ]
    before = earlier(runs)["bf16"]
    assert (before.take.value, before.t_s) == (4.0, 2.0)
    assert change(take("bf16", 4.4), before.take) == "+10 %"
    assert change(take("bf16", 3.98), before.take) == "-0.5 %"
    assert change(take("bf16", 400.0), before.take) == "100x"
    assert change(take("bf16", None), before.take) == ""
    assert change(take("bf16", 4.0), None) == ""


def test_a_quick_run_after_a_full_one_is_no_gain() -> None:
    assert change(take("bf16", 8.0), take("bf16", 8.0, sustained=7.0)) == "+0.0 %"


@pytest.mark.parametrize(
    ("value", "unit", "said"),
    [
        (3.0e12, "bytes_s", "3.00 TB/s"),
        (2.31e-6, "s", "2.31 µs"),
        (None, "s", "unknown"),
        (math.inf, "s", "unknown"),
        (math.nan, "bytes_s", "unknown"),
    ],
)
def test_figures_have_their_unit(value: float | None, unit: Any, said: str) -> None:
    assert figure(value, unit) == said


def test_a_range_is_in_the_unit_beside_it() -> None:
    assert spread(0.99e12, 1.02e12, 1.0e12, "bytes_s") == "0.99–1.02"
    assert spread(950e9, 1.2e12, 999e9, "bytes_s") == "950–1,200"
    assert spread(None, 1.0, 1.0, "s") == spread(1.0, 1.0, 0.0, "s") == ""


NASTY = "\x1b[31mred\x1b[0m <script> | `x` \u202eevil\n# head [b](http://x) @team \udcff"


@pytest.mark.parametrize("color", [True, False])
def test_hostile_text_drives_no_terminal(color: bool) -> None:
    made = report(
        take("bf16", 1.0, valid="degraded", reason=NASTY, throttle_reasons=(NASTY,), missing={NASTY: NASTY}),
        take(NASTY, None, valid="failed", reason=NASTY),
        device=facts(name=NASTY, mig_profile=NASTY),
        versions={NASTY: NASTY},
        contended=NASTY,
    )
    text = drawn(made, color=color)
    assert re.sub(r"\x1b\[[0-9;]*m", "", text).replace("\n", "").isprintable()
    assert "\x1b[31mred" not in text
    assert "\u202e" not in text
    refused = drawn(report(refused=NASTY))
    assert "\x1b" not in refused


def test_hostile_text_is_no_markup() -> None:
    m = GitHub()
    made = report(take("bf16", 1.0, valid="degraded", reason=NASTY), device=facts(name=NASTY))
    text = as_markup([run_page(made, {}, m.style)], said_outliers(RUN, m.style), m)
    assert "<script>" not in text
    assert "\n# head" not in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len({len(re.findall(r"(?<!\\)\|", row)) for row in rows[:3]}) == 1, "a bar in a cell splits no row"


def test_json_in_ascii() -> None:
    assert not encode(RUN).isascii()
    text = encode(RUN, unicode=False)
    assert text.isascii()
    assert json.loads(text) == json.loads(encode(RUN))


def test_secrets_and_homes_do_not_leave() -> None:
    reason = "FileNotFoundError: /home/alice/x --api-key=hunter2hunter2"
    run = ProbeRun(reports=(report(take("bf16", None, valid="failed", reason=reason)),))
    clean = msgspec.json.encode(cleaned(run)).decode()
    assert "alice" not in clean
    assert "hunter2" not in clean
    assert cleaned(run, keep=True) == run
    assert cleaned(cleaned(run)) == cleaned(run)
    assert cleaned(run).reports[0].device.key == run.reports[0].device.key, "as in a diagnosis"


@given(st.floats(), st.floats(), st.text())
def test_what_json_cannot_hold_goes(a: float, b: float, text: str) -> None:
    take_ = take("bf16", 1.0, median=a, counters_at_ceiling={"hmma": b}, reason=text + "\udcff")
    run = ProbeRun(reports=(report(take_),))
    raw = msgspec.json.encode(cleaned(run, keep=True))
    found = msgspec.json.decode(raw, type=ProbeRun).reports[0].measurements[0]
    assert found.median == (a if math.isfinite(a) else None)
    assert found.counters_at_ceiling == ({"hmma": b} if math.isfinite(b) else {})
    assert json.loads(raw)
