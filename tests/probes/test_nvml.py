"""Devices through the real pynvml and the simulated library, each time in a process of its own.

Every figure is synthetic; see tests/nvml_stub.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from advisor.telemetry import nvml as live
from advisor.telemetry.gpm_metrics import METRICS
from probes import gpm, nvml
from probes.nvml import CannotProbeError, Device, Listing, cannot_start
from probes.nvml_meter import REASONS
from probes.record import DeviceFacts
from tests.conftest import NvmlStub

PRELUDE = """
import json, sys, time
import msgspec
from probes.nvml import CannotProbeError, Nvml, list_devices

def out(value):
    print(json.dumps(msgspec.to_builtins(value)))
"""
START = "n = Nvml()\nlisted = list_devices(n)\n"


def ask(env: dict[str, str], code: str, start: str = START) -> Any:
    """What the code printed with out(), having started NVML."""
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + start + textwrap.dedent(code)],
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


FACTS = "out([[d.facts for d in listed.devices], listed.skipped])"
REFUSED = """
try:
    n = Nvml()
    listed = list_devices(n)
    out([d.facts.key for d in listed.devices] + list(listed.skipped.values()))
except CannotProbeError as error:
    out([str(error), error.fix])
"""


def test_a_gpus_facts(nvml_stub: NvmlStub) -> None:
    (facts,), skipped = ask(nvml_stub.env("memory"), FACTS)
    assert skipped == {}
    known = msgspec_facts(facts)
    assert (known.kind, known.index, known.model) == ("cuda", 0, "H100 SXM5 80GB")
    assert known.key.startswith("GPU-")
    assert (known.compute_capability, known.sm_count, known.mem_bus_bits) == ("9.0", 132, 5120)
    assert (known.sm_mhz_max, known.mem_mhz_max, known.power_limit_w) == (1980, 2619, 700)
    assert (known.ecc_enabled, known.persistence) == (True, True)
    assert (known.pcie_gen_max, known.pcie_width_max, known.pcie_gen_device_max) == (5, 16, 5)
    assert known.memory_total_bytes == 81559 * 2**20
    assert known.memory_free_bytes == (81559 - 62000) * 2**20
    assert known.mig_profile is None and known.slice_frac is None
    assert set(known.missing) == {"numa_node"}


def msgspec_facts(raw: dict[str, Any]) -> DeviceFacts:
    return DeviceFacts(**raw)


def test_mig_instances_stand_for_their_gpu(nvml_stub: NvmlStub) -> None:
    raw, skipped = ask(nvml_stub.env("mig"), FACTS)
    facts = [msgspec_facts(one) for one in raw]
    assert [f.mig_profile for f in facts] == ["3g.40gb", "2g.20gb", "1g.10gb"]
    assert all(f.key.startswith("MIG-") and f.index == 0 and f.model == "H100 SXM5 80GB" for f in facts)
    assert [f.sm_count for f in facts] == [60, 32, 16]
    assert [f.slice_frac for f in facts] == [round(sms / 132, 4) for sms in (60, 32, 16)]
    assert [f.memory_total_bytes for f in facts] == [mib * 2**20 for mib in (40448, 20096, 9984)]
    assert "MIG is on" in skipped["0"]
    assert facts[0].key in skipped["0"]


def test_a_divided_gpu_is_not_found_by_its_index_but_by_an_instances_uuid(nvml_stub: NvmlStub) -> None:
    code = """
    key = listed.devices[1].facts.key
    try:
        listed.find("0")
    except CannotProbeError as error:
        out([str(error), error.fix, listed.find(key).gi, listed.find(key).facts.mig_profile])
    """
    message, fix, gi, profile = ask(nvml_stub.env("mig"), code)
    assert "GPU 0 cannot be probed: MIG is on" in message
    assert "MIG-" in fix
    assert (gi, profile) == (3, "2g.20gb")


def test_mig_without_instances_leaves_nothing_to_probe(nvml_stub: NvmlStub) -> None:
    raw, skipped = ask(nvml_stub.env({"gpus": [{"mig_mode": 1}, {}]}), FACTS)
    assert [one["index"] for one in raw] == [1]
    assert skipped == {"0": "MIG is on and it has no instance"}


def test_a_gpu_that_fell_off_the_bus_leaves_the_others(nvml_stub: NvmlStub) -> None:
    raw, skipped = ask(nvml_stub.env({"gpus": [{}, {"lost_at_s": 0}]}), FACTS)
    assert [one["index"] for one in raw] == [0]
    assert "lost" in skipped["1"]


def test_what_the_driver_refuses_is_missing_with_its_reason(nvml_stub: NvmlStub) -> None:
    faults = [
        {"function": "nvmlDeviceGetEccMode", "return": "NO_PERMISSION"},
        {"function": "nvmlDeviceGetMemoryInfo*", "return": "NO_PERMISSION"},
        {"function": "nvmlDeviceGetNumGpuCores", "return": "NOT_SUPPORTED"},
    ]
    scenario = {"gpus": [{"power_limit_enforced_w": None, "power_limit_w": None}], "faults": faults}
    (raw,), _ = ask(nvml_stub.env(scenario), FACTS)
    facts = msgspec_facts(raw)
    assert (facts.ecc_enabled, facts.memory_total_bytes, facts.sm_count) == (None, None, None)
    for fact in ("ecc_enabled", "memory_total_bytes", "memory_free_bytes"):
        assert "no permission" in facts.missing[fact]
    assert facts.missing["sm_count"] == "not supported by this GPU"
    assert facts.compute_capability == "9.0"


def test_functions_of_newer_drivers_may_be_absent(nvml_stub: NvmlStub) -> None:
    old = nvml_stub.without(["nvmlDeviceGetMemoryInfo_v2", "nvmlDeviceGetMemoryBusWidth"])
    (raw,), _ = ask(old.env("memory"), FACTS)
    facts = msgspec_facts(raw)
    assert facts.memory_total_bytes == 81559 * 2**20
    assert facts.mem_bus_bits is None
    assert "newer driver" in facts.missing["mem_bus_bits"]


def test_versions(nvml_stub: NvmlStub) -> None:
    versions, simulated = ask(nvml_stub.env("old_abi"), "out([n.versions(), n.simulated])")
    assert versions == {"driver": "550.54.15", "cuda_driver": "12.4"}
    assert simulated is True


def test_closing_twice_is_fine_and_names_need_not_be_text(nvml_stub: NvmlStub) -> None:
    scenario = {"gpus": [{"name": "NVIDIA\\xff\\x1b[31m"}]}
    code = "n.close(); n.close(); out(listed.devices[0].facts)"
    facts = msgspec_facts(ask(nvml_stub.env(scenario), code))
    assert facts.name.startswith("NVIDIA")
    assert facts.model is None
    assert "no data sheet" in facts.missing["model"]


@pytest.mark.parametrize(
    ("code", "says", "do"),
    [
        (9, "not loaded", "modprobe"),
        (4, "no permission", "/dev/nvidia"),
        (18, "different versions", "reboot"),
        (17, "blocks", "sandbox"),
        (13, "too old", "Update"),
        (15, "lost", "dmesg"),
        (999, "NVML error 999", "nvidia-smi"),
    ],
)
def test_a_driver_that_does_not_start_says_what_and_what_to_do(
    nvml_stub: NvmlStub, code: int, says: str, do: str
) -> None:
    message, fix = ask(nvml_stub.env({"gpus": [{}], "init_return": code}), REFUSED, start="")
    assert says in message
    assert do in fix


def test_without_a_driver(tmp_path: Path) -> None:
    code = """
    import pynvml
    def absent():
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)
    pynvml.nvmlInit = absent
    """
    message, fix = ask(dict(os.environ), textwrap.dedent(code) + REFUSED, start="")
    assert "no NVIDIA driver" in message
    assert "--device cpu" in fix


def test_no_gpu_at_all(nvml_stub: NvmlStub) -> None:
    code = """
    try:
        listed.find("0")
    except CannotProbeError as error:
        out([str(error), error.fix])
    """
    message, fix = ask(nvml_stub.env({"gpus": []}), code)
    assert message == "there is no device '0'"
    assert "There is none" in fix


def device(key: str, index: int, gi: int | None = None) -> Device:
    return Device(DeviceFacts(kind="cuda", key=key, name="x", index=index), None, None, gi)


LISTING = Listing((device("GPU-aa1", 0), device("GPU-ab2", 1), device("MIG-c", 2, gi=1)), {2: "MIG is on"})


@pytest.mark.parametrize(("wanted", "key"), [("0", "GPU-aa1"), ("GPU-ab", "GPU-ab2"), ("MIG-c", "MIG-c")])
def test_devices_are_found_by_index_or_uuid(wanted: str, key: str) -> None:
    assert LISTING.find(wanted).facts.key == key


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ("7", "no device '7'"),
        ("GPU-a", "several"),
        ("", "no device ''"),
        ("2", "MIG is on"),
        ("-1", "no device"),
    ],
)
def test_what_is_not_found_is_answered_with_what_there_is(wanted: str, says: str) -> None:
    with pytest.raises(CannotProbeError, match=says) as raised:
        LISTING.find(wanted)
    assert raised.value.fix == "Name one of: 0, 1, MIG-c."


def test_every_start_failure_has_a_fix() -> None:
    assert all(cannot_start(code).fix for code in range(1, 30))


def test_counters_are_those_of_live_windows() -> None:
    shares = {metric.field: metric.id for metric in METRICS if metric.percent}
    assert shares == gpm.METRICS
    assert REASONS == live.CLOCKS_EVENT_REASONS
    assert nvml.describe(4).startswith("no permission")


WINDOWS = """
from probes.gpm import Gpm
found = []
for d in listed.devices:
    g = Gpm(n, d.gpu, d.gi)
    windows = []
    for _ in range(3):
        windows.append(g.take())
        time.sleep(0.115)
    g.close()
    g.close()
    found.append([[w and [w.duration_s, w.counters] for w in windows], g.missing])
