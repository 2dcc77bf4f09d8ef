"""The simulated NVML library: errors, lost GPUs, hangs, crashes, missing functions."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import NvmlStub
from tests.nvml_stub.client import PRELUDE, START, ask, at, launch, node
from tests.nvml_stub.scenarios import crash, hung


def fault(nvml_stub: NvmlStub, code: str, *faults: dict[str, Any], gpus: int = 1, start: str = START) -> Any:
    """What the code prints on a node with these faults."""
    return ask(nvml_stub.env({"gpus": [{}] * gpus, "faults": list(faults)}), code, start)


CALLS = "out([code(p.nvmlDeviceGetPowerUsage, h) for _ in range(6)])"


def test_fault_by_count(nvml_stub: NvmlStub) -> None:
    some = {"function": "nvmlDeviceGetPowerUsage", "after_calls": 2, "calls": 3, "return": "NO_PERMISSION"}
    assert fault(nvml_stub, CALLS, some) == [70000, 70000, "E4", "E4", "E4", 70000]
    assert fault(nvml_stub, CALLS, {"function": "nvmlDevice*Usage", "return": 999}) == ["E999"] * 6


def test_fault_by_time(nvml_stub: NvmlStub) -> None:
    late = {"function": "nvmlDeviceGetPowerUsage", "from_s": 100, "to_s": 200, "return": "TIMEOUT"}
    codes = [
        at(nvml_stub, {}, t, "out(code(p.nvmlDeviceGetPowerUsage, h))", faults=[late]) for t in (50, 150, 250)
    ]
    assert codes == [70000, "E10", 70000]


def test_fault_by_chance_is_the_same_on_every_run(nvml_stub: NvmlStub) -> None:
    often = {"function": "nvmlDeviceGetPowerUsage", "probability": 0.3, "return": "UNKNOWN"}
    code = "out([code(p.nvmlDeviceGetPowerUsage, h) for _ in range(300)])"
    first = fault(nvml_stub, code, often)
    assert first == fault(nvml_stub, code, often)
    assert 50 < first.count("E999") < 130


def test_fault_on_one_gpu(nvml_stub: NvmlStub) -> None:
    code = "out([code(p.nvmlDeviceGetPowerUsage, p.nvmlDeviceGetHandleByIndex(i)) for i in (0, 1)])"
    one = {"function": "nvmlDeviceGetPowerUsage", "gpu": 1, "return": "RESET_REQUIRED"}
    assert fault(nvml_stub, code, one, gpus=2) == [70000, "E16"]


def test_lost_gpu_leaves_the_other(nvml_stub: NvmlStub) -> None:
    code = """
    g = p.nvmlDeviceGetHandleByIndex(1)
    got = [code(p.nvmlDeviceGetTemperature, g, 0) for _ in range(200)]
    out([got[0], got[-1], got.index("E15"), p.nvmlDeviceGetCount(), code(p.nvmlDeviceGetHandleByIndex, 1),
         p.nvmlDeviceGetTemperature(h, 0)])
    """
    assert ask(nvml_stub.env("lost"), code) == [64, "E15", 149, 2, "E15", 64]


def test_lost_by_fault(nvml_stub: NvmlStub) -> None:
    gone = {"function": "nvmlGpm*", "gpu": 0, "lost": True}
    assert fault(nvml_stub, "out([code(sample, h), code(p.nvmlDeviceGetPowerUsage, h)])", gone) == [
        "E15",
        "E15",
    ]


def test_hot_removal(nvml_stub: NvmlStub) -> None:
    gpus = [{"uuid": "GPU-a", "removed_at_s": 1}, {"uuid": "GPU-b"}]
    code = """
    before = p.nvmlDeviceGetCount()
    while p.nvmlDeviceGetCount() == 2:
        time.sleep(0.02)
    left = p.nvmlDeviceGetHandleByIndex(0)
    out([before, p.nvmlDeviceGetUUID(left), code(p.nvmlDeviceGetHandleByUUID, "GPU-a"),
         code(p.nvmlDeviceGetPowerUsage, h), code(p.nvmlDeviceGetHandleByIndex, 1)])
    """
    assert ask(nvml_stub.env({"gpus": gpus}), code) == [2, "GPU-b", "E6", "E15", "E2"]


@pytest.mark.parametrize(
    ("name", "value"), [("DRIVER_NOT_LOADED", 9), ("LIB_RM_VERSION_MISMATCH", 18), ("NO_PERMISSION", 4)]
)
def test_init_refused(nvml_stub: NvmlStub, name: str, value: int) -> None:
    assert ask(nvml_stub.env(node(init_return=name)), "out(code(p.nvmlInit))", "") == f"E{value}"


def test_calls_outside_init_and_shutdown(nvml_stub: NvmlStub) -> None:
    code = """
    p.nvmlInit(); p.nvmlInit(); p.nvmlShutdown()
    still = p.nvmlDeviceGetCount()
    p.nvmlShutdown()
    out([still, code(p.nvmlDeviceGetCount), code(p.nvmlShutdown)])
    """
    assert ask(nvml_stub.env("free"), code, "") == [1, "E1", "E1"]


def test_a_hang_never_returns(nvml_stub: NvmlStub) -> None:
    code = "print('asking', flush=True)\np.nvmlDeviceGetUtilizationRates(h)\nprint('answered')\n"
    program = [sys.executable, "-c", PRELUDE + START + code]
    with subprocess.Popen(program, env=nvml_stub.env(hung(0)), stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None and child.stdout.readline() == "asking\n"
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(0.6)
        child.kill()
        assert child.stdout.read() == ""


@pytest.mark.parametrize("holds_lock", [False, True])
def test_whether_other_threads_hang_too(nvml_stub: NvmlStub, holds_lock: bool) -> None:
    """One thread's call hangs for ever; another's go on, unless the hanging one holds the driver's lock."""
    stuck = {"function": "nvmlDeviceGetUtilizationRates", "hang": True, "holds_lock": holds_lock}
    code = """
    import threading
    answers = []
    def go_on():
        while True:
            answers.append(p.nvmlDeviceGetPowerUsage(h))
            time.sleep(0.01)
    def stand_still():
        before = len(answers)
        time.sleep(1.0)
        return len(answers) == before
    threading.Thread(target=go_on, daemon=True).start()
    threading.Thread(target=p.nvmlDeviceGetUtilizationRates, args=(h,), daemon=True).start()
    done = stand_still if HOLDS_LOCK else lambda: time.sleep(0.02) or len(answers) > 100
    deadline = time.monotonic() + 15
    while not (well := done()) and time.monotonic() < deadline:
        pass
    out(well)
    sys.stdout.flush()
    os._exit(0)
    """
    assert fault(nvml_stub, f"HOLDS_LOCK = {holds_lock}" + textwrap.dedent(code), stuck) is True


