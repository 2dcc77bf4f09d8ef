"""The meter on the simulated library, in a process of its own; every figure is synthetic."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.meter import GpmWindow, Hushable, NoMeter, Observed, means, within
from probes.nvml_meter import NvmlMeter, Sample, lasting, open_meter, reason_names
from probes.record import DeviceFacts
from tests.conftest import NvmlStub
from tests.probes.test_nvml import ask

WATCH = """
import threading
from probes import nvml_meter
from probes.nvml_meter import NvmlMeter, open_meter

def watch(meter, seconds):
    meter.start()
    time.sleep(seconds)
    begin = time.monotonic()
    seen = msgspec.to_builtins(meter.stop())
    return seen, time.monotonic() - begin

meter = NvmlMeter(n, listed.devices[0])
"""


def watched(env: dict[str, str], code: str) -> Any:
    return ask(env, WATCH + code)


def test_a_stretch_tells_clocks_power_heat_reasons_link_and_counters(nvml_stub: NvmlStub) -> None:
    seen, _ = watched(nvml_stub.env("power_capped"), "out(watch(meter, 0.7))")
    assert seen["samples"] >= 5
    assert (seen["sm_mhz"], seen["sm_mhz_min"], seen["sm_mhz_max"]) == (1305, 1305, 1305)
    assert (seen["mem_mhz"], seen["power_w"], seen["power_limit_w"], seen["temp_c"]) == (2619, 399, 400, 56)
    assert seen["throttle_reasons"] == ["sw_power_cap"]
    assert (seen["pcie_gen"], seen["pcie_width"]) == (5, 16)
    assert seen["counters"]["tensor_active"] == pytest.approx(0.85)
    assert seen["missing"] == {}


def test_stretches_follow_each_other_and_end_with_the_meter(nvml_stub: NvmlStub) -> None:
    code = """
first, _ = watch(meter, 0.8)
second, _ = watch(meter, 0.8)
meter.close()
meter.close()
after, _ = watch(meter, 0.0)
out([first, second, after, [t.name for t in threading.enumerate()]])
"""
    first, second, after, threads = watched(nvml_stub.env("memory"), code)
    assert first["counters"]["dram_active"] == second["counters"]["dram_active"] == pytest.approx(0.9)
    assert after["missing"] == {"conditions": "the meter is closed"}
    assert threads == ["MainThread"]


def test_a_stretch_too_short_for_gpm_says_so_and_still_has_a_sample(nvml_stub: NvmlStub) -> None:
    seen, _ = watched(nvml_stub.env("memory"), "out(watch(meter, 0.0))")
    assert seen["samples"] == 1
    assert seen["sm_mhz"] == 1980
    assert seen["counters"] == {}
    assert "too short" in seen["missing"]["counters"]


def test_a_quiet_meter_looks_once_at_the_end_and_runs_no_thread(nvml_stub: NvmlStub) -> None:
    code = """
