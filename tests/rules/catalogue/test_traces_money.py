"""Rules of traces: what they promise, and in which words, on made-up devices."""

from __future__ import annotations

import msgspec
import pytest

from rules.finding import Finding
from rules.recover import recoverable
from rules.registry import Context, run_rules
from rules.traces.kernel_records import ChainFigures
from rules.traces.records import HostFigures, HostRow, RankFigures, StepFigures, StepRow
from rules.traces.words import LOST, NO_KERNELS, to_settle
from tests.rules.catalogue import traces
from tests.rules.traces.made import (
    SPAN_US,
    make_context,
    make_evidence,
    make_family,
    make_kernel,
    make_ranks,
    make_trace,
)


def found_in(ctx: Context, code: str) -> Finding:
    return next(f for f in run_rules(ctx) if f.code == code)


def test_dollars_of_a_fix_are_of_its_own_kernels_waste() -> None:
    """Products at an unknown roof beside kernels too small: the waste is the small ones' alone."""
    small = make_kernel("small", 0.1, nature="latency", nature_basis="size", waves=0.1)
    product = make_kernel("product", 0.9, family="gemm", nature="compute", tensor="eligible")
    trace = make_trace(
        busy={"latency": 0.1}, kernels=(small, product), families=(make_family(0.9, tensor="eligible"),)
    )
    ctx = make_context(trace)
    assert ctx.ladder.shares["inefficiency"] == pytest.approx(0.1)
    assert found_in(ctx, "TRACE010").usd_h == 0.0
    assert found_in(ctx, "TRACE012").usd_h == pytest.approx(10.0 * 0.05)
    (entry,) = [e for e in recoverable(ctx.ladder, run_rules(ctx)) if e.term == "inefficiency"]
    assert entry.because == "TRACE012"
    assert entry.share_high == pytest.approx(0.05)


def test_kernels_that_are_small_are_told_from_those_that_are_merely_short() -> None:
    short = make_kernel("short", 0.3, nature="latency", nature_basis="size")
    claim = found_in(make_context(make_trace(busy={"latency": 0.3}, kernels=(short,))), "TRACE012")
    assert "shorter than 5 µs" in claim.claim
    assert "too few blocks" not in claim.claim
    assert not any(line.value == 0.0 for line in claim.evidence)
    sure = found_in(traces.SIGNATURES["TRACE012"], "TRACE012")
    assert claim.confidence < sure.confidence


def test_a_kernel_far_below_both_roofs_is_no_small_one() -> None:
    slow = make_kernel(
        "slow", 0.5, nature="latency", nature_basis="measured", memory_frac=0.3, known_frac=1.0, waves=40.0
    )
    ctx = make_context(make_trace(busy={"latency": 0.5}, kernels=(slow,)))
    assert {f.code for f in run_rules(ctx)} == {"TRACE016"}
    assert ctx.ladder.shares["inefficiency"] == pytest.approx(0.35)
    found = found_in(ctx, "TRACE016")
    assert found.effect is not None
    assert found.recoverable == pytest.approx(0.25)  # to 0.6 of the roof
    assert found.effect.bound == pytest.approx(1 / 0.65)


def test_time_behind_a_synchronisation_is_not_said_to_be_in_it() -> None:
    host = HostFigures(
        after_sync_us=0.4 * SPAN_US,
        rows=(HostRow(cause="synchronisation", name="aten::item", idle_us=0.005 * SPAN_US, count=60),),
    )
    found = found_in(
        make_context(make_trace({"host_launch": 0.4, "synchronisation": 0.005}, host=host)), "TRACE004"
    )
    assert "most of it in aten::item" not in found.claim
    assert "0.5 % in them, 40 % until" in found.claim
    assert any("Launch the next work before" in action for action in found.actions)


def test_without_a_known_effect_nothing_is_recoverable() -> None:
    """Collectives with no kernel to hide them behind."""
    ctx = make_context(make_trace(busy={"communication": 1.0}))
    found = found_in(ctx, "TRACE008")
    assert (found.effect, found.usd_h) == (None, 0.0)