out(found)
"""


def test_gpm_of_a_gpu(nvml_stub: NvmlStub) -> None:
    ((windows, missing),) = ask(nvml_stub.env("compute"), WINDOWS)
    assert windows[0] is None
    assert missing == {}
    for duration_s, counters in windows[1:]:
        assert duration_s >= 0.11
        assert counters["tensor_active"] == counters["hmma"] == pytest.approx(0.85)
        assert counters["dram_active"] == pytest.approx(0.3)
        assert set(counters) == set(gpm.METRICS)


def test_gpm_of_mig_instances(nvml_stub: NvmlStub) -> None:
    found = ask(nvml_stub.env("mig"), WINDOWS)
    drams = [windows[1][1]["dram_active"] for windows, _ in found]
    assert drams == pytest.approx([0.9, 0.3, 0.0])


def test_gpm_of_a_driver_with_another_layout(nvml_stub: NvmlStub) -> None:
    ((windows, missing),) = ask(nvml_stub.env("old_abi"), WINDOWS)
    assert windows[2][1]["dram_active"] == pytest.approx(0.9)
    assert set(windows[2][1]) == set(gpm.METRICS)
    assert missing == {}


@pytest.mark.parametrize(
    ("function", "code", "why"),
    [
        ("nvmlGpmQueryDeviceSupport", "NOT_SUPPORTED", "not supported"),
        ("nvmlGpmSampleGet", "NO_PERMISSION", "no permission"),
        ("nvmlGpmMetricsGet", "UNKNOWN", "999"),
        ("nvmlGpmSampleAlloc", "GPU_IS_LOST", "lost"),
    ],
)
def test_gpm_that_cannot_be_read_says_why(nvml_stub: NvmlStub, function: str, code: str, why: str) -> None:
    scenario = {"gpus": [{"gpm": {"gr_active": 0.5}}], "faults": [{"function": function, "return": code}]}
    ((windows, missing),) = ask(nvml_stub.env(scenario), WINDOWS)
    assert windows == [None, None, None]
    assert why in missing["counters"]


def test_a_card_without_gpm(nvml_stub: NvmlStub) -> None:
    ((windows, missing),) = ask(nvml_stub.env("no_gpm"), WINDOWS)
    assert windows == [None, None, None]
    assert "Hopper" in missing["counters"]


def test_gpm_without_its_functions(nvml_stub: NvmlStub) -> None:
    old = nvml_stub.without(["nvmlGpmQueryDeviceSupport", "nvmlGpmSampleGet"])
    ((windows, missing),) = ask(old.env("memory"), WINDOWS)
    assert windows == [None, None, None]
    assert "newer driver" in missing["counters"]
