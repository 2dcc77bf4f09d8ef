"""The GPUs and MIG instances the driver lists, with the facts that do not change."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from advisor.telemetry import nvml_api as api
from advisor.telemetry.nvml_api import Nvml, NvmlError
from advisor.telemetry.nvml_errors import DeviceCalls, DeviceLostError, Reading, describe
from advisor.telemetry.records import DeviceInfo

MIG_SLICES = 7
MEMORY_INFO_V2 = 0x02000028
_CLOCK_SM, _CLOCK_MEM = 1, 2
_THRESHOLD_MEM_MAX = 2

# CUDA programming guide, arithmetic throughput per multiprocessor: FP32 lanes an SM has.
_CORES_PER_SM = {
    (6, 0): 64, (6, 1): 128, (7, 0): 64, (7, 2): 64, (7, 5): 64, (8, 0): 64, (8, 6): 128, (8, 7): 128,
    (8, 9): 128, (9, 0): 128, (10, 0): 128, (10, 3): 128, (11, 0): 128, (12, 0): 128, (12, 1): 128,
}  # fmt: skip


class Device(NamedTuple):
    """A listed device. handle: None where the driver would not give one.

    gpm_handle: what GPM samples are taken from, a MIG instance's GPU.
    """

    info: DeviceInfo
    handle: Any
    gpm_handle: Any


Signature = tuple[tuple[Any, ...], ...]


def percent(value: int, what: str) -> float:
    """A percentage as a fraction. Raises ValueError when the driver's value is none."""
    if not 0 <= value <= 100:
        raise ValueError(f"the driver's {what} makes no sense ({value} %)")
    return value / 100.0


def _celsius(value: int) -> float:
    """Raises ValueError for what is no board's limit: drivers fill in 0 where they have none."""
    if not 0 < value < 200:
        raise ValueError(f"the driver's memory temperature limit makes no sense ({value} °C)")
    return float(value)


def _milli(value: int) -> tuple[float]:
    return (value / 1000.0,)


def _one(value: Any) -> tuple[Any]:
    return (value,)


def _simple(
    field: str, function: str, *args: Any, convert: Callable[[Any], tuple[Any, ...]] = _one
) -> Reading:
    return Reading((field,), convert, ((function, args),))


_FACTS = (
    Reading(
        ("memory_total_bytes",),
        lambda memory: (int(memory.total),),
        (("nvmlDeviceGetMemoryInfo", (MEMORY_INFO_V2,)), ("nvmlDeviceGetMemoryInfo", ())),
    ),
    _simple(
        "compute_capability", "nvmlDeviceGetCudaComputeCapability", convert=lambda v: (f"{v[0]}.{v[1]}",)
    ),
    _simple("power_limit_w", "nvmlDeviceGetEnforcedPowerLimit", convert=_milli),
    _simple("power_limit_default_w", "nvmlDeviceGetPowerManagementDefaultLimit", convert=_milli),
    _simple(
        "power_limit_max_w", "nvmlDeviceGetPowerManagementLimitConstraints", convert=lambda v: _milli(v[1])
    ),
    _simple("sm_mhz_max", "nvmlDeviceGetMaxClockInfo", _CLOCK_SM, convert=lambda v: (float(v),)),
    _simple(
        "sm_mhz_app_default",
        "nvmlDeviceGetDefaultApplicationsClock",
        _CLOCK_SM,
        convert=lambda v: (float(v),),
    ),
    _simple("mem_mhz_max", "nvmlDeviceGetMaxClockInfo", _CLOCK_MEM, convert=lambda v: (float(v),)),
    _simple(
        "mem_temp_limit_c",
        "nvmlDeviceGetTemperatureThreshold",
        _THRESHOLD_MEM_MAX,
        convert=lambda v: (_celsius(v),),
    ),
    _simple("pcie_gen_max", "nvmlDeviceGetMaxPcieLinkGeneration"),
    _simple("pcie_width_max", "nvmlDeviceGetMaxPcieLinkWidth"),
    _simple("ecc_enabled", "nvmlDeviceGetEccMode", convert=lambda v: (bool(v[0]),)),
    _simple("persistence", "nvmlDeviceGetPersistenceMode", convert=lambda v: (bool(v),)),
    _simple("sm_count", "nvmlDeviceGetNumGpuCores"),
)


def list_devices(nvml: Nvml, sysfs: Path = Path("/sys")) -> list[Device]:
    """Every GPU, each followed by its MIG instances. A GPU that cannot be opened is listed with the reason.

    Raises NvmlError when the driver does not even count its devices.
    """
    devices: list[Device] = []
    for index in range(int(nvml.call("nvmlDeviceGetCount"))):
        gpu = _gpu(nvml, index, sysfs)
        devices.append(gpu)
        if gpu.info.mig_enabled:
            devices.extend(_instances(nvml, gpu))
    return devices


