"""Natures, rows by name, families, work of calls; on made-up timelines and on real traces."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.traces import kernels
from advisor.traces.attribution import attribute
from advisor.traces.chains import chains
from advisor.traces.copies import copy_rows
from advisor.traces.grouping import groups, median, quantile
from advisor.traces.read import read
from advisor.traces.timeline import GpuKind, Op, Timeline, TraceDevice
from probes.ceilings import Ceilings
from probes.specs import assumed_ceilings, find_spec
from rules.traces.kernel_records import KernelRow
from rules.traces.records import BUSY
from tests.advisor.traces import real
from tests.advisor.traces.kernel_scenes import CARD, Scene, ceilings, product

GEMM = "nvjet_tst_128x128_64x4_1x1_h_bz_TNT"
ADD = "void at::native::vectorized_elementwise_kernel<4, at::native::CUDAFunctor_add<float>>(int)"
SPLIT = "void splitKreduce_kernel<32, 16, int, __nv_bfloat16, __nv_bfloat16>(int)"
NCCL = "ncclDevKernel_AllReduce_Sum_bf16_RING_LL(ncclDevKernelArgsStorage<4096ul>)"


def _only(scene: Scene, given_: Ceilings | None = None, facts: TraceDevice = CARD) -> KernelRow:
    (row,) = kernels.kernel_rows(kernels.study(scene.timeline(), facts, given_)).rows
    return row


def _launched(name: str, op: Op, length: int, **more: object) -> Scene:
    scene = Scene()
    number = scene.op(op, 0, 10_000)
    scene.kernel(name, 20_000, length, launched=2_000, op=number, **more)
    return scene


# 2 * 2048^3 = 17.2 Gflop: 172 us at 100 Tflop/s
@pytest.mark.parametrize(
    ("length", "nature", "basis"), [(200_000, "compute", "measured"), (900_000, "latency", "measured")]
)
def test_a_large_product_is_bound_by_compute_unless_it_is_far_below_both_roofs(
    length: int, nature: str, basis: str
) -> None:
    row = _only(_launched(GEMM, product(2048, 2048, 2048), length), ceilings())
    assert (row.nature, row.nature_basis) == (nature, basis)
    assert row.flops == 2.0 * 2048**3
    assert row.compute_frac == pytest.approx(2.0 * 2048**3 / 1e14 / (length / 1e9))
    assert row.known_frac == 1.0
    assert row.op == "aten::mm"


def test_a_thin_product_at_the_roof_of_memory_is_bound_by_it() -> None:
    row = _only(_launched(GEMM, product(8, 4096, 4096), 40_000), ceilings())
    assert (row.nature, row.nature_basis) == ("memory", "measured")
    assert row.intensity == pytest.approx(2 * 8 * 4096**2 / (2 * (8 * 4096 * 2 + 4096**2)))


def test_what_is_far_below_every_roof_is_limited_by_none() -> None:
    """12 MiB at 1 TB/s take 12.6 us: a quarter of 50."""
    op = Op("aten::add", ((1024, 1024), (1024, 1024)), ("float", "float"))
    slow = _only(_launched(ADD, op, 50_000), ceilings())
    assert (slow.nature, slow.nature_basis) == ("latency", "measured")
    assert slow.memory_frac == pytest.approx(0.2517, abs=1e-4)
    assert (slow.small_us, slow.short_us, slow.nature_us) == (0.0, 0.0, {"latency": 50.0})
    assert _only(_launched(ADD, op, 50_000)).nature == "memory"
    half = _only(_launched(GEMM, product(2048, 2048, 2048), 900_000), ceilings(dram=0.0))
    assert (half.nature, half.memory_frac) == ("compute", None)


def test_launches_of_one_name_are_told_apart() -> None:
    """Two too short, one too small, one of usual size: three quarters of the time are of no small kernel."""
    scene = Scene()
    scene.kernel(ADD, 0, 2_000, blocks=1 << 20)
    scene.kernel(ADD, 10_000, 3_000, blocks=1 << 20)
    scene.kernel(ADD, 20_000, 20_000, blocks=4)
    scene.kernel(ADD, 50_000, 75_000, blocks=1 << 19)
    found = kernels.study(scene.timeline(), CARD, None)
    (row,) = kernels.kernel_rows(found).rows
    (family,) = kernels.family_rows(found)
    assert row.nature == family.nature == "memory"
    assert row.nature_us == family.nature_us == {"memory": 75.0, "latency": 25.0}
    assert (row.small_us, row.short_us) == (20.0, 5.0)


def test_whose_grid_is_unknown_is_not_said_to_be_too_small() -> None:
    assert _only(_launched(ADD, Op("x"), 2_000, blocks=-1)).small_us is None
    bare = _only(_launched(ADD, Op("x"), 2_000), facts=TraceDevice(0))
    assert (bare.nature, bare.small_us, bare.short_us) == ("latency", None, 2.0)


def test_without_ceilings_a_thin_product_is_still_told_and_others_go_by_family() -> None:
    thin = _only(_launched(GEMM, product(8, 4096, 4096), 200_000))
    assert (thin.nature, thin.nature_basis) == ("memory", "shape")
    large = _only(_launched(GEMM, product(2048, 2048, 2048), 200_000))
    assert (large.nature, large.nature_basis) == ("compute", "family")
    assert large.compute_frac is None
    assert large.unknown["compute_frac"] == "this card's ceilings are not known"


def test_too_short_or_too_small_a_grid_is_latency() -> None:
    assert _only(_launched(ADD, Op("x"), 2_000)).nature == "latency"
    small = _only(_launched(ADD, Op("x"), 200_000, blocks=79))
    assert (small.nature, small.nature_basis) == ("latency", "size")
    assert _only(_launched(ADD, Op("x"), 200_000, blocks=80)).nature == "memory"


def test_what_was_measured_outweighs_the_size() -> None:
    op = Op("aten::add", ((1024, 1024), (1024, 1024)), ("float", "float"))
    row = _only(_launched(ADD, op, 15_000, blocks=4), ceilings())
    assert (row.nature, row.nature_basis) == ("memory", "measured")
    assert row.memory_frac == pytest.approx(3 * 4 * 2**20 / 1e12 / 15e-6)


def test_a_collective_is_communication_however_small() -> None:
    row = _only(_launched(NCCL, Op("nccl:all_reduce"), 2_000, blocks=2))
    assert (row.nature, row.nature_basis, row.family) == ("communication", "family", "collective")
    assert (row.waves, row.tail_frac) == (None, None)
    assert "by design" in row.unknown["tail_frac"]


def test_more_than_dram_can_carry_is_said() -> None:
    op = Op("aten::add", ((1024, 1024), (1024, 1024)), ("float", "float"))
    row = _only(_launched(ADD, op, 6_000), ceilings())
    assert row.memory_frac is not None
    assert row.memory_frac > 1.0
    assert "caches" in row.unknown["memory_frac"]


def test_a_calls_work_is_counted_once_and_goes_to_its_main_kernels() -> None:
    scene, op = Scene(), product(512, 512, 512)
    for call in range(3):
        begun = call * 100_000
        number = scene.op(op, begun, 20_000)
        scene.kernel(GEMM, begun + 30_000, 20_000, launched=begun + 1_000, op=number)
        scene.kernel(GEMM, begun + 51_000, 10_000, launched=begun + 5_000, op=number)
        scene.kernel(SPLIT, begun + 62_000, 5_000, launched=begun + 9_000, op=number)
    rows = {row.name: row for row in kernels.kernel_rows(kernels.study(scene.timeline(), CARD, None)).rows}
    assert rows[GEMM].flops == pytest.approx(3 * 2.0 * 512**3)
    assert rows[GEMM].bytes == pytest.approx(3 * 2 * 3 * 512**2)
    assert rows[SPLIT].flops is None
    assert rows[SPLIT].unknown["flops"] == "does none of its operator's work"


def test_kernels_of_unknown_names_do_their_operators_work() -> None:
    row = _only(_launched("my_secret_kernel", product(512, 512, 512), 20_000))
    assert row.flops == 2.0 * 512**3


def test_where_names_do_not_tell_the_precision_is_that_of_each_operator() -> None:
    scene = Scene()
    for at, dtype in enumerate(["float", "c10::BFloat16", "std::string"]):
        number = scene.op(Op("aten::mm", ((64, 64), (64, 64)), (dtype, dtype)), at * 100_000, 10_000)
        begun = at * 100_000
        scene.kernel("my_secret_kernel", begun + 20_000, 20_000, launched=begun + 1_000, op=number)
    found = kernels.study(scene.timeline(), CARD, ceilings())
    assert [found.precision(row) for row in range(3)] == ["fp32", "bf16", None]


def test_a_launch_outside_its_operator_gives_no_work() -> None:
    scene = Scene()
    number = scene.op(product(512, 512, 512), 0, 1_000)
    scene.kernel(GEMM, 30_000, 20_000, launched=5_000, op=number)
    assert _only(scene).flops is None


def test_occupancy_is_over_the_time_in_which_it_is_known() -> None:
    scene = Scene()
    scene.kernel(GEMM, 0, 30_000, occupancy=0.25)
    scene.kernel(GEMM, 40_000, 10_000, occupancy=float("nan"))
    row = _only(scene)
    assert row.occupancy == 0.25
    assert row.occupancy_unknown_frac == pytest.approx(0.25)


def test_waves_and_tails_come_from_what_an_sm_holds() -> None:
    row = _only(_launched(ADD, Op("x"), 20_000, blocks=1200, threads=256, registers=32))
    assert row.waves == pytest.approx(1200 / 800)
    assert row.tail_frac == pytest.approx(0.25)
    assert (row.blocks, row.threads, row.theoretical_occupancy) == (1200, 256, 1.0)
    heavy = _only(_launched(ADD, Op("x"), 20_000, threads=256, registers=128))
    assert heavy.theoretical_occupancy == pytest.approx(0.25)


def test_waves_are_unknown_with_a_reason() -> None:
    assert (
        _only(_launched(ADD, Op("x"), 20_000, registers=-1)).unknown["waves"]
        == "the trace holds no registers"
    )
    assert _only(_launched(ADD, Op("x"), 20_000, blocks=-1)).unknown["waves"] == "the trace holds no grid"
    bare = _only(_launched(ADD, Op("x"), 20_000), facts=TraceDevice(0))
    assert bare.unknown["waves"] == "limits of its SMs are not known"


def test_gaps_are_those_of_the_kernels_own_stream() -> None:
    scene = Scene()
    scene.kernel(ADD, 0, 10_000, stream=1)
    scene.kernel(ADD, 12_000, 10_000, stream=1)
    scene.kernel(ADD, 1_000, 50_000, stream=2)
    assert _only(scene).gap_before_us == 2.0


def test_without_tensor_cores_nothing_is_eligible_for_them() -> None:
    scene = _launched("maxwell_sgemm_128x64_nn", product(512, 512, 512), 20_000)
    old = TraceDevice(0, sm_count=20, compute_capability="6.1", warp_size=32)
    assert _only(scene, facts=old).tensor == "not-eligible"
    assert _only(scene).tensor == "eligible"


def test_rows_of_other_devices_are_not_judged() -> None:
    scene = Scene()
    scene.kernel(GEMM, 0, 50_000)
    scene.kernel(GEMM, 0, 50_000, device=1)
    scene.kernel("Memcpy", 60_000, 50, kind=GpuKind.MEMCPY)
    column = kernels.natures(scene.timeline(), CARD, None)
    assert [BUSY[n] for n in column] == ["compute", "copy", "other"]


def test_a_device_without_kernels_has_no_rows() -> None:
    scene = Scene()
    scene.kernel("Memset", 0, 50_000, kind=GpuKind.MEMSET)
    found = kernels.study(scene.timeline(), CARD, ceilings())
    assert kernels.kernel_rows(found) == kernels.Listed((), 0, 0.0)
    assert kernels.family_rows(found) == ()
    assert kernels.tensor_ns(found) == 0


@given(
    rows=st.lists(
        st.tuples(st.integers(0, 6), st.integers(0, 10**9), st.integers(0, 10**7)), min_size=1, max_size=60
    ),
    top=st.integers(0, 8),
)
@settings(max_examples=40, deadline=None)
def test_rows_and_the_rest_sum_to_all_durations(rows: list[tuple[int, int, int]], top: int) -> None:
    scene = Scene()
    for name, start, length in rows:
        scene.kernel(f"kernel_{name}", start, length)
    found = kernels.study(scene.timeline(), CARD, None)
    listed = kernels.kernel_rows(found, top)
    listed_ns = sum(round(row.total_us * 1000) for row in listed.rows) + round(listed.left_us * 1000)
    assert listed_ns == sum(length for *_, length in rows)
    assert listed.left == max(0, len({name for name, *_ in rows}) - top)
    assert sum(round(row.total_us * 1000) for row in kernels.family_rows(found)) == listed_ns


_ANY = st.fixed_dictionaries(
    {
        "start": st.integers(0, 10**15),
        "length": st.integers(0, 10**9),
        "launched": st.one_of(st.none(), st.integers(0, 10**6)),
        "stream": st.integers(-1, 2**62),
        "blocks": st.sampled_from([-1, 0, 1, 2**62]),
        "threads": st.sampled_from([-1, 0, 33, 2**31 - 1]),
        "registers": st.sampled_from([-1, 0, 255, 2**31 - 1]),
        "shared_bytes": st.sampled_from([-1, 0, 2**31 - 1]),
        "occupancy": st.sampled_from([float("nan"), 0.0, 1.0]),
        "kind": st.sampled_from([0, 1, 2]),
        "copy": st.integers(0, 8),
        "graph": st.integers(-1, 2),
        "name": st.sampled_from([GEMM, ADD, SPLIT, NCCL, "", "\x1b[31m"]),
    }
)


@given(rows=st.lists(_ANY, min_size=1, max_size=12), known=st.booleans())
@settings(max_examples=60, deadline=None)
def test_any_rows_give_figures(rows: list[dict[str, Any]], known: bool) -> None:
    scene = Scene()
    number = scene.op(product(512, 512, 512), 0, 10**6)
    for row in rows:
        scene.kernel(op=number, **row)
    found = kernels.study(timeline := scene.timeline(), CARD, ceilings() if known else None)
    for listed in kernels.kernel_rows(found).rows:
        assert listed.tail_frac is None or 0.0 <= listed.tail_frac <= 1.0
        assert 0.0 <= listed.known_frac <= 1.0
        assert listed.total_us == pytest.approx(sum(listed.nature_us.values()))
        assert (listed.small_us or 0.0) + listed.short_us <= listed.nature_us.get("latency", 0.0) + 1e-6
    assert (kernels.nature_column(found) < len(BUSY)).all()
    if found.busy.total_ns:
        divided = attribute(timeline, 0, kernels.nature_column(found))
        idle_us, chained = divided.causes_ns().sum() / 1e3, chains(found, divided)
        assert (
            chained is None
            or 0.0 <= chained.saved_low_us <= chained.saved_high_us <= chained.gap_us <= idle_us
        )
    assert all(0.0 <= copied.exposed_us <= copied.total_us for copied in copy_rows(found))


def test_groups_median_and_quantile() -> None:
    keys = np.array([3, 1, 3, 2, 1, 3])
    made = groups(keys)
    assert made.total(np.array([1, 2, 3, 4, 5, 6])).tolist() == [7, 4, 10]
    assert made.rows(2).tolist() == [0, 2, 5]
    assert keys[made.order[made.first]][made.of].tolist() == keys.tolist()
    assert (median(np.array([1, 2, 4, 9])), median(np.array([1, 2, 9]))) == (3.0, 2.0)
    assert quantile(np.arange(1, 11), 0.9) == 9


# --- real traces -------------------------------------------------------------------------------
@cache
def _read(name: str) -> Timeline:
    return read(real.trace(name))


def _study(name: str) -> kernels.Study:
    timeline = _read(name)
    facts = timeline.facts_of(timeline.device_numbers()[0])
    spec = find_spec(facts.name or "", facts.memory_bytes, facts.compute_capability)
    return kernels.study(timeline, facts, assumed_ceilings(spec) if spec else None)


def test_owlv2_is_attention_without_a_fused_kernel_far_below_its_roofs() -> None:
    found = _study("h100_owlv2.json.gz")
    softmax, scores, values, linear = kernels.kernel_rows(found).rows[:4]
    assert (softmax.family, softmax.op, softmax.nature) == ("softmax", "aten::_softmax", "latency")
    assert softmax.bytes == pytest.approx(120 * 2 * 2 * 16 * 5185**2)
    for row in (scores, values):
        assert (row.family, row.precision, row.tensor, row.nature, row.nature_basis) == (
            "gemm", "bf16", "used", "latency", "measured"
        )  # fmt: skip
        assert row.flops == pytest.approx(120 * 2 * 16 * 5185 * 5185 * 64)
        assert row.misaligned
        assert (row.op, row.op_dims[0][:2]) == ("aten::bmm", (16, 5185))
    assert (linear.nature, linear.nature_basis, linear.occupancy) == ("compute", "measured", None)
    assert linear.theoretical_occupancy == pytest.approx(384 / 2048)
    known = ~np.isnan(found.works.flops)
    assert found.lengths[known].sum() / found.lengths.sum() == pytest.approx(0.469, abs=0.005)


def test_one_product_of_owlv2_by_hand() -> None:
    """5185 x 1024 times 1024 x 1024: 10.87 Gflop in 20.9 us is 520 of 792 Tflop/s that an H100 reaches."""
    found = _study("h100_owlv2.json.gz")
    shape = ((1024,), (5185, 1024), (1024, 1024), (), ())
    (op,) = [n for n, op in enumerate(found.timeline.ops) if (op.name, op.dims) == ("aten::addmm", shape)]
    rows = np.flatnonzero((found.timeline.gpu.op[found.rows] == op) & ~np.isnan(found.works.flops))
    assert found.works.flops[rows].tolist() == [2.0 * 5185 * 1024 * 1024] * len(rows)
    rate = 2.0 * 5185 * 1024 * 1024 * len(rows) / (found.lengths[rows].sum() / 1e9)
    assert rate == pytest.approx(5.2e14, rel=0.01)


@pytest.mark.parametrize("name", ["h100_owlv2.json.gz", "v100_resnet50_workers0.json.gz", "nsys_2gpu.sqlite"])
def test_rows_of_real_traces_sum_exactly_and_hardly_any_is_unknown(name: str) -> None:
    found = _study(name)
    listed = kernels.kernel_rows(found, 5)
    ns = sum(round(row.total_us * 1000) for row in listed.rows) + round(listed.left_us * 1000)
    assert ns == int(found.lengths.sum())
    other = sum(row.total_us for row in kernels.family_rows(found) if row.family == "other")
    assert other < 0.02 * ns / 1000
