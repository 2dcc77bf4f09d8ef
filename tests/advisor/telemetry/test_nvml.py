"""Reading devices tick by tick under the error policy."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from advisor.telemetry import nvml_api as api
from advisor.telemetry.nvml import LOST_PROBE_S, NvmlReader, clocks_event_names
from advisor.telemetry.records import Sample
from tests.advisor.telemetry.fake_nvml import GIB, Clock, FakeNvml, Gpu, Mig


def gpu_uuid(number: int) -> str:
    return f"GPU-{number:08x}-0000-4000-8000-000000000000"


def one(reader: NvmlReader, *, slow: bool = True) -> Sample:
    (sample,) = reader.samples(5.0, slow=slow)
    return sample


def test_every_field_of_a_healthy_gpu() -> None:
    sample = one(NvmlReader(FakeNvml(), gpm_interval_s=None))
    assert sample == Sample(
        key=gpu_uuid(0),
        t_s=5.0,
        gpu_util_frac=0.62,
        mem_util_frac=0.18,
        mem_used_bytes=40 * GIB,
        mem_total_bytes=80 * GIB,
        power_w=291.5,
        energy_j=5000.25,
        sm_mhz=1755.0,
        mem_mhz=2600.0,
        temp_c=55.0,
        mem_temp_c=71.0,
        throttle_reasons=("gpu_idle", "sw_power_cap"),
        pcie_gen=4,
        pcie_width=8,
        pcie_replays=3,
        pcie_tx_bytes=1000,
        pcie_rx_bytes=2000,
        nvlink_tx_bytes=4096,
        nvlink_rx_bytes=8192,
        ecc_corrected=7,
        ecc_uncorrected=1,
        remap_pending=True,
        remap_failure=False,
        remapped_rows=1,
        sm_mhz_app=1500.0,
        sm_mhz_customer_max=1980.0,
    )


def test_pcie_throughput_is_never_asked_for() -> None:
    nvml = FakeNvml()
    one(NvmlReader(nvml))
    assert not any("PcieThroughput" in function for function in nvml.calls)


def test_the_slow_tier_is_carried_forward() -> None:
    nvml = FakeNvml()
    reader = NvmlReader(nvml, gpm_interval_s=None)
    one(reader)
    asked = nvml.calls["nvmlDeviceGetRemappedRows"]
    sample = one(reader, slow=False)
    assert nvml.calls["nvmlDeviceGetRemappedRows"] == asked
    assert sample.remap_pending is True and sample.pcie_width == 8 and sample.mem_temp_c == 71.0


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (api.NOT_SUPPORTED, "not supported by this GPU"),
        (api.FUNCTION_NOT_FOUND, "needs a newer driver (function not found)"),
        (api.ARGUMENT_VERSION_MISMATCH, "needs another driver version (argument version mismatch)"),
    ],
)
def test_what_cannot_change_is_asked_once(code: int, reason: str) -> None:
    nvml = FakeNvml(faults={"nvmlDeviceGetPowerUsage": code})
    reader = NvmlReader(nvml, gpm_interval_s=None)
    for _ in range(5):
        sample = one(reader)
        assert sample.power_w is None and sample.missing == {"power_w": reason}
    assert nvml.calls["nvmlDeviceGetPowerUsage"] == 1


def test_other_errors_are_retried_and_forgotten_when_they_pass() -> None:
    nvml = FakeNvml(faults={"nvmlDeviceGetPowerUsage": api.TIMEOUT})
    reader = NvmlReader(nvml, gpm_interval_s=None)
    assert one(reader).missing == {"power_w": "the driver timed out"}
    nvml.faults.clear()
    sample = one(reader)
    assert sample.power_w == 291.5 and sample.missing == {}


def test_no_permission_is_retried_after_a_minute() -> None:
    clock = Clock()
    nvml = FakeNvml(faults={"nvmlDeviceGetMemoryInfo": api.NO_PERMISSION})
    reader = NvmlReader(nvml, gpm_interval_s=None, clock=clock)
    sample = one(reader)
    assert sample.missing["mem_used_bytes"].startswith("no permission")
    asked = nvml.calls["nvmlDeviceGetMemoryInfo"]
    one(reader)
    assert nvml.calls["nvmlDeviceGetMemoryInfo"] == asked
    nvml.faults.clear()
    clock.now_s += 61.0
    assert one(reader).mem_used_bytes == 40 * GIB


def test_one_refused_clock_does_not_hide_the_other() -> None:
    class NoMemoryClock(FakeNvml):
        def _nvmlDeviceGetClockInfo(self, handle: object, kind: int) -> int:  # noqa: N802
            if kind == 2:
                raise api.NvmlError(api.NOT_SUPPORTED)
            return 1500

    reader = NvmlReader(NoMemoryClock(), gpm_interval_s=None)
    for _ in range(2):
        sample = one(reader)
        assert sample.sm_mhz == 1500.0 and list(sample.missing) == ["mem_mhz"]


def test_older_names_of_functions_are_used_where_needed() -> None:
    nvml = FakeNvml(faults={"nvmlDeviceGetCurrentClocksEventReasons": api.FUNCTION_NOT_FOUND})
    sample = one(NvmlReader(nvml, gpm_interval_s=None))
    assert sample.throttle_reasons == ("gpu_idle", "sw_power_cap") and sample.missing == {}


def test_fields_have_their_own_return_codes() -> None:
    gpu = Gpu(fields={138: (-api.NOT_SUPPORTED, 0), 139: (-api.NOT_SUPPORTED, 0), 197: (1, 5), 82: (1, 0)})
    sample = one(NvmlReader(FakeNvml(gpu), gpm_interval_s=None))
    assert sample.nvlink_tx_bytes is None and sample.pcie_rx_bytes == 2000
    assert sample.missing["nvlink_tx_bytes"] == "not supported by this GPU"
    assert "32 bits" in sample.missing["pcie_tx_bytes"]
    assert "makes no sense" in sample.missing["mem_temp_c"]


def test_impossible_utilisation_is_missing() -> None:
    sample = one(NvmlReader(FakeNvml(Gpu(util=4294967295)), gpm_interval_s=None))
    assert sample.gpu_util_frac is None
    assert "makes no sense" in sample.missing["gpu_util_frac"]


@pytest.mark.parametrize("code", [api.GPU_IS_LOST, api.RESET_REQUIRED])
def test_a_lost_gpu_leaves_the_others_running(code: int) -> None:
    clock, nvml = Clock(), FakeNvml(Gpu(uuid=gpu_uuid(0)), Gpu(uuid=gpu_uuid(1)))
    reader = NvmlReader(nvml, clock=clock)
    reader.samples(5.0, slow=True)
    nvml.gpus[0].faults["*"] = code
    lost, well = reader.samples(6.0, slow=True)
    assert lost.state == "lost" and lost.power_w is None and "GPU" in lost.missing["device"]
    assert well.state == "ok" and well.power_w == 291.5


def about_gpus(nvml: FakeNvml) -> int:
    """Calls that ask a GPU; whether an event is ready is asked of the set."""
    return nvml.calls.total() - nvml.calls["nvmlEventSetWait"]


def test_a_lost_gpu_is_probed_rarely_and_comes_back() -> None:
    clock, nvml = Clock(), FakeNvml()
    reader = NvmlReader(nvml, clock=clock)
    nvml.gpus[0].faults["*"] = api.GPU_IS_LOST
    one(reader)
    asked = about_gpus(nvml)
    for _ in range(5):
        clock.now_s += 1.0
        reader.sweep(5.0)
        assert one(reader).state == "lost"
    assert about_gpus(nvml) == asked
    assert nvml.samples == {}, "GPM samples were freed"
    clock.now_s += LOST_PROBE_S
    nvml.gpus[0].faults.clear()
    assert one(reader, slow=False).remap_pending is True
    for _ in range(2):
        clock.now_s += 0.2
        reader.sweep(5.0)
    assert len(one(reader).gpm) == 1


def test_a_gpu_lost_in_a_sweep_is_lost() -> None:
    clock, nvml = Clock(), FakeNvml()
    reader = NvmlReader(nvml, clock=clock)
    nvml.gpus[0].faults["nvmlGpmSampleGet"] = api.GPU_IS_LOST
    clock.now_s += 0.2
    reader.sweep(5.0)
    assert one(reader).state == "lost"


def test_sub_windows_are_delivered_once() -> None:
    clock = Clock()
    reader = NvmlReader(FakeNvml(), clock=clock)
    for step in range(5):
        clock.now_s += 0.2
        reader.sweep(float(step))
    assert [window.t_s for window in one(reader).gpm] == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert one(reader).gpm == ()
    assert reader.devices[0].gpm is True


def test_no_gpm_says_why() -> None:
    reader = NvmlReader(FakeNvml(Gpu(gpm={})))
    assert reader.devices[0].gpm is False
    assert "Hopper" in one(reader).missing["gpm"]


def test_mig_instances_have_memory_and_gpm_of_their_own() -> None:
    clock = Clock()
    nvml = FakeNvml(Gpu(migs=[Mig("MIG-a", gi=7), Mig("MIG-b", gi=8)]))
    reader = NvmlReader(nvml, clock=clock)
    for _ in range(2):
        clock.now_s += 0.2
        reader.sweep(5.0)
    parent, first, second = reader.samples(5.0, slow=True)
    assert parent.key == gpu_uuid(0) and parent.power_w == 291.5
    assert first.mem_total_bytes == 9856 * 1024**2 and first.power_w is None
    assert first.missing["power_w"] == "not measured per MIG instance: see its GPU"
    assert [first.gpm[-1].gr_active, second.gpm[-1].gr_active] == [0.07, 0.08]


def fault_once_opened(flag: dict[str, bool]) -> Callable[[], int]:
    return lambda: api.GPU_IS_LOST if flag["lost"] else 0


def test_a_gpu_that_goes_away_is_listed_anew() -> None:
    nvml = FakeNvml(Gpu(uuid=gpu_uuid(0)), Gpu(uuid=gpu_uuid(1)))
    reader = NvmlReader(nvml)
    assert reader.rescan() is None
    nvml.gpus.pop()
    devices = reader.rescan()
    assert devices is not None and [device.key for device in devices] == [gpu_uuid(0)]
    assert len(reader.samples(5.0, slow=True)) == 1
    assert len(nvml.samples) == 1, "the samples of the first listing were freed"


def test_a_changed_mig_layout_is_listed_anew() -> None:
    nvml = FakeNvml(Gpu(migs=[Mig("MIG-a", gi=7)]))
    reader = NvmlReader(nvml)
    nvml.gpus[0].migs = [Mig("MIG-b", gi=1, slices=3, profile="3g.40gb")]
    devices = reader.rescan()
    assert devices is not None and [device.key for device in devices] == [gpu_uuid(0), "MIG-b"]


def test_a_gpu_that_cannot_be_opened_later_keeps_its_name() -> None:
    flag = {"lost": False}
    gpus = [Gpu(uuid=gpu_uuid(n), faults={}) for n in range(3)]
    gpus[0].faults["nvmlDeviceGetHandleByIndex"] = fault_once_opened(flag)
    nvml = FakeNvml(*gpus)
    reader = NvmlReader(nvml)
    flag["lost"] = True
    assert reader.rescan() is None, "not answering is not gone"
    nvml.gpus.pop()
    devices = reader.rescan()
    assert devices is not None and [device.key for device in devices] == [gpu_uuid(0), gpu_uuid(1)]
    assert [sample.state for sample in reader.samples(5.0, slow=True)] == ["lost", "ok"]
    flag["lost"] = False
    assert reader.rescan() is not None, "it can be opened again"
    assert [sample.state for sample in reader.samples(5.0, slow=True)] == ["ok", "ok"]


def test_a_gpu_that_never_opened_is_listed_as_lost() -> None:
    nvml = FakeNvml(Gpu(uuid=gpu_uuid(0), faults={"nvmlDeviceGetHandleByIndex": api.GPU_IS_LOST}), Gpu())
    reader = NvmlReader(nvml)
    assert reader.devices[0].name == "unavailable GPU"
    assert reader.devices[0].missing["device"] == "it fell off the bus (GPU is lost)"
    assert reader.devices[0].gpm is None
    assert [sample.state for sample in reader.samples(5.0, slow=True)] == ["lost", "ok"]


def test_names_of_clocks_event_reasons() -> None:
    assert clocks_event_names(0) == ()
    assert clocks_event_names(0b1111) == ("gpu_idle", "app_clocks", "sw_power_cap", "hw_slowdown")
    assert clocks_event_names(0x1E0) == ("sw_thermal", "hw_thermal", "hw_power_brake", "display_clocks")
    assert clocks_event_names(1 << 40) == ("reason_bit_40",)