def with_former_names(listed: list[Device], former: tuple[Device, ...]) -> tuple[Device, ...]:
    """A GPU that can no longer be opened stays who it was when it could, MIG instances included."""
    devices: list[Device] = []
    for device in listed:
        known = [Device(f.info, None, None) for f in former if f.info.index == device.info.index]
        devices += known if device.handle is None and known else [device]
    return tuple(devices)


def same_layout(before: Signature, now: Signature) -> bool:
    """Whether nothing came or went. A GPU that is merely not answering now has not gone."""
    if len(before) != len(now):
        return False
    return all(old == new or len(new) == 1 for old, new in zip(before, now, strict=True))


def signature(nvml: Nvml) -> Signature:
    """What changes when a GPU comes or goes or its MIG layout is edited: cheap enough to look at often."""
    return tuple(_gpu_signature(nvml, index) for index in range(int(nvml.call("nvmlDeviceGetCount"))))


def _gpu_signature(nvml: Nvml, index: int) -> tuple[Any, ...]:
    try:
        handle = nvml.call("nvmlDeviceGetHandleByIndex", index)
        uuid = nvml.call("nvmlDeviceGetUUID", handle)
    except NvmlError:
        return (index,)
    if not _mig_enabled(nvml, handle):
        return (index, uuid)
    return (index, uuid, *(_uuid_of(nvml, mig) for mig in _mig_handles(nvml, handle)))


def _gpu(nvml: Nvml, index: int, sysfs: Path) -> Device:
    try:
        handle = nvml.call("nvmlDeviceGetHandleByIndex", index)
        uuid = str(nvml.call("nvmlDeviceGetUUID", handle))
    except NvmlError as error:
        return _unavailable(index, describe(error.code))
    facts, missing = _facts(nvml, handle)
    bus_id = _bus_id(nvml, handle)
    info = DeviceInfo(
        key=uuid,
        index=index,
        name=_name(nvml, handle),
        uuid=uuid,
        pci_bus_id=bus_id,
        mig_enabled=_mig_enabled(nvml, handle),
        numa_node=_numa_node(sysfs, bus_id),
        cpu_affinity=_cpu_affinity(nvml, handle, sysfs, bus_id),
        missing=missing,
        **facts,
    )
    return Device(info, handle, handle)


def _unavailable(index: int, reason: str) -> Device:
    key = f"gpu-{index}-unavailable"
    info = DeviceInfo(key=key, index=index, name="unavailable GPU", uuid=key, missing={"device": reason})
    return Device(info, None, None)


def _facts(nvml: Nvml, handle: Any) -> tuple[dict[str, Any], dict[str, str]]:
    facts, missing = _read_all(nvml, handle, _FACTS)
    facts["sm_count"] = _sm_count(facts.get("sm_count"), facts.get("compute_capability"))
    return facts, missing


def _read_all(
    nvml: Nvml, handle: Any, readings: tuple[Reading, ...]
) -> tuple[dict[str, Any], dict[str, str]]:
    """What could be read, and why the rest is missing. A device lost on the way keeps what came before."""
    calls, facts = DeviceCalls(nvml, handle), dict[str, Any]()
    try:
        for reading in readings:
            calls.read(reading, facts)
    except DeviceLostError as lost:
        calls.explain(("device",), str(lost))
    return facts, calls.missing


def _sm_count(cores: int | None, capability: str | None) -> int | None:
    """NVML counts FP32 lanes; how many an SM has follows from the compute capability."""
    if cores is None or capability is None:
        return None
    major, _, minor = capability.partition(".")
    lanes = _CORES_PER_SM.get((int(major), int(minor)))
    return None if lanes is None else cores // lanes


def _name(nvml: Nvml, handle: Any) -> str:
    try:
        return str(nvml.call("nvmlDeviceGetName", handle))
    except NvmlError as error:
        return f"GPU of unknown name ({describe(error.code)})"


def _uuid_of(nvml: Nvml, handle: Any) -> str | None:
    try:
        return str(nvml.call("nvmlDeviceGetUUID", handle))
    except NvmlError:
        return None


def _bus_id(nvml: Nvml, handle: Any) -> str | None:
    try:
        bus_id = nvml.call("nvmlDeviceGetPciInfo", handle).busId
    except NvmlError:
        return None
    text = bus_id.decode(errors="replace") if isinstance(bus_id, bytes) else str(bus_id)
    return text.lower()[-12:]


def _mig_enabled(nvml: Nvml, handle: Any) -> bool | None:
    try:
        return bool(nvml.call("nvmlDeviceGetMigMode", handle)[0])
    except NvmlError as error:
        return False if error.code in (api.NOT_SUPPORTED, api.FUNCTION_NOT_FOUND) else None


def _mig_handles(nvml: Nvml, handle: Any) -> list[Any]:
    try:
        most = int(nvml.call("nvmlDeviceGetMaxMigDeviceCount", handle))
    except NvmlError:
        return []
    found = (_mig_handle(nvml, handle, index) for index in range(most))
    return [mig for mig in found if mig is not None]


