"""GPUs that fall behind their siblings."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.outliers import BEHIND, outliers
from probes.record import ProbeReport
from tests.probes.reports import facts, key, report, take


def node(*values: float, metric: str = "bf16", **changes: Any) -> list[ProbeReport]:
    """A GPU for each value."""
    return [report(take(metric, v, **changes), device=facts(i)) for i, v in enumerate(values)]


def test_the_gpu_that_falls_behind_is_named() -> None:
    (found,) = outliers(node(790, 795, 800, 793, 791, 722))
    assert (found.key, found.index, found.metric) == (key(5), 5, "bf16")
    assert found.message == "GPU 5 reaches 91 % of its siblings' bf16"
    assert found.frac == pytest.approx(722 / 793)


def test_silicon_spread_is_no_outlier() -> None:
    assert outliers(node(780, 790, 800, 805, 770)) == ()
    assert outliers(node(3000, 2990, 2950, metric="dram_copy")) == ()
    assert [o.index for o in outliers(node(3000, 2990, 2890, metric="dram_copy"))] == [2]


def test_one_record_a_gpu_and_probe_its_worst() -> None:
    reports = [
        report(take("bf16", b), take("fp16", h), take("dram_copy", c), device=facts(i))
        for i, (b, h, c) in enumerate([(800, 800, 3000), (800, 800, 3000), (700, 600, 2000)])
    ]
    assert [(o.metric, round(o.frac, 2)) for o in outliers(reports)] == [("dram_copy", 0.67), ("fp16", 0.75)]


def test_of_two_the_lower_is_named_and_that_two_cannot_tell() -> None:
    (found,) = outliers(node(800, 700))
    assert found.message.startswith("GPU 1 reaches 88 % of GPU 0's bf16; two cannot tell")


def test_only_siblings_are_compared() -> None:
    reports = node(800, 800, 400)
    other = [msgspec.structs.replace(reports[2], device=facts(2, name="NVIDIA A100-SXM4-80GB", model="A100"))]
    assert outliers(reports[:2] + other) == ()
    sliced = [msgspec.structs.replace(reports[2], device=facts(2, mig_profile="3g.40gb"))]
    assert outliers(reports[:2] + sliced) == ()
    assert outliers([]) == outliers(reports[:1]) == ()


def test_degraded_figures_are_what_is_looked_for_and_contended_ones_are_not() -> None:
    reports = node(800, 800)
    slow = report(take("bf16", 300, valid="degraded"), device=facts(2))
    assert [o.index for o in outliers([*reports, slow])] == [2]
    assert outliers([*reports, msgspec.structs.replace(slow, contended="in use")]) == ()
    assert outliers([*reports, report(take("bf16", 300, valid="rejected"), device=facts(2))]) == ()


def test_host_costs_and_latencies_are_not_the_cards_own() -> None:
    assert outliers(node(1e-6, 1e-6, 9e-6, metric="launch_interval")) == ()
    assert outliers(node(1e-7, 1e-7, 9e-7, metric="dram_latency")) == ()
    assert outliers(node(2e10, 2e10, 1e10, metric="h2d_pageable")) == ()
    assert [o.index for o in outliers(node(5e10, 5e10, 2e10, metric="h2d_pinned"))] == [2]


def test_held_and_short_figures_are_not_mixed() -> None:
    short = [report(take("bf16", 800.0), device=facts(i)) for i in (0, 1)]
    long = report(take("bf16", 800.0, sustained=700.0), device=facts(2))
    assert outliers([*short, long]) == ()


@given(st.lists(st.floats(1e-3, 1e15), min_size=1, max_size=9), st.sampled_from(["bf16", "dram_copy"]))
def test_outliers_lie_below_their_threshold_and_never_the_best(values: list[float], metric: str) -> None:
    found = outliers(node(*values, metric=metric))
    probe = take(metric).probe
    best = values.index(max(values))
    assert all(o.frac < BEHIND[probe] for o in found)
    assert key(best) not in {o.key for o in found}
    assert len({o.key for o in found}) == len(found)


@given(st.lists(st.floats(1.0, 1e3), min_size=3, max_size=8), st.floats(1e-3, 1e3), st.randoms())
def test_outliers_depend_neither_on_scale_nor_on_order(values: list[float], by: float, rng: Any) -> None:
    def far(found: tuple[Any, ...]) -> set[str]:  # of the threshold, where rounding decides nothing
        return {o.key for o in found if o.frac < BEHIND["tensor"] - 1e-9}

    reports = node(*values)
    shuffled = node(*(v * by for v in values))
    rng.shuffle(shuffled)
    assert far(outliers(reports)) == far(outliers(shuffled))
