"""Listing GPUs and MIG instances, with their static facts."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.telemetry import nvml_api as api
from advisor.telemetry.nvml_devices import format_cpus, list_devices, mig_profile, slice_frac
from advisor.telemetry.procfs import parse_cpu_list
from advisor.telemetry.records import DeviceInfo
from tests.advisor.telemetry.fake_nvml import GIB, FakeNvml, Gpu, Mig


def infos(nvml: FakeNvml, sysfs: Path = Path("/nowhere")) -> list[DeviceInfo]:
    return [device.info for device in list_devices(nvml, sysfs)]


def test_facts_of_a_gpu(tmp_path: Path) -> None:
    slot = tmp_path / "bus/pci/devices/0000:1b:00.0"
    slot.mkdir(parents=True)
    (slot / "numa_node").write_text("1\n")
    (info,) = infos(FakeNvml(), tmp_path)
    assert info == DeviceInfo(
        key="GPU-00000000-0000-4000-8000-000000000000",
        index=0,
        name="NVIDIA Simulated X100 80GB",
        uuid="GPU-00000000-0000-4000-8000-000000000000",
        pci_bus_id="0000:1b:00.0",
        mig_enabled=False,
        memory_total_bytes=80 * GIB,
        compute_capability="9.0",
        sm_count=132,
        power_limit_w=600.0,
        power_limit_default_w=700.0,
        power_limit_max_w=700.0,
        sm_mhz_max=1980.0,
        sm_mhz_app_default=1700.0,
        mem_mhz_max=2619.0,
        mem_temp_limit_c=105.0,
        pcie_gen_max=5,
        pcie_width_max=16,
        numa_node=1,
        cpu_affinity="0-1,3",
        ecc_enabled=True,
        persistence=False,
    )


def test_an_unknown_numa_node_is_none(tmp_path: Path) -> None:
    slot = tmp_path / "bus/pci/devices/0000:1b:00.0"
    slot.mkdir(parents=True)
    (slot / "numa_node").write_text("-1\n")
    (slot / "local_cpulist").write_text("0-7\n")
    (info,) = infos(FakeNvml(faults={"nvmlDeviceGetCpuAffinity": api.NOT_SUPPORTED}), tmp_path)
    assert info.numa_node is None
    assert info.cpu_affinity == "0-7"


def test_missing_facts_say_why() -> None:
    (info,) = infos(FakeNvml(faults={"nvmlDeviceGetEnforcedPowerLimit": api.NOT_SUPPORTED}))
    assert info.power_limit_w is None
    assert info.missing == {"power_limit_w": "not supported by this GPU"}


def test_a_limit_of_no_degrees_is_none() -> None:
    class Nothing(FakeNvml):
        def _nvmlDeviceGetTemperatureThreshold(self, handle: object, which: int) -> int:  # noqa: N802
            return 0

    (info,) = infos(Nothing())
    assert info.mem_temp_limit_c is None
    assert "makes no sense (0 °C)" in info.missing["mem_temp_limit_c"]


def test_a_driver_without_the_second_memory_call() -> None:
    class Old(FakeNvml):
        def _nvmlDeviceGetMemoryInfo(self, handle: object, version: int = 0) -> object:  # noqa: N802
            if version:
                raise api.NvmlError(api.FUNCTION_NOT_FOUND)
            return SimpleNamespace(total=24 * GIB, used=0)

    (info,) = infos(Old())
    assert info.memory_total_bytes == 24 * GIB and info.missing == {}


def test_mig_instances_follow_their_gpu() -> None:
    small, large = Mig("MIG-a", gi=9), Mig("MIG-b", gi=2, ci=1, profile="3g.40gb", sms=60, slices=3)
    gpu, first, second = infos(FakeNvml(Gpu(migs=[small, large])))
    assert gpu.mig_enabled is True and gpu.parent_key is None
    assert (first.key, first.parent_key, first.mig_profile) == ("MIG-a", gpu.key, "1g.10gb")
    assert (first.gi_id, first.ci_id, first.slice_frac) == (9, 0, round(16 / 132, 4))
    assert (second.gi_id, second.ci_id, second.mig_profile) == (2, 1, "3g.40gb")
    assert second.index == gpu.index and second.pci_bus_id == gpu.pci_bus_id
    assert second.memory_total_bytes == 9856 * 1024**2


def test_profile_from_attributes_where_the_name_lacks_it() -> None:
    attributes = SimpleNamespace(gpuInstanceSliceCount=3, computeInstanceSliceCount=3, memorySizeMB=40192)
    assert mig_profile("NVIDIA Simulated X100", attributes) == "3g.39gb"
    attributes.computeInstanceSliceCount = 1
    assert mig_profile("NVIDIA Simulated X100", attributes) == "1c.3g.39gb"
    assert mig_profile("NVIDIA Simulated X100 MIG 1c.3g.40gb", attributes) == "1c.3g.40gb"
    assert mig_profile("X100 MIG 1g.10gb+me", attributes) == "1g.10gb+me"
    assert mig_profile("X100", SimpleNamespace()) is None


def test_slice_share() -> None:
    attributes = SimpleNamespace(multiprocessorCount=16, computeInstanceSliceCount=1)
    assert slice_frac(attributes, 132) == pytest.approx(16 / 132, abs=1e-4)
    assert slice_frac(attributes, None) == pytest.approx(1 / 7, abs=1e-4)
    assert slice_frac(SimpleNamespace(), 132) is None


def test_a_gpu_lost_while_listed_is_listed() -> None:
    (info,) = infos(FakeNvml(faults={"nvmlDeviceGetMaxClockInfo": api.GPU_IS_LOST}))
    assert info.name == "NVIDIA Simulated X100 80GB"
    assert info.missing["device"] == "it fell off the bus (GPU is lost)"


@given(st.frozensets(st.integers(0, 300)))
def test_cpu_lists_survive_both_ways(cpus: frozenset[int]) -> None:
    assert parse_cpu_list(format_cpus(cpus)) == cpus


def test_an_instance_lost_while_listed_keeps_what_was_read() -> None:
    lost = Gpu(
        uuid="GPU-lost", migs=[Mig("MIG-a", gi=9)], faults={"nvmlDeviceGetAttributes": api.GPU_IS_LOST}
    )
    gpu, instance, well = infos(FakeNvml(lost, Gpu(uuid="GPU-well")))
    assert (gpu.key, instance.key, well.key) == ("GPU-lost", "MIG-a", "GPU-well")
    assert (instance.gi_id, instance.parent_key, instance.memory_total_bytes) == (9, "GPU-lost", None)
    assert instance.missing["device"] == "it fell off the bus (GPU is lost)"
    assert well.missing == {}