def steps_of(odd: dict[str, float], number: int = 5) -> StepFigures:
    rows = [
        StepRow(number=i, start_us=0.0, duration_us=1e5, busy_us=9e4, causes={"host_launch": 1e4})
        for i in range(8)
    ]
    rows[number] = StepRow(
        number=number,
        start_us=0.0,
        duration_us=3e5,
        busy_us=1e5,
        outlier=True,
        causes={"host_launch": 1e4} | odd,
    )
    return StepFigures(
        source="ProfilerStep", count=8, median_us=1e5, max_us=3e5, outliers=(number,), rows=tuple(rows),
        outlier_because={str(number): "made up"},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("steps", "lost"),
    [
        (steps_of({}), 0.0),  # longer kernels: more work
        (steps_of({"profiler_overhead": 2e5}), 0.0),  # nobody's loss
        (steps_of({"data_loading": 1e5}, number=0), 0.0),  # the first step of a trace
        (steps_of({"data_loading": 1e5}), 0.1),
    ],
)
def test_odd_steps_cost_what_they_waited(steps: StepFigures, lost: float) -> None:
    ctx = make_context(
        make_trace({"data_loading": 0.04, "host_launch": 0.04, "copy_wait": 0.04}, steps=steps)
    )
    found = found_in(ctx, "TRACE017")
    assert found.recoverable == pytest.approx(lost)
    assert found.share == pytest.approx(lost)


def test_balancing_buys_what_the_work_is_uneven_by() -> None:
    """Works of 3000, 1000 and 1000 µs in a step of 4850: the step becomes 1333 shorter, not 2000."""
    made = make_ranks(0.4)
    rows = tuple(
        msgspec.structs.replace(
            made.rows[0], rank=rank, file=rank, span_us=4850.0, busy_us=4000.0, work_us=work,
            exposed_us=4000.0 - work, wait_us=wait, wait_exposed_us=wait,
            caused_us=0.0 if rank else 2000.0,
        )
        for rank, (work, wait) in enumerate(((3000.0, 0.0), (1000.0, 2000.0), (1000.0, 2000.0)))
    )  # fmt: skip
    ranks = RankFigures(
        rows=rows, imbalance_frac=1 - 5 / 9, straggler=0, straggler_because="rank 0 came last", world_size=3
    )
    traced = msgspec.structs.replace(make_trace(busy={"communication": 3.0 / 4.85}), file=1, span_us=SPAN_US)
    waiting = found_in(make_context(traced, ranks=_scaled(ranks)), "TRACE009")
    assert waiting.effect is not None
    assert waiting.effect.bound == pytest.approx(1 / (1 - 1333.3 / 4850), rel=1e-3)
    last = found_in(make_context(msgspec.structs.replace(traced, file=0), ranks=_scaled(ranks)), "TRACE009")
    assert "keeps each of the other ranks waiting 41 %" in last.claim
    assert (last.recoverable, last.severity) == (0.0, "high")


def _scaled(ranks: RankFigures) -> RankFigures:
    """In a second, as the made-up device has."""
    by = SPAN_US / 4850.0
    rows = tuple(
        msgspec.structs.replace(
            row, span_us=row.span_us * by, busy_us=row.busy_us * by, work_us=row.work_us * by,
            exposed_us=row.exposed_us * by, wait_exposed_us=(row.wait_exposed_us or 0.0) * by,
            caused_us=(row.caused_us or 0.0) * by,
        )
        for row in ranks.rows
    )  # fmt: skip
    return msgspec.structs.replace(ranks, rows=rows)