def _mig_handle(nvml: Nvml, handle: Any, index: int) -> Any | None:
    try:
        return nvml.call("nvmlDeviceGetMigDeviceHandleByIndex", handle, index)
    except NvmlError:
        return None


def _instances(nvml: Nvml, gpu: Device) -> Iterable[Device]:
    for handle in _mig_handles(nvml, gpu.handle):
        info = _instance_info(nvml, handle, gpu.info)
        if info is not None:
            yield Device(info, handle, gpu.handle)


_INSTANCE_FACTS = (
    _simple("gi_id", "nvmlDeviceGetGpuInstanceId"),
    _simple("ci_id", "nvmlDeviceGetComputeInstanceId"),
    _simple("attributes", "nvmlDeviceGetAttributes"),
    _FACTS[0],
)
_NO_ATTRIBUTES = msgspec.defstruct("_NoAttributes", [])()


def _instance_info(nvml: Nvml, handle: Any, gpu: DeviceInfo) -> DeviceInfo | None:
    uuid = _uuid_of(nvml, handle)
    if uuid is None:
        return None
    facts, missing = _read_all(nvml, handle, _INSTANCE_FACTS)
    attributes = facts.pop("attributes", _NO_ATTRIBUTES)
    name = _name(nvml, handle)
    return DeviceInfo(
        key=uuid,
        index=gpu.index,
        name=name,
        uuid=uuid,
        pci_bus_id=gpu.pci_bus_id,
        parent_key=gpu.key,
        mig_profile=mig_profile(name, attributes),
        slice_frac=slice_frac(attributes, gpu.sm_count),
        compute_capability=gpu.compute_capability,
        sm_count=getattr(attributes, "multiprocessorCount", None) or None,
        sm_mhz_max=gpu.sm_mhz_max,
        sm_mhz_app_default=gpu.sm_mhz_app_default,
        mem_mhz_max=gpu.mem_mhz_max,
        mem_temp_limit_c=gpu.mem_temp_limit_c,
        pcie_gen_max=gpu.pcie_gen_max,
        pcie_width_max=gpu.pcie_width_max,
        numa_node=gpu.numa_node,
        cpu_affinity=gpu.cpu_affinity,
        ecc_enabled=gpu.ecc_enabled,
        persistence=gpu.persistence,
        missing=missing,
        **facts,
    )


def mig_profile(name: str, attributes: Any) -> str | None:
    """The profile in the driver's name of the instance ("... MIG 1g.10gb"), else made from its attributes."""
    named = re.search(r"\bMIG\s+((?:\d+c\.)?\d+g\.\d+gb\S*)", name)
    if named:
        return named.group(1)
    slices = getattr(attributes, "gpuInstanceSliceCount", 0)
    if not slices:
        return None
    compute = getattr(attributes, "computeInstanceSliceCount", slices)
    prefix = "" if compute in (0, slices) else f"{compute}c."
    return f"{prefix}{slices}g.{round(attributes.memorySizeMB / 1024)}gb"


def slice_frac(attributes: Any, gpu_sm_count: int | None) -> float | None:
    """SMs of the instance over SMs of its GPU; where these are unknown, compute slices of seven."""
    sms = getattr(attributes, "multiprocessorCount", 0)
    if sms and gpu_sm_count:
        return min(1.0, round(sms / gpu_sm_count, 4))
    slices = getattr(attributes, "computeInstanceSliceCount", 0)
    return round(min(1.0, slices / MIG_SLICES), 4) if slices else None


def _sysfs_text(sysfs: Path, bus_id: str | None, name: str) -> str | None:
    try:
        return (sysfs / "bus/pci/devices" / (bus_id or "none") / name).read_text().strip()
    except (OSError, UnicodeDecodeError):
        return None


def _numa_node(sysfs: Path, bus_id: str | None) -> int | None:
    """The NUMA node of the PCIe slot; the kernel says -1 where the platform does not tell."""
    text = _sysfs_text(sysfs, bus_id, "numa_node")
    return int(text) if text is not None and re.fullmatch(r"[0-9]+", text) else None


def _cpu_affinity(nvml: Nvml, handle: Any, sysfs: Path, bus_id: str | None) -> str | None:
    words = (os.sysconf("SC_NPROCESSORS_CONF") + 63) // 64
    try:
        mask = sum(
            int(word) << 64 * i for i, word in enumerate(nvml.call("nvmlDeviceGetCpuAffinity", handle, words))
        )
    except NvmlError:
        return _sysfs_text(sysfs, bus_id, "local_cpulist")
    return format_cpus({bit for bit in range(mask.bit_length()) if mask >> bit & 1}) or None


def format_cpus(cpus: Iterable[int]) -> str:
    """CPUs in the kernel's list form, "0-3,8"."""
    ranges: list[list[int]] = []
    for cpu in sorted(cpus):
        if ranges and cpu == ranges[-1][1] + 1:
            ranges[-1][1] = cpu
        else:
            ranges.append([cpu, cpu])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in ranges)