def test_crash_aborts_the_process(nvml_stub: NvmlStub) -> None:
    done = launch(nvml_stub.env(crash(0)), "p.nvmlDeviceGetPowerUsage(h)")
    assert done.returncode == -6
    assert ask(nvml_stub.env(crash(-9, -5)), "out(p.nvmlDeviceGetPowerUsage(h))") == 680_000


def test_omitted_function(nvml_stub: NvmlStub) -> None:
    older = nvml_stub.without(["nvmlDeviceGetCurrentClocksEventReasons", "nvmlGpmMetricsGet"])
    code = """
    out([code(p.nvmlDeviceGetCurrentClocksEventReasons, h), p.nvmlDeviceGetCurrentClocksThrottleReasons(h)])
    """
    assert ask(older.env("throttled"), code) == ["E13", 0x68]


def test_latency_and_call_counts(nvml_stub: NvmlStub, tmp_path: Path) -> None:
    slow = node(latency_us={"nvmlDeviceGetPowerUsage": 30000, "nvml*": 0})
    code = """
    begun = time.monotonic()
    [p.nvmlDeviceGetPowerUsage(h) for _ in range(5)]
    middle = time.monotonic()
    p.nvmlDeviceGetTemperature(h, 0)
    out(middle - begun)
    """
    counts = tmp_path / "calls-%p.json"
    assert ask(nvml_stub.env(slow, ADVISOR_NVML_CALLS=str(counts)), code) >= 0.15
    (written,) = tmp_path.glob("calls-*.json")
    calls = json.loads(written.read_text())
    assert calls["nvmlDeviceGetPowerUsage"] == 5 and calls["nvmlDeviceGetTemperature"] == 1