quiet = meter.quiet()
quiet.start()
threads = threading.active_count()
time.sleep(0.3)
seen = msgspec.to_builtins(quiet.stop())
out([seen, threads, quiet is meter.quiet()])
"""
    seen, threads, same = watched(nvml_stub.env("memory"), code)
    assert (seen["samples"], threads, same) == (1, 1, True)
    assert (seen["sm_mhz"], seen["temp_c"]) == (1980, 58)
    assert seen["sm_mhz_min"] is None
    assert set(seen["missing"]) == {"counters", "sm_mhz_min", "sm_mhz_max"}


def test_a_mig_instance_has_its_own_counters_and_no_power(nvml_stub: NvmlStub) -> None:
    code = "out([watch(NvmlMeter(n, device), 0.8)[0] for device in listed.devices])"
    found = watched(nvml_stub.env("mig"), code)
    assert [seen["counters"]["dram_active"] for seen in found] == pytest.approx([0.9, 0.3, 0.0])
    assert all(seen["sm_mhz"] == 1980 and seen["power_w"] is None for seen in found)
    assert "whole GPU" in found[0]["missing"]["power_w"]


def test_a_card_without_gpm_says_why(nvml_stub: NvmlStub) -> None:
    seen, _ = watched(nvml_stub.env("no_gpm"), "out(watch(meter, 0.2))")
    assert "Hopper" in seen["missing"]["counters"]
    assert seen["power_w"] == 285


def test_what_the_driver_refuses_is_missing_with_its_reason(nvml_stub: NvmlStub) -> None:
    faults = [
        {"function": "nvmlDeviceGetCurrentClocks*", "return": "NO_PERMISSION"},
        {"function": "nvmlDeviceGetFieldValues", "return": "NOT_SUPPORTED"},
        {"function": "nvmlDeviceGetTemperature*", "return": "NOT_SUPPORTED"},
        {"function": "nvmlGpmSampleGet", "return": "NO_PERMISSION"},
    ]
    scenario = {"gpus": [{"gpm": {"gr_active": 1}, "power_w": 123}], "faults": faults}
    seen, _ = watched(nvml_stub.env(scenario), "out(watch(meter, 0.2))")
    assert (seen["power_w"], seen["temp_c"], seen["throttle_reasons"]) == (123, None, [])
    assert "no permission" in seen["missing"]["throttle_reasons"]
    assert "no permission" in seen["missing"]["counters"]
    assert seen["missing"]["temp_c"] == "not supported by this GPU"


def test_a_gpu_lost_on_the_way_leaves_reasons(nvml_stub: NvmlStub) -> None:
    scenario = {"gpus": [{"gpm": {"gr_active": 1}, "lost_after_calls": 50}]}
    code = "out([watch(meter, 0.5)[0], watch(meter, 0.2)[0]])"
    before, after = watched(nvml_stub.env(scenario), code)
    assert before["sm_mhz"] == 1980
    assert after["sm_mhz"] is None
    assert "lost" in after["missing"]["sm_mhz"]
    assert "lost" in after["missing"]["counters"]


@pytest.mark.parametrize("quiet", [False, True])
def test_a_driver_that_hangs_costs_the_conditions_and_no_more(nvml_stub: NvmlStub, quiet: bool) -> None:
    fault = {"function": "nvmlDeviceGetTemperature*", "after_calls": 0 if quiet else 2, "hang": True}
    scenario = {"gpus": [{"gpm": {"gr_active": 1}}], "faults": [fault]}
    code = f"""
import os
nvml_meter.ANSWER_S = 0.3
meter = meter.quiet() if {quiet} else meter
first, first_s = watch(meter, 0.4)
second, second_s = watch(meter, 0.1)
begin = time.monotonic()
meter.close()
out([first, first_s, second, second_s, time.monotonic() - begin])
sys.stdout.flush()
os._exit(0)
"""
    first, first_s, second, second_s, close_s = watched(nvml_stub.env(scenario), code)
    assert "did not answer" in first["missing"]["conditions"]
    assert "did not answer" in second["missing"]["conditions"]
    assert first["samples"] == (0 if quiet else 2)
    assert second["samples"] == 0
    # Each waits 0.3 s at most; the rest is leave for a slow machine.
    assert max(first_s, second_s, close_s) < 10


def test_a_driver_that_answers_again_is_asked_again(nvml_stub: NvmlStub) -> None:
    fault = {"function": "nvmlDeviceGetTemperature*", "calls": 1, "hang_s": 0.8}
    code = """
nvml_meter.ANSWER_S = 0.2
first, _ = watch(meter, 0.1)
time.sleep(1.0)
out([first, watch(meter, 0.2)[0]])
"""
    first, second = watched(nvml_stub.env({"gpus": [{}], "faults": [fault]}), code)
    assert "did not answer" in first["missing"]["conditions"]
    assert second["temp_c"] == 30
    assert "conditions" not in second["missing"]


def test_starting_twice_leaves_one_thread_and_stopping_unstarted_says_so(nvml_stub: NvmlStub) -> None:
    code = """
unstarted = msgspec.to_builtins(meter.stop())
meter.start()
meter.start()
time.sleep(0.2)
threads = threading.active_count()
seen = msgspec.to_builtins(meter.stop())
out([unstarted, threads, seen, msgspec.to_builtins(meter.stop())])
"""
    unstarted, threads, seen, again = watched(nvml_stub.env("memory"), code)
    assert unstarted["missing"] == again["missing"] == {"conditions": "no stretch was begun"}
    assert threads == 2
    assert seen["sm_mhz"] == 1980


def test_a_meter_is_opened_by_the_facts_alone(nvml_stub: NvmlStub) -> None:
    code = """
