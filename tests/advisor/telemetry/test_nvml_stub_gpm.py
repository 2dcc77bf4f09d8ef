"""The simulated NVML library: GPM, processes and MIG."""

from __future__ import annotations

import pytest

from tests.conftest import NvmlStub
from tests.nvml_stub.client import ask, at, node


def test_gpm_values_in_the_units_of_nvml(nvml_stub: NvmlStub) -> None:
    gpu = {"gpm": {"gr_active": 0.5, "dram_active": 0.9, "hmma": 0.25, "fp64": None}, "pcie_rx_mib_s": 1500}
    got = ask(nvml_stub.env(node(gpu)), "out(measure(h, [1, 10, 7, 5, 21, 11, 30, 333]))")
    assert got == [
        [1, 0, 50],
        [10, 0, 90],
        [7, 0, 25],
        [5, 0, 0],
        [21, 0, 1500],
        [11, 3, -1],
        [30, 3, -1],
        [333, 3, -1],
    ]


def test_gpm_is_the_mean_between_the_samples(nvml_stub: NvmlStub) -> None:
    gpu = {"gpm": {"gr_active": {"series": [[0, 1], [0.02, 0]], "loop_s": 0.05}}}
    got = ask(nvml_stub.env(node(gpu)), "out(measure(h, [1], seconds=0.5))")
    assert got[0][2] == pytest.approx(40, abs=4)


def test_gpm_samples_too_close(nvml_stub: NvmlStub) -> None:
    code = """
    tries = (measure(h, [1, 10, 999], seconds=0) for _ in range(20))
    out(next((got for got in tries if got[0][1] != 0), None))
    """
    got = ask(nvml_stub.env("memory"), code)
    assert got == [[1, 21, -1], [10, 21, -1], [999, 3, -1]]


def test_gpm_unsupported_card(nvml_stub: NvmlStub) -> None:
    code = """
    out([p.nvmlGpmQueryDeviceSupport(h).isSupportedDevice, code(sample, h),
         p.nvmlDeviceGetUtilizationRates(h).memory])
    """
    assert ask(nvml_stub.env("no_gpm"), code) == [0, "E3", 85]
    assert ask(nvml_stub.env("memory"), "out(p.nvmlGpmQueryDeviceSupport(h).isSupportedDevice)") == 1


def test_old_gpm_abi_serves_one_metric_a_call(nvml_stub: NvmlStub) -> None:
    many = ask(nvml_stub.env("old_abi"), "out(measure(h, [1, 2, 3, 5, 10]))")
    assert many[0] == [1, 0, 99]
    assert [entry[1] for entry in many[1:4]] == [777, 777, 777]
    single = ask(nvml_stub.env("old_abi"), "out([measure(h, [i])[0] for i in (2, 10)])")
    assert single == [[2, 0, 97], [10, 0, 90]]


def test_smaller_gpm_array_refuses_more(nvml_stub: NvmlStub) -> None:
    gpu = {"gpm": {"gr_active": 1, "nvlink_tx_mib_s": 7}, "gpm_array_max": 61}
    code = "out([measure(h, [1, 60, 61]), code(measure, h, [1] * 62)])"
    assert ask(nvml_stub.env(node(gpu)), code) == [[[1, 0, 100], [60, 0, 0], [61, 3, -1]], "E2"]


def test_gpm_wrong_arguments(nvml_stub: NvmlStub) -> None:
    code = """
    empty = p.nvmlGpmSampleAlloc()
    full = sample(h)
    wrong = p.c_nvmlGpmMetricsGet_t()
    wrong.version = 9
    p.nvmlGpmSampleFree(p.nvmlGpmSampleAlloc())
    out([code(metrics, empty, full, [1]), code(p.nvmlGpmMetricsGet, wrong)])
    """
    assert ask(nvml_stub.env("memory"), code) == ["E2", "E25"]


def test_processes_by_kind_and_time(nvml_stub: NvmlStub) -> None:
    processes = [
        {"pid": 11, "name": "first", "memory_mib": 100, "to_s": 500},
        {"pid": 12, "memory_mib": None, "from_s": 500},
        {"pid": 13, "memory_mib": 7, "type": "graphics"},
        {"pid": 14, "memory_mib": 9, "type": "mps"},
    ]
    code = """
    out([[[q.pid, q.usedGpuMemory] for q in f(h)] for f in (p.nvmlDeviceGetComputeRunningProcesses,
         p.nvmlDeviceGetGraphicsRunningProcesses, p.nvmlDeviceGetMPSComputeRunningProcesses)])
    """
    mib = 2**20
    assert at(nvml_stub, {"processes": processes}, 100, code) == [
        [[11, 100 * mib]],
        [[13, 7 * mib]],
        [[14, 9 * mib]],
    ]
    assert at(nvml_stub, {"processes": processes}, 900, code)[0] == [[12, None]]
    name = "out([code(p.nvmlSystemGetProcessName, 11), code(p.nvmlSystemGetProcessName, 99)])"
    assert at(nvml_stub, {"processes": processes}, 100, name) == ["first", "E6"]
    used = "out(p.nvmlDeviceGetMemoryInfo(h).used)"
    assert at(nvml_stub, {"processes": processes}, 100, used) == 116 * mib