def test_all_ranks_are_asked_for_only_where_some_are_missing() -> None:
    trace = make_trace(busy={"communication": 0.4})
    said = [
        " ".join(found_in(make_context(trace, ranks=ranks), "TRACE008").actions)
        for ranks in (None, make_ranks(0.0), make_ranks(0.0, world_size=8, missing=6))
    ]
    assert "of all ranks too" in said[0]
    assert "ranks too" not in said[1]
    assert "the other 6 ranks" in said[2]


def test_advice_fits_the_program() -> None:
    softmax = make_kernel("softmax", 0.4, family="softmax", op="aten::_softmax")
    product = make_kernel("bmm", 0.3, family="gemm", nature="compute", op="aten::bmm")
    families = (make_family(0.4, family="softmax", nature="memory"),)
    inference = make_trace(busy={"memory": 0.5}, kernels=(softmax, product), families=families)
    said = " ".join(found_in(make_context(inference), "TRACE011").actions)
    assert "scaled_dot_product_attention" in said
    assert "AdamW" not in said
    training = make_trace(
        busy={"memory": 0.5}, families=families, kernels=(make_kernel("multi_tensor_apply_kernel", 0.1),)
    )
    said = " ".join(found_in(make_context(training), "TRACE011").actions)
    assert "AdamW" in said
    assert "scaled_dot_product_attention" not in said


def test_what_would_settle_is_not_what_was_recorded() -> None:
    host = HostFigures(calls={"launch": 20})
    bare = make_evidence(make_trace({"unknown": 0.6}, host=HostFigures()))
    full = make_evidence(make_trace({"unknown": 0.6}, host=host, perturbed=("record_shapes",)))
    said = [" ".join(to_settle("unknown", evidence, None)) for evidence in (bare, full)]
    assert "record the host" in said[0]
    assert "record_shapes=True" in said[0]
    assert "record the host" not in said[1]
    assert "record_shapes=True" not in said[1]
    graphs = ChainFigures(
        chains=0, kernels=0, of=9, median_length=0, kernel_us=0.0, gap_us=0.0,
        saved_low_us=0.0, saved_high_us=0.0,
        graphed=9,
    )  # fmt: skip
    evidence = make_evidence(make_trace({"unknown": 0.6}, host=host, chains=graphs))
    assert "cuda-graph-trace=node" in " ".join(to_settle("unknown", evidence, None))


def test_options_of_the_profiler_matter_where_launches_do() -> None:
    loading = make_trace({"data_loading": 0.5, "host_launch": 0.01}, perturbed=("with_stack",))
    assert "TRACE019" not in {f.code for f in run_rules(make_context(loading))}
    launching = make_trace({"host_launch": 0.5}, perturbed=("with_stack",))
    assert "TRACE019" in {f.code for f in run_rules(make_context(launching))}


def test_a_part_of_a_file_lowers_confidence_and_is_said() -> None:
    trace = make_trace({"data_loading": 0.6})
    whole, part = (
        make_context(trace, missing=missing).verdict for missing in ({}, {LOST: "the file ends early"})
    )
    assert part.confidence < whole.confidence
    assert "from the part of the file that could be read" in part.headline
    assert "the file ends early" in part.unknown_because[0]


def test_a_cut_file_is_not_taken_for_one_of_the_cpu() -> None:
    cut = found_in(make_context(None, missing={"file": "run.json", LOST: "the file ends early"}), "TRACE018")
    assert cut.severity == "high"
    assert "cut or damaged" in cut.claim
    assert not any("ProfilerActivity" in action for action in cut.actions)
    asked = found_in(make_context(None, missing={"file": "run.json", "asked": "yes"}), "TRACE018")
    assert asked.severity == "medium"
    assert not any("profile(" in action for action in asked.actions)


def test_missing_kernels_are_no_idle_time() -> None:
    trace = make_trace({"unknown": 0.99}, unknown={"causes": "because kernels are missing"})
    found = found_in(make_context(trace, missing={NO_KERNELS: "kernels are missing"}), "TRACE023")
    assert "is not seen to run anything 99 %" in found.claim
    assert "kernels" in found.actions[0]