def test_clock_settings_follow_one_another(nvml_stub: NvmlStub) -> None:
    code = """
    asked = p.nvmlDeviceGetApplicationsClock, p.nvmlDeviceGetDefaultApplicationsClock
    clocks = [ask(h, 1) for ask in (*asked, p.nvmlDeviceGetMaxCustomerBoostClock)]
    out([*clocks, *(p.nvmlDeviceGetClock(h, 1, i) for i in range(4))])
    """
    plain = {"sm_mhz": 1100, "sm_mhz_max": 1980}
    assert ask(nvml_stub.env({"gpus": [plain]}), code) == [1980, 1980, 1980, 1100, 1980, 1980, 1980]
    given = {**plain, "sm_mhz_app": 1200, "sm_mhz_app_default": 1700, "sm_mhz_customer_max": 1900}
    assert ask(nvml_stub.env({"gpus": [given]}), code) == [1200, 1700, 1900, 1100, 1200, 1700, 1900]


def test_xid_event(nvml_stub: NvmlStub) -> None:
    code = """
    s = p.nvmlEventSetCreate()
    p.nvmlDeviceRegisterEvents(h, 8, s)
    e = p.nvmlEventSetWait(s, 5000)
    out([e.eventType, e.eventData, code(p.nvmlEventSetWait, s, 10)])
    p.nvmlEventSetFree(s)
    """
    assert ask(nvml_stub.env(node(events=[{"t_s": 0.1, "gpu": 0, "type": 8, "data": 79}])), code) == [
        8,
        79,
        "E10",
    ]


LOSS = {
    "gpus": [{"uuid": "GPU-a", "lost_at_s": 0.5}, {"uuid": "GPU-b"}],
    "events": [{"t_s": 0.6, "gpu": gpu, "type": 8, "data": xid} for gpu, xid in ((0, 79), (1, 31))],
}


def test_a_lost_gpu_hides_the_events_of_others_in_its_set(nvml_stub: NvmlStub) -> None:
    code = """
    g = p.nvmlDeviceGetHandleByIndex(1)
    both, alone = p.nvmlEventSetCreate(), p.nvmlEventSetCreate()
    for handle, given in ((h, both), (g, both), (g, alone)):
        p.nvmlDeviceRegisterEvents(handle, 8, given)
    time.sleep(0.8)
    wait = lambda given: p.nvmlEventSetWait(given, 0).eventData
    out([code(wait, given) for given in (both, both, both, alone, alone)])
    """
    assert ask(nvml_stub.env(LOSS), code) == [79, "E15", "E15", 31, "E10"]


def test_xids_of_the_other_gpus_are_seen_after_one_is_lost(nvml_stub: NvmlStub) -> None:
    code = """
    from pathlib import Path
    from advisor.telemetry.nvml_api import PyNvml
    from advisor.telemetry.nvml_devices import list_devices
    from advisor.telemetry.nvml_events import XidEvents
    p.nvmlInit()
    events = XidEvents(PyNvml(), list_devices(PyNvml(), Path("/none")))
    seen, before = {}, dict(events.missing)
    time.sleep(0.8)
    for _ in range(3):
        seen |= events.poll()
    events.close()
    out([seen, before, events.missing])
    """
    assert ask(nvml_stub.env(LOSS), code, "") == [
        {"GPU-a": [79], "GPU-b": [31]},
        {},
        {"GPU-a": "it fell off the bus (GPU is lost)"},
    ]