def test_process_ids_from_the_environment(nvml_stub: NvmlStub) -> None:
    pids = ["self", "parent", "env:STUB_PID", "env:NOT_SET:77"]
    gpu = {"processes": [{"pid": pid, "name": pid} for pid in pids]}
    code = "out([os.getpid(), os.getppid()] + [q.pid for q in p.nvmlDeviceGetComputeRunningProcesses(h)])"
    own, parent, *listed = ask(nvml_stub.env(node(gpu), STUB_PID="4321"), code)
    assert listed == [own, parent, 4321, 77]


def test_process_utilization(nvml_stub: NvmlStub) -> None:
    code = "out([[s.pid, s.smUtil, s.memUtil] for s in p.nvmlDeviceGetProcessUtilization(h, 0)])"
    gpu = {"processes": [{"pid": 5, "sm_util": 40, "mem_util": 3}, {"pid": 6}]}
    assert ask(nvml_stub.env(node(gpu)), code) == [[5, 40, 3]]


def test_process_utilization_without_samples(nvml_stub: NvmlStub) -> None:
    code = "out(code(p.nvmlDeviceGetProcessUtilization, h, 0))"
    assert ask(nvml_stub.env("free"), code) == "E6"
    assert ask(nvml_stub.env(node(empty_utilization_succeeds=True)), code) == "E0"


def test_names_that_are_not_text(nvml_stub: NvmlStub) -> None:
    code = """
    raw = []
    for q in p.nvmlDeviceGetComputeRunningProcesses(h):
        buffer = ctypes.create_string_buffer(1024)
        assert p.nvmlLib.nvmlSystemGetProcessName(q.pid, buffer, 1024) == 0
        raw.append(buffer.value.hex())
    out(raw)
    """
    names = [bytes.fromhex(text) for text in ask(nvml_stub.env("garbage_names"), code)]
    assert names[0] == b"python\xff\xfe\x80"
    assert names[1].startswith(b"\x1b[31m") and names[1].endswith(b"\x07")
    assert names[6] == b"" and len(names[7]) == 906


def test_mig_instances(nvml_stub: NvmlStub) -> None:
    code = """
    found = []
    for i in range(p.nvmlDeviceGetMaxMigDeviceCount(h)):
        m = code(p.nvmlDeviceGetMigDeviceHandleByIndex, h, i)
        if m == "E6":
            break
        a = p.nvmlDeviceGetAttributes_v2(m)
        parent = p.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(m)
        is_mig = p.nvmlDeviceIsMigDeviceHandle(m).value
        found.append([p.nvmlDeviceGetName(m), is_mig, p.nvmlDeviceGetGpuInstanceId(m),
                      p.nvmlDeviceGetComputeInstanceId(m), a.gpuInstanceSliceCount, a.multiprocessorCount,
                      p.nvmlDeviceGetMemoryInfo(m).used // 2**20,
                      [q.pid for q in p.nvmlDeviceGetComputeRunningProcesses(m)],
                      p.nvmlDeviceGetUUID(parent) == p.nvmlDeviceGetUUID(h)])
    out([p.nvmlDeviceGetMigMode(h), found, code(p.nvmlDeviceGetUtilizationRates, h),
         code(p.nvmlDeviceGetProcessUtilization, h, 0), len(p.nvmlDeviceGetComputeRunningProcesses(h))])
    """
    mode, found, util, process_util, processes = ask(nvml_stub.env("mig", ADVISOR_NVML_PID="4242"), code)
    gpu = "NVIDIA H100 80GB HBM3 MIG "
    assert found == [
        [gpu + "3g.40gb", 1, 1, 0, 3, 60, 33000, [4242], True],
        [gpu + "2g.20gb", 1, 3, 0, 2, 32, 15000, [4200002], True],
        [gpu + "1g.10gb", 1, 9, 0, 1, 16, 7000, [4200003], True],
    ]
    assert (mode, util, process_util, processes) == ([1, 1], "E3", "E3", 3)


def test_mig_gpm_per_instance(nvml_stub: NvmlStub) -> None:
    code = "out([measure(h, [5, 10], gi) for gi in (1, 3, 9)] + [code(sample, h), code(sample, h, 5)])"
    got = ask(nvml_stub.env("mig"), code)
    assert got[:3] == [[[5, 0, 5], [10, 0, 90]], [[5, 0, 85], [10, 0, 30]], [[5, 0, 0], [10, 0, 0]]]
    assert got[3:] == ["E3", "E2"]