meters = [open_meter(device.facts) for device in listed.devices]
seen = [watch(meter, 0.8)[0] for meter in meters]
for meter in meters: meter.close()
out([seen, msgspec.to_builtins(n.versions())])
"""
    seen, versions = watched(nvml_stub.env("mig"), code)
    assert [one["counters"]["dram_active"] for one in seen] == pytest.approx([0.9, 0.3, 0.0])
    assert versions["driver"]


def test_where_there_is_nothing_to_open_the_meter_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    meter = open_meter(DeviceFacts(kind="cpu", key="cpu:1", name="a CPU"))
    assert isinstance(meter, NoMeter)
    assert meter.stop().missing == {"conditions": "NVML knows no CPU"}


def test_an_unknown_device_gives_a_meter_with_the_reason(nvml_stub: NvmlStub) -> None:
    code = """
import msgspec
facts = msgspec.structs.replace(listed.devices[0].facts, key="GPU-gone")
out(msgspec.to_builtins(open_meter(facts).stop()))
"""
    assert "no device 'GPU-gone'" in watched(nvml_stub.env("memory"), code)["missing"]["conditions"]


def test_it_can_hush() -> None:
    assert issubclass(NvmlMeter, Hushable)


def sample(reasons: tuple[str, ...] | None) -> Sample:
    return Sample(
        sm_mhz=1.0, mem_mhz=1.0, power_w=1.0, temp_c=1.0, reasons=reasons, pcie_gen=None, pcie_width=None
    )


def test_reasons_count_from_a_tenth_of_the_samples_on() -> None:
    samples = [sample(("sw_power_cap",))] * 9 + [sample(("gpu_idle", "sw_power_cap"))] + [sample(None)] * 20
    assert lasting(samples) == ("gpu_idle", "sw_power_cap")
    assert lasting([*samples, sample(())]) == ("sw_power_cap",)
    assert lasting([]) == lasting([sample(None)]) == ()


def test_reasons_have_names_also_when_they_are_newer_than_the_table() -> None:
    assert reason_names(0) == ()
    assert reason_names(0b101) == ("gpu_idle", "sw_power_cap")
    assert reason_names(1 << 20) == ("reason_bit_20",)


def windows(*values: float) -> list[GpmWindow]:
    return [GpmWindow(0.12, {"dram_active": value}) for value in values]


def dated(*values: float) -> Observed:
    """Windows of 0.12 s from 100 s on, one after the other."""
    found = [
        GpmWindow(0.12, {"dram_active": v}, 100 + 0.12 * i, 100.12 + 0.12 * i) for i, v in enumerate(values)
    ]
    return Observed(counters={"dram_active": 0.123}, windows=tuple(found))


def test_only_windows_wholly_inside_the_timed_part_count() -> None:
    seen = within(dated(0.1, 0.9, 0.7, 0.2), (100.119, 100.37))
    assert seen.counters == {"dram_active": pytest.approx(0.8)}
    assert "counters" not in seen.missing


@pytest.mark.parametrize(
    ("span", "why"), [((100.13, 100.37), "fewer than two"), ((0.0, 1.0), "fewer than two"), (None, "waited")]
)
def test_too_few_of_them_give_no_counters_but_a_reason(span: tuple[float, float] | None, why: str) -> None:
    seen = within(dated(0.1, 0.9, 0.7), span)
    assert seen.counters == {}
    assert why in seen.missing["counters"]


def test_without_windows_nothing_is_said_of_them() -> None:
    seen = Observed(counters={"fp32": 0.5}, missing={"counters": "told before"})
    assert within(seen, None) is seen


def test_a_mean_is_over_time() -> None:
    assert means(windows(0.4, 0.8)) == {"dram_active": pytest.approx(0.6)}
    assert means([]) == {}


def test_a_counter_that_some_windows_lack_is_the_mean_of_the_others() -> None:
    mixed = [GpmWindow(0.1, {"hmma": 0.5}), GpmWindow(0.3, {"hmma": 0.1, "imma": 0.2})]
    assert means(mixed) == {"hmma": pytest.approx(0.2), "imma": pytest.approx(0.2)}


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_a_mean_lies_within_its_windows(values: list[float]) -> None:
    found = means(windows(*values))["dram_active"]
    assert min(values) - 1e-5 <= found <= max(values) + 1e-5
