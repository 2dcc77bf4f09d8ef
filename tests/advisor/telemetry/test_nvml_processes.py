"""Which processes the driver sees where."""

from __future__ import annotations

from types import SimpleNamespace

from advisor.telemetry import nvml_api as api
from advisor.telemetry.nvml_devices import list_devices
from advisor.telemetry.nvml_processes import RARE_EVERY, GpuProcesses
from advisor.telemetry.processes import GpuProcess
from tests.advisor.telemetry.fake_nvml import GIB, FakeNvml, Gpu, Mig, Process

KEY = Gpu().uuid


def watching(nvml: FakeNvml) -> GpuProcesses:
    return GpuProcesses(nvml, list_devices(nvml))


def test_memory_share_and_name() -> None:
    nvml = FakeNvml(Gpu(processes=[Process(11, 3 * GIB, sm_util=40), Process(12, None, sm_util=255)]))
    assert watching(nvml).look() == [
        GpuProcess(key=KEY, pid=11, mem_used_bytes=3 * GIB, sm_frac=0.4, driver_name="/usr/bin/proc11"),
        GpuProcess(key=KEY, pid=12, driver_name="/usr/bin/proc12"),
    ]


def test_no_processes_and_no_utilisation_samples() -> None:
    processes = watching(FakeNvml())
    assert processes.look() == [] and processes.look() == []


def test_a_process_that_computes_and_draws_is_one_process() -> None:
    nvml = FakeNvml(Gpu(processes=[Process(11, GIB)], graphics=[Process(11, 2 * GIB), Process(13, GIB)]))
    assert [(p.pid, p.mem_used_bytes) for p in watching(nvml).look()] == [(11, 2 * GIB), (13, GIB)]


def test_graphics_are_asked_for_rarely_while_there_are_none() -> None:
    nvml = FakeNvml(Gpu(processes=[Process(11)]))
    processes = watching(nvml)
    for _ in range(2 * RARE_EVERY):
        processes.look()
    assert nvml.calls["nvmlDeviceGetGraphicsRunningProcesses"] == 2
    nvml.gpus[0].graphics = [Process(13)]
    seen = [len(processes.look()) for _ in range(4)]
    assert seen == [2, 2, 2, 2]


def test_names_are_asked_for_once() -> None:
    nvml = FakeNvml(Gpu(processes=[Process(11)]))
    processes = watching(nvml)
    processes.look()
    processes.look()
    assert nvml.calls["nvmlSystemGetProcessName"] == 1


def test_under_mig_processes_belong_to_instances() -> None:
    gpu = Gpu(migs=[Mig("MIG-a", gi=7), Mig("MIG-b", gi=8)], processes=[Process(11, gi=8, ci=0)])
    nvml = FakeNvml(gpu)
    assert [(p.key, p.pid) for p in watching(nvml).look()] == [("MIG-b", 11)]
    assert nvml.calls["nvmlDeviceGetComputeRunningProcesses"] == 1


def test_in_a_container_with_an_instance_only() -> None:
    gpu = Gpu(migs=[Mig("MIG-a", gi=7), Mig("MIG-b", gi=8)], processes=[Process(11, gi=8, ci=0)])

    class Contained(FakeNvml):
        def _nvmlDeviceGetComputeRunningProcesses(self, handle: object) -> list[object]:  # noqa: N802
            if getattr(handle, "mig", None) is None:
                raise api.NvmlError(api.NO_PERMISSION)
            return super()._nvmlDeviceGetComputeRunningProcesses(handle)  # type: ignore[arg-type]

    assert [(p.key, p.pid) for p in watching(Contained(gpu)).look()] == [("MIG-b", 11)]


def test_a_lost_gpu_has_no_processes_and_hides_no_others() -> None:
    nvml = FakeNvml(Gpu(uuid="GPU-1", faults={"*": 0}), Gpu(uuid="GPU-2", processes=[Process(12)]))
    processes = watching(nvml)
    nvml.gpus[0].faults["*"] = api.GPU_IS_LOST
    assert [(p.key, p.pid) for p in processes.look()] == [("GPU-2", 12)]


def test_shares_average_the_driver_s_samples() -> None:
    samples = [
        SimpleNamespace(pid=11, smUtil=20, timeStamp=1),
        SimpleNamespace(pid=11, smUtil=40, timeStamp=2),
        SimpleNamespace(pid=11, smUtil=4294967295, timeStamp=3),
    ]
    nvml = FakeNvml(Gpu(processes=[Process(11)], values={"nvmlDeviceGetProcessUtilization": samples}))
    (process,) = watching(nvml).look()
    assert process.sm_frac == 0.3
