"""XIDs reach the samples of the devices they concern, or a reason does."""

from __future__ import annotations

import ctypes

import pytest

from advisor.telemetry import nvml_api as api
from advisor.telemetry.nvml import NvmlReader
from advisor.telemetry.nvml_devices import list_devices
from advisor.telemetry.nvml_events import EVENTS_A_TICK, XidEvents, _same
from advisor.telemetry.records import Sample
from tests.advisor.telemetry.fake_nvml import FakeNvml, Fault, Gpu, Mig


def tick(reader: NvmlReader) -> dict[str, Sample]:
    return {sample.key: sample for sample in reader.samples(5.0, slow=False)}


def test_an_xid_is_told_once_and_of_its_own_gpu() -> None:
    first, second = Gpu(uuid="GPU-a"), Gpu(uuid="GPU-b")
    reader = NvmlReader(FakeNvml(first, second))
    second.xids += [31, 43]
    seen = tick(reader)
    assert (seen["GPU-a"].xids, seen["GPU-b"].xids) == ((), (31, 43))
    assert "xids" not in seen["GPU-b"].missing
    assert tick(reader)["GPU-b"].xids == ()


def test_the_last_xid_of_a_gpu_that_is_lost_is_told() -> None:
    gpu = Gpu()
    reader = NvmlReader(FakeNvml(gpu))
    gpu.faults["*"] = api.GPU_IS_LOST
    gpu.xids.append(79)
    (sample,) = tick(reader).values()
    assert (sample.state, sample.xids) == ("lost", (79,))


@pytest.mark.parametrize(
    ("place", "told"),
    [
        ({"gpuInstanceId": 9, "computeInstanceId": 0}, {"MIG-a"}),
        ({}, {"GPU-x", "MIG-a", "MIG-b"}),
    ],
)
def test_an_xid_of_a_divided_gpu_is_told_of_the_instance_or_of_all(
    place: dict[str, int], told: set[str]
) -> None:
    gpu = Gpu(uuid="GPU-x", migs=[Mig("MIG-a", gi=9), Mig("MIG-b", gi=11)], xid_place=place)
    reader = NvmlReader(FakeNvml(gpu))
    gpu.xids.append(13)
    assert {key for key, sample in tick(reader).items() if sample.xids} == told


@pytest.mark.parametrize(
    ("function", "code", "words"),
    [
        ("nvmlEventSetCreate", api.FUNCTION_NOT_FOUND, "needs a newer driver"),
        ("nvmlDeviceRegisterEvents", api.NOT_SUPPORTED, "not supported by this GPU"),
        ("nvmlDeviceRegisterEvents", api.NO_PERMISSION, "no permission"),
        ("nvmlEventSetWait", api.NOT_SUPPORTED, "not supported by this GPU"),
    ],
)
def test_where_events_cannot_be_had_the_sample_says_why(function: str, code: Fault, words: str) -> None:
    nvml = FakeNvml(Gpu(), faults={function: code})
    reader = NvmlReader(nvml)
    tick(reader)
    (sample,) = tick(reader).values()
    assert words in sample.missing["xids"]
    asked = nvml.calls["nvmlEventSetWait"]
    tick(reader)
    assert nvml.calls["nvmlEventSetWait"] == asked


def test_a_storm_of_xids_does_not_hold_a_tick() -> None:
    gpu = Gpu()
    reader = NvmlReader(FakeNvml(gpu))
    gpu.xids += [13] * (EVENTS_A_TICK + 5)
    assert [len(tick(reader)[gpu.uuid].xids) for _ in range(3)] == [EVENTS_A_TICK, 5, 0]


def test_one_gpu_without_events_does_not_hide_those_of_another() -> None:
    deaf = Gpu(uuid="GPU-deaf", faults={"nvmlDeviceRegisterEvents": api.NOT_SUPPORTED})
    well = Gpu(uuid="GPU-well")
    reader = NvmlReader(FakeNvml(deaf, well))
    well.xids.append(48)
    seen = tick(reader)
    assert "xids" in seen["GPU-deaf"].missing
    assert seen["GPU-well"].xids == (48,)


def test_a_gpu_that_answers_again_after_a_reset_is_heard_again() -> None:
    lost = [api.GPU_IS_LOST, api.RESET_REQUIRED, api.TIMEOUT]
    nvml = FakeNvml(Gpu(migs=[Mig("MIG-a", gi=9)]), faults={"nvmlEventSetWait": lambda: lost.pop(0)})
    events = XidEvents(nvml, list_devices(nvml))
    said = []
    for _ in range(3):
        assert events.poll() == {}
        said.append(sorted(events.missing))
    assert said == [[Gpu().uuid, "MIG-a"]] * 2 + [[]]


def test_handles_are_the_same_where_they_point_to_the_same_device() -> None:
    device, other = ctypes.c_int(), ctypes.c_int()
    assert _same(ctypes.pointer(device), ctypes.pointer(device))
    assert not _same(ctypes.pointer(device), ctypes.pointer(other))
