"""Data sheets of GPUs, found by the name the driver gives, and ceilings assumed from them.

A name that fits no row, or a card whose memory or architecture contradicts the row, has no spec:
nothing is guessed. Figures are dense (no sparsity) and at the boost clock; each row names its source.
"""

from __future__ import annotations

import csv
import io
import re
from functools import cache

import msgspec

from probes.ceilings import Ceiling, Ceilings, Reading, pcie_copy_bytes_s

# Drivers report the physical size: 80 GB cards read 85.5e9 to 85.9e9 bytes, an ECC T4 15.8e9.
_MEMORY_LOW, _MEMORY_HIGH = 0.93, 1.10
# No board is sold with a limit this far over its data sheet's power; then the row is another card's.
_POWER_HIGH = 1.5

# A driver name without vendor and MIG suffix, in lower case -> (gpu, variant) of the table. Names in
# the wild; anything after them (Ti, Laptop GPU, D, -24Q, 64GB) is another product and must not match.
_NAMES: tuple[tuple[str, str, str], ...] = (
    (r"t4", "T4", "PCIe"),
    (r"v100-sxm2-(16|32)gb", "V100", "SXM2 16/32GB"),
    (r"v100-pcie-(16|32)gb", "V100", "PCIe 16/32GB"),
    (r"v100s-pcie-32gb", "V100S", "PCIe 32GB"),
    (r"a10", "A10", "PCIe"),
    (r"a10g", "A10G", "AWS"),
    (r"a30", "A30", "PCIe"),
    (r"a40", "A40", "PCIe"),
    (r"a100-pcie-40gb", "A100", "PCIe 40GB"),
    (r"a100 80gb pcie|a100-pcie-80gb", "A100", "PCIe 80GB"),
    (r"a100-sxm4?-40gb", "A100", "SXM4 40GB"),
    (r"a100-sxm4?-80gb", "A100", "SXM4 80GB"),
    (r"l4", "L4", "PCIe"),
    (r"l40", "L40", "PCIe"),
    (r"l40s", "L40S", "PCIe"),
    (r"geforce rtx 3090", "RTX 3090", "GeForce"),
    (r"geforce rtx 4090", "RTX 4090", "GeForce"),
    (r"geforce rtx 5090", "RTX 5090", "GeForce"),
    (r"rtx 6000 ada generation", "RTX 6000 Ada", "PCIe"),
    (r"rtx pro 6000 blackwell (workstation|server) edition", "RTX PRO 6000 Blackwell", "Workstation/Server"),
    (r"rtx pro 6000 blackwell max-q workstation edition", "RTX PRO 6000 Blackwell", "Max-Q"),
    (r"h100 pcie", "H100", "PCIe 80GB"),
    (r"h100 80gb hbm3", "H100", "SXM5 80GB"),
    (r"h100 nvl", "H100", "NVL 94GB"),
    (r"h200", "H200", "SXM 141GB"),
    (r"h200 nvl", "H200", "NVL 141GB"),
    (r"h20", "H20", "SXM 96GB"),
    (r"gh200 (120|480)gb", "GH200", "96GB HBM3"),
    (r"gh200 144g hbm3e", "GH200", "141/144GB HBM3e"),
    (r"b100", "B100", "SXM"),
    (r"b200", "B200", "SXM (HGX)"),
    (r"gb200", "GB200", "per GPU"),
    (r"b300( sxm6( ac)?)?", "B300", "SXM (HGX)"),
    (r"gb300", "GB300", "per GPU"),
)

_VENDOR = re.compile(r"^(nvidia|tesla)\s+")
_MIG = re.compile(r"\s+mig\s+(\d+c\.)?\d+g\.\d+gb(\+\S+)?$")


class GpuSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the table. Rates are dense, per second; None is not published or not confirmed.

    memory_gb: the sizes sold under this row. nvlink_bytes_s counts both directions together.
    """

    gpu: str
    variant: str
    arch: str
    compute_capability: str
    memory_gb: tuple[float, ...]
    dram_bytes_s: float
    flop_s: dict[str, float]
    tdp_w: float | None
    pcie_gen: int | None
    nvlink_bytes_s: float | None
    l2_bytes: float | None
    sm_count: int | None
    boost_mhz: float | None
    notes: str
    source: str

    @property
    def model(self) -> str:
        """The row's name, such as "H100 SXM5 80GB"."""
        return f"{self.gpu} {self.variant}"


# Column of the table -> name of the ceiling. TFLOP/s (TOP/s for integers).
_RATES = {
    "fp64": "fp64",
    "fp64_tensor": "fp64_tensor",
    "fp32": "fp32",
    "tf32": "tf32",
    "fp16": "fp16",
    "bf16": "bf16",
    "fp8": "fp8",
    "int8_tops": "int8",
    "fp4": "fp4",
}


@cache
def all_specs() -> tuple[GpuSpec, ...]:
    """Every row of the bundled table, in order. Read once."""
    from importlib.resources import files

    text = files("probes").joinpath("gpu_specs.csv").read_text(encoding="utf-8")
    return tuple(_row(row) for row in csv.DictReader(io.StringIO(text)))


