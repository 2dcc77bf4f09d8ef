"""Contexts of what the rules of traces look for; planted figures."""

from __future__ import annotations

import msgspec

from rules.registry import Context
from rules.traces.kernel_records import ChainFigures
from rules.traces.records import HostFigures, HostRow, StepFigures, StepRow
from tests.rules.traces.made import (
    SPAN_US,
    make_context,
    make_copy,
    make_family,
    make_kernel,
    make_ranks,
    make_trace,
)

LONG = HostFigures(long_gap_us={"host_launch": 0.3 * SPAN_US}, gaps=20, median_gap_us=15000.0)
CHAINS = ChainFigures(
    chains=10, kernels=900, of=1000, median_length=90, kernel_us=1e5, gap_us=3e5, saved_low_us=2e5,
    saved_high_us=3e5, saved_low_by={"host_launch": 2e5}, saved_high_by={"host_launch": 3e5}, basis="made up",
)  # fmt: skip
ITEM = HostFigures(
    calls={"sync": 200},
    steps=10,
    rows=(HostRow(cause="synchronisation", name="aten::item", idle_us=0.3 * SPAN_US, count=200),),
)
ODD = StepFigures(
    source="ProfilerStep",
    count=10,
    median_us=80_000.0,
    max_us=300_000.0,
    outliers=(7,),
    outlier_because={"7": "checkpoint"},
    rows=(StepRow(number=7, start_us=0.0, duration_us=300_000.0, busy_us=1e5),),
)
SMALL = make_kernel(frac=0.3, nature="latency", nature_basis="size", waves=0.2)
EMPTY = make_kernel(frac=0.3, occupancy=0.1, waves=4.0)
SLOW = make_kernel(
    frac=0.4, nature="compute", nature_basis="shape", compute_frac=0.2, known_frac=1.0, family="gemm"
)

ODD_SIZES = make_kernel(
    "cutlass_75_tensorop_bf16_s1688gemm_bf16_128x128_nn_align1", frac=0.4, family="gemm", nature="compute",
    precision="bf16", tensor="used", misaligned=True, op="aten::bmm",
    op_dims=((16, 5185, 64), (16, 64, 5185)),
)  # fmt: skip

SIGNATURES: dict[str, Context] = {
    "TRACE001": make_context(make_trace({"data_loading": 0.4})),
    "TRACE002": make_context(make_trace({"host_launch": 0.4}, chains=CHAINS)),
    "TRACE003": make_context(make_trace({"host_launch": 0.3}, host=LONG)),
    "TRACE004": make_context(make_trace({"synchronisation": 0.4}, host=ITEM)),
    "TRACE005": make_context(make_trace({"copy_wait": 0.2}, copies=(make_copy("h2d", 0.1, "pageable"),))),
    "TRACE006": make_context(make_trace({"allocator": 0.4})),
    "TRACE007": make_context(make_trace({"checkpoint_io": 0.4})),
    "TRACE008": make_context(make_trace(busy={"communication": 0.4})),
    "TRACE009": make_context(make_trace(busy={"communication": 0.04}), ranks=make_ranks(0.04)),
    "TRACE010": make_context(make_trace(families=(make_family(0.5, tensor="eligible"),))),
    "TRACE011": make_context(
        make_trace(busy={"memory": 0.5}, families=(make_family(0.5, family="elementwise", nature="memory"),))
    ),
    "TRACE012": make_context(make_trace(busy={"latency": 0.3}, kernels=(SMALL,))),
    "TRACE013": make_context(make_trace(busy={"memory": 0.3}, kernels=(EMPTY,))),
    "TRACE014": make_context(make_trace({"stream_dependency": 0.3})),
    "TRACE015": make_context(make_trace({"kernel_gap": 0.3})),
    "TRACE016": make_context(make_trace(kernels=(SLOW,))),
    "TRACE017": make_context(make_trace(steps=ODD)),
    "TRACE018": make_context(None),
    "TRACE019": make_context(make_trace({"profiler_overhead": 0.2})),
    "TRACE020": make_context(make_trace(uncorrelated_us=0.2 * SPAN_US)),
    "TRACE023": make_context(make_trace({"unknown": 0.3})),
    "TRACE021": make_context(make_trace(), ranks=msgspec.structs.replace(
        make_ranks(0.0), world_size=8, missing=6)),
    "TRACE022": make_context(make_trace(kernels=(ODD_SIZES,))),
}  # fmt: skip
BESIDE: dict[str, set[str]] = {}
