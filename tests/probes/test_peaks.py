"""FLOP per clock against the data sheets: SMs × FLOP per clock × boost clock is the sheet's dense rate."""

from __future__ import annotations

import pytest

from probes.metrics import METRICS
from probes.peaks import FP64_TENSOR, flops_per_clock, halves_fp32_sums, peak_flop_s
from probes.record import DeviceFacts
from probes.specs import GpuSpec, all_specs

# Data sheets round, and some print figures for another clock than their boost clock.
AGREES = 0.03
TENSOR = ("tf32", "fp16", "bf16", "fp8", "int8")
OTHER_CLOCK = {
    "H100 PCIe 80GB": (TENSOR, "tensor rates are for 1620 MHz, the boost clock is 1755 MHz"),
    "H100 SXM5 80GB": (TENSOR, "tensor rates are for 1830 MHz, the boost clock is 1980 MHz"),
    "H200 SXM 141GB": (TENSOR, "like H100 SXM"),
    "GH200 96GB HBM3": (TENSOR, "like H100 SXM"),
    "GH200 141/144GB HBM3e": (TENSOR, "like H100 SXM"),
    "H100 NVL 94GB": (TENSOR, "its clock for tensor rates is not published"),
    "B200 SXM (HGX)": (
        (*TENSOR, "fp64", "fp64_tensor", "fp32", "fp4"),
        "rates are for 1856 MHz (tensor) and rounded up (fp32, fp64); the boost clock is 1965 MHz",
    ),
    "L4 PCIe": (("fp64",), "0.49 where 58 SMs give 0.473"),
}
METRIC_OF = {
    "fp64_tensor": "fp64",
    "fp32": "fp32",
    "tf32": "tf32",
    "fp16": "fp16",
    "bf16": "bf16",
    "fp8": "fp8_e4m3",
    "int8": "int8",
    "fp4": "nvfp4",
}


def facts(spec: GpuSpec) -> DeviceFacts:
    name = spec.gpu if spec.variant != "GeForce" else f"GeForce {spec.gpu}"
    return DeviceFacts(
        kind="cuda",
        key="GPU-0",
        name=f"NVIDIA {name}",
        compute_capability=spec.compute_capability,
        sm_count=spec.sm_count,
    )


def ratios(spec: GpuSpec) -> dict[str, float]:
    """Of each rate that both know: what the clock gives, over the sheet."""
    columns = dict(METRIC_OF)
    if spec.compute_capability not in FP64_TENSOR:
        columns = {"fp64": "fp64", **columns}
        columns.pop("fp64_tensor")
    found = {}
    for column, metric in columns.items():
        peak, _ = peak_flop_s(facts(spec), metric, spec.boost_mhz)
        sheet = spec.flop_s.get(column)
        if peak is not None and sheet is not None:
            found[column] = peak / sheet
    return found


def test_the_table_and_the_data_sheets_agree() -> None:
    compared, wrong = 0, {}
    for spec in all_specs():
        excepted = OTHER_CLOCK.get(spec.model, ((), ""))[0]
        for column, ratio in ratios(spec).items():
            compared += 1
            if column not in excepted and abs(ratio - 1) > AGREES:
                wrong[f"{spec.model} {column}"] = ratio
    assert not wrong
    assert compared > 100


def test_every_exception_is_one() -> None:
    by_model = {spec.model: ratios(spec) for spec in all_specs()}
    for model, (columns, why) in OTHER_CLOCK.items():
        off = [abs(by_model[model][c] - 1) for c in columns if c in by_model[model]]
        assert max(off) > AGREES, why
        assert max(off) < 0.17, why


def test_a_tensor_clock_explains_the_h100() -> None:
    sxm = next(spec for spec in all_specs() if spec.model == "H100 SXM5 80GB")
    for column in TENSOR:
        peak, _ = peak_flop_s(facts(sxm), METRIC_OF[column], 1830)
        assert peak == pytest.approx(sxm.flop_s[column], rel=0.003)


@pytest.mark.parametrize(
    ("name", "capability", "metric", "per_clock"),
    [
        ("NVIDIA GeForce RTX 4090", "8.9", "fp8_e5m2", 1024),
        ("NVIDIA L40S", "8.9", "bf16", 1024),
        ("NVIDIA L40", "8.9", "bf16", 512),
        ("NVIDIA A10", "8.6", "fp16", 1024),
        ("NVIDIA A10G", "8.6", "fp16", 512),
        ("NVIDIA B200", "10.0", "mxfp8", 16384),
        ("NVIDIA H100 80GB HBM3 MIG 1g.10gb", "9.0", "bf16", 4096),
        ("NVIDIA H20", "9.0", "bf16", None),
        ("NVIDIA H800", "9.0", "fp64", None),
        ("NVIDIA H800", "9.0", "bf16", 4096),
        ("NVIDIA B300", "10.3", "bf16", None),
        ("NVIDIA GeForce RTX 5090", "12.0", "tf32", None),
        ("NVIDIA H100 80GB HBM3", "9.0", "nvfp4", None),
        ("NVIDIA Future", None, "bf16", None),
    ],
)
def test_cards_of_one_compute_capability_differ(
    name: str, capability: str | None, metric: str, per_clock: int | None
) -> None:
    card = DeviceFacts(kind="cuda", key="GPU-0", name=name, compute_capability=capability, sm_count=2)
    assert flops_per_clock(card, metric) == per_clock
    peak, why = peak_flop_s(card, metric, 1000)
    assert peak == (None if per_clock is None else per_clock * 2 * 1e9)
    assert (why == "") == (per_clock is not None)


@pytest.mark.parametrize(
    ("name", "capability", "metric", "halved"),
    [
        ("NVIDIA GeForce RTX 4090", "8.9", "fp8_e4m3", True),
        ("NVIDIA GeForce RTX 5090", "12.0", "fp8_e5m2", True),
        ("NVIDIA L40", "8.9", "fp8_e4m3", True),
        ("NVIDIA L40S", "8.9", "fp8_e4m3", False),
        ("NVIDIA L4", "8.9", "fp8_e4m3", False),
        ("NVIDIA GeForce RTX 5090", "12.0", "nvfp4", False),
        ("NVIDIA GeForce RTX 5090", "12.0", "tf32", False),
        ("NVIDIA H100 80GB HBM3", "9.0", "fp8_e4m3", False),
        ("NVIDIA H20", "9.0", "fp8_e4m3", False),
        ("NVIDIA Future", None, "fp8_e4m3", False),
    ],
)
def test_cards_whose_fp32_sums_are_at_half_rate(
    name: str, capability: str | None, metric: str, halved: bool
) -> None:
    card = DeviceFacts(kind="cuda", key="GPU-0", name=name, compute_capability=capability)
    assert halves_fp32_sums(card, metric) == halved


def test_what_is_not_known_is_said() -> None:
    card = DeviceFacts(kind="cuda", key="GPU-0", name="NVIDIA A40", compute_capability="8.6")
    assert peak_flop_s(card, "bf16", None) == (None, "the SM clock during the run is not known")
    assert peak_flop_s(card, "bf16", 1000) == (None, "the number of SMs is not known")


def test_every_gemm_metric_has_a_pipe() -> None:
    blackwell = DeviceFacts(kind="cuda", key="GPU-0", name="NVIDIA B200", compute_capability="10.0")
    for metric in METRICS.values():
        if metric.probe == "tensor":
            assert flops_per_clock(blackwell, metric.name), metric.name
