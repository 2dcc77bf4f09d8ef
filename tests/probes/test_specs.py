"""Data sheets are found by the names drivers give, and by nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.ceilings import pcie_copy_bytes_s
from probes.specs import all_specs, assumed_ceilings, find_spec

MIB = 1 << 20

# Driver name, memory in MiB as drivers report it, compute capability, model of the row.
KNOWN = [
    ("Tesla T4", 15360, "7.5", "T4 PCIe"),
    ("Tesla T4", 15109, "7.5", "T4 PCIe"),
    ("Tesla V100-SXM2-16GB", 16384, "7.0", "V100 SXM2 16/32GB"),
    ("Tesla V100-SXM2-32GB", 32768, "7.0", "V100 SXM2 16/32GB"),
    ("Tesla V100-PCIE-32GB", 32768, "7.0", "V100 PCIe 16/32GB"),
    ("NVIDIA A10", 23028, "8.6", "A10 PCIe"),
    ("NVIDIA A10G", 23028, "8.6", "A10G AWS"),
    ("NVIDIA A30", 24576, "8.0", "A30 PCIe"),
    ("NVIDIA A40", 46068, "8.6", "A40 PCIe"),
    ("A100-PCIE-40GB", 40536, "8.0", "A100 PCIe 40GB"),
    ("NVIDIA A100-PCIE-40GB", 40960, "8.0", "A100 PCIe 40GB"),
    ("NVIDIA A100 80GB PCIe", 81920, "8.0", "A100 PCIe 80GB"),
    ("NVIDIA A100-SXM4-40GB", 40960, "8.0", "A100 SXM4 40GB"),
    ("NVIDIA A100-SXM4-80GB", 81920, "8.0", "A100 SXM4 80GB"),
    ("NVIDIA L4", 23034, "8.9", "L4 PCIe"),
    ("NVIDIA L40", 46068, "8.9", "L40 PCIe"),
    ("NVIDIA L40S", 46068, "8.9", "L40S PCIe"),
    ("NVIDIA GeForce RTX 4090", 24564, "8.9", "RTX 4090 GeForce"),
    ("NVIDIA RTX 6000 Ada Generation", 49140, "8.9", "RTX 6000 Ada PCIe"),
    ("NVIDIA H100 PCIe", 81559, "9.0", "H100 PCIe 80GB"),
    ("NVIDIA H100 80GB HBM3", 81559, "9.0", "H100 SXM5 80GB"),
    ("NVIDIA H100 NVL", 95830, "9.0", "H100 NVL 94GB"),
    ("NVIDIA H200", 143771, "9.0", "H200 SXM 141GB"),
    ("NVIDIA H200 NVL", 143771, "9.0", "H200 NVL 141GB"),
    ("NVIDIA H20", 97871, "9.0", "H20 SXM 96GB"),
    ("NVIDIA GH200 480GB", 97871, "9.0", "GH200 96GB HBM3"),
    ("NVIDIA B200", 183359, "10.0", "B200 SXM (HGX)"),
    ("NVIDIA GB200", 189471, "10.0", "GB200 per GPU"),
]

UNKNOWN = [
    "",
    "NVIDIA",
    "NVIDIA H100",
    "NVIDIA H100 64GB HBM2",
    "NVIDIA A100-SXM-64GB",
    "NVIDIA A800-SXM4-80GB",
    "NVIDIA A10-24Q",
    "GRID A100-40C",
    "NVIDIA A1000",
    "NVIDIA L20",
    "NVIDIA L40G",
    "NVIDIA T4G",
    "NVIDIA T400",
    "Tesla V100-SXM3-32GB",
    "Tesla V100-DGXS-32GB",
    "NVIDIA GeForce RTX 4090 D",
    "NVIDIA GeForce RTX 4090 Laptop GPU",
    "NVIDIA GeForce RTX 3090 Ti",
    "NVIDIA H20-3e",
    "NVIDIA Graphics Device",
    "NVIDIA Simulated X100 80GB",
]


@pytest.mark.parametrize(("name", "mib", "capability", "model"), KNOWN)
def test_a_driver_name_finds_its_row(name: str, mib: int, capability: str, model: str) -> None:
    found = find_spec(name, mib * MIB, capability)
    assert found is not None
    assert found.model == model
    assert find_spec(f"  {name.upper()} ", None) == found


@pytest.mark.parametrize("name", UNKNOWN)
def test_an_unknown_or_ambiguous_name_has_no_spec(name: str) -> None:
    assert find_spec(name, None) is None


def test_memory_capability_and_power_can_only_rule_a_row_out() -> None:
    assert find_spec("NVIDIA H20", 143771 * MIB) is None
    assert find_spec("NVIDIA H100 80GB HBM3", 40960 * MIB) is None
    assert find_spec("NVIDIA H100 80GB HBM3", 81559 * MIB, "8.0") is None
    assert find_spec("NVIDIA H100 80GB HBM3", 81559 * MIB, "9.0", 700.0) is not None
    assert find_spec("NVIDIA L4", None, None, 350.0) is None
    assert find_spec("NVIDIA GeForce RTX 4090", None, None, 600.0) is not None


@pytest.mark.parametrize("suffix", ["1g.10gb", "1g.10gb+me", "1c.3g.40gb", "7g.80gb"])
def test_a_mig_instance_has_its_whole_gpus_row(suffix: str) -> None:
    found = find_spec(f"NVIDIA H100 80GB HBM3 MIG {suffix}", 9856 * MIB)
    assert found is not None
    assert found.model == "H100 SXM5 80GB"


@given(st.text(max_size=40))
def test_hostile_names_find_nothing(name: str) -> None:
    found = find_spec(name, None)
    assert found is None or found.gpu.lower() in name.lower()


def test_rows_are_read_in_their_units() -> None:
    spec = find_spec("NVIDIA H100 80GB HBM3", None)
    assert spec is not None
    assert (spec.dram_bytes_s, spec.flop_s["bf16"], spec.tdp_w) == (3350e9, 989.4e12, 700.0)
    assert (spec.sm_count, spec.boost_mhz, spec.pcie_gen, spec.nvlink_bytes_s) == (132, 1980.0, 5, 900e9)
    assert "fp4" not in spec.flop_s


def test_every_row_names_its_source_and_its_own_model() -> None:
    specs = all_specs()
    assert len(specs) >= 30
    assert all(spec.source and spec.dram_bytes_s > 1e11 for spec in specs)
    assert len({spec.model for spec in specs}) == len(specs)


@pytest.mark.parametrize("spec", all_specs(), ids=lambda spec: str(spec.model))
def test_assumed_ceilings_lie_below_the_data_sheet_and_say_so(spec: object) -> None:
    from probes.specs import GpuSpec

    assert isinstance(spec, GpuSpec)
    ceilings = assumed_ceilings(spec)
    assert ceilings.label == "assumed"
    dram = ceilings.ceiling("dram")
    assert dram is not None
    assert 0.7 < dram.value / spec.dram_bytes_s < 0.96
    for dtype, rate in spec.flop_s.items():
        found = ceilings.ceiling(dtype)
        assert found is None or 0.4 < found.value / rate < 1.0
    assert all(c.label == "assumed" and c.source for c in ceilings.ceilings)
    assert all(0.4 < r.frac < 1.0 and r.label == "assumed" and r.source for r in ceilings.readings)


def test_an_h100s_assumed_ceilings() -> None:
    spec = find_spec("NVIDIA H100 80GB HBM3", None)
    assert spec is not None
    ceilings = assumed_ceilings(spec)
    readings = {r.counter: r.frac for r in ceilings.readings}
    assert (readings["dram_active"], readings["tensor_active"], readings["fp32"]) == (0.92, 0.80, 0.78)
    per_second = {c.metric: c.value for c in ceilings.ceilings}
    assert per_second["pcie"] == 53e9
    assert per_second["nvlink"] == 360e9
    assert "int8" not in per_second
    assert (ceilings.sm_mhz, ceilings.sm_count, ceilings.power_w) == (1980.0, 132, 700.0)


def test_counters_are_those_of_a_sub_window() -> None:
    from rules.roofs import PIPES

    names = {r.counter for r in assumed_ceilings(all_specs()[0]).readings}
    assert names == {*PIPES, "dram_active"}


def test_a_slice_has_its_share_of_rates_and_the_same_readings() -> None:
    spec = find_spec("NVIDIA H100 80GB HBM3", None)
    assert spec is not None
    whole, part = assumed_ceilings(spec), assumed_ceilings(spec, slice_frac=0.125)
    assert part.readings == whole.readings
    ratio = {c.metric: c.value / w.value for c, w in zip(part.ceilings, whole.ceilings, strict=True)}
    assert ratio["dram"] == ratio["bf16"] == 0.125
    assert ratio["pcie"] == 1.0
    assert part.sm_count == 16


@pytest.mark.parametrize(
    ("gen", "width", "rate"),
    [
        (3, 16, 12.3e9),
        (5, 16, 53e9),
        (4, 8, 12.75e9),
        (4, 0, None),
        (None, 16, None),
        (9, 16, None),
        (4, None, None),
    ],
)
def test_copies_over_pcie_by_generation_and_width(
    gen: int | None, width: int | None, rate: float | None
) -> None:
    assert pcie_copy_bytes_s(gen, width) == rate