def find_spec(
    driver_name: str,
    memory_total_bytes: int | None,
    compute_capability: str | None = None,
    power_limit_w: float | None = None,
) -> GpuSpec | None:
    """The data sheet of the card the driver calls `driver_name`, or None when it is not known for sure.

    The name picks the row; memory, compute capability and power limit, where given, may only rule it
    out. A MIG instance's name gives its whole GPU's row (its memory is a slice, so it is not compared).
    """
    name, is_mig = bare_name(driver_name)
    found = next((spec for spec in all_specs() if _is_called(spec, name)), None)
    if found is None or not _fits(found, compute_capability, power_limit_w):
        return None
    return found if is_mig or _holds(found, memory_total_bytes) else None


def bare_name(driver_name: str) -> tuple[str, bool]:
    """A driver name in lower case without vendor and MIG suffix, and whether it had one."""
    name = " ".join(driver_name.lower().split())
    short = _MIG.sub("", name)
    return _VENDOR.sub("", _VENDOR.sub("", short)), short != name


def assumed_ceilings(spec: GpuSpec, *, slice_frac: float = 1.0) -> Ceilings:
    """Ceilings from the data sheet times what such cards are seen to reach, all labelled `assumed`.

    slice_frac: a MIG instance's share of its GPU; rates scale with it, counter readings do not.
    """
    from probes.typical import READINGS, dram_frac, rate_frac

    ceilings = [_ceiling("dram", spec.dram_bytes_s * slice_frac, "bytes_s", dram_frac(spec.gpu))]
    for dtype, rate in spec.flop_s.items():
        typical = rate_frac(spec.gpu, dtype)
        if typical is not None:
            ceilings.append(_ceiling(dtype, rate * slice_frac, "flop_s", typical))
    return Ceilings(
        model=spec.model,
        label="assumed",
        readings=tuple(_reading(spec.gpu, counter, dtype) for counter, dtype in READINGS.items()),
        ceilings=(*ceilings, *_link_ceilings(spec)),
        sm_mhz=spec.boost_mhz,
        sm_count=None if spec.sm_count is None else max(1, round(spec.sm_count * slice_frac)),
        power_w=spec.tdp_w,
    )


def _ceiling(metric: str, spec_value: float, unit: str, typical: tuple[float, str]) -> Ceiling:
    frac, source = typical
    text = f"data sheet x {frac:g}: {source}"
    return Ceiling(metric=metric, value=spec_value * frac, unit=unit, label="assumed", source=text)


def _reading(gpu: str, counter: str, dtype: str) -> Reading:
    from probes.typical import counter_frac

    frac, source = counter_frac(gpu, dtype)
    return Reading(counter=counter, frac=frac, label="assumed", source=source)


def _link_ceilings(spec: GpuSpec) -> tuple[Ceiling, ...]:
    """Per direction."""
    from probes.typical import NVLINK

    found: list[Ceiling] = []
    copy = pcie_copy_bytes_s(spec.pcie_gen, 16)
    if copy is not None:
        source = f"pinned copies over PCIe gen {spec.pcie_gen} x16: nvbandwidth, Azure AI benchmarking guide"
        found.append(Ceiling(metric="pcie", value=copy, unit="bytes_s", label="assumed", source=source))
    if spec.nvlink_bytes_s:
        found.append(_ceiling("nvlink", spec.nvlink_bytes_s / 2, "bytes_s", NVLINK))
    return tuple(found)


def _is_called(spec: GpuSpec, name: str) -> bool:
    return any(
        (gpu, variant) == (spec.gpu, spec.variant) and re.fullmatch(pattern, name)
        for pattern, gpu, variant in _NAMES
    )


def _fits(spec: GpuSpec, compute_capability: str | None, power_limit_w: float | None) -> bool:
    if compute_capability is not None and compute_capability != spec.compute_capability:
        return False
    return not (power_limit_w and spec.tdp_w and power_limit_w > _POWER_HIGH * spec.tdp_w)


def _holds(spec: GpuSpec, memory_total_bytes: int | None) -> bool:
    if memory_total_bytes is None:
        return True
    ratios = (memory_total_bytes / (size * 1e9) for size in spec.memory_gb)
    return any(_MEMORY_LOW <= ratio <= _MEMORY_HIGH for ratio in ratios)


def _row(row: dict[str, str]) -> GpuSpec:
    rates = {name: _number(row[column]) for column, name in _RATES.items()}
    nvlink = _number(row["nvlink_gbs"])
    l2_mb, gen, sms = _number(row["l2_mb"]), _number(row["pcie_gen"]), _number(row["sm_count"])
    return GpuSpec(
        gpu=row["gpu"],
        variant=row["variant"],
        arch=row["arch"],
        compute_capability=row["cc"],
        memory_gb=_memory_sizes(row["variant"], float(row["memory_gb"])),
        dram_bytes_s=float(row["mem_bw_gbs"]) * 1e9,
        flop_s={name: rate * 1e12 for name, rate in rates.items() if rate is not None},
        tdp_w=_number(row["tdp_w"]),
        pcie_gen=None if gen is None else int(gen),
        nvlink_bytes_s=None if nvlink is None else nvlink * 1e9,
        l2_bytes=None if l2_mb is None else l2_mb * 1e6,
        sm_count=None if sms is None else int(sms),
        boost_mhz=_number(row["boost_mhz"]),
        notes=row["notes"],
        source=row["source"],
    )


def _number(text: str) -> float | None:
    return float(text) if text.strip() else None


def _memory_sizes(variant: str, listed: float) -> tuple[float, ...]:
    """Both sizes of a row such as "SXM2 16/32GB", else the listed one."""
    pair = re.search(r"(\d+)/(\d+)GB", variant)
    return (float(pair[1]), float(pair[2])) if pair else (listed,)
