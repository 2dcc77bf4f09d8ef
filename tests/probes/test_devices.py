"""Which devices a person means, asked of the simulated driver and of none."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import Any

import pytest

from probes.devices import VARIABLE, NoDeviceError, list_devices
from probes.record import DeviceFacts
from tests.conftest import NvmlStub
from tests.nvml_stub.scenarios import SCENARIOS

TWO: dict[str, Any] = {
    "gpus": [
        {"uuid": "GPU-aaaa1111-0000-0000-0000-000000000000"},
        {"uuid": "GPU-aaaa2222-0000-0000-0000-000000000000"},
    ]
}
FIRST, SECOND = (gpu["uuid"] for gpu in TWO["gpus"])


def play(stub: NvmlStub, scenario: dict[str, Any] | str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make this process's children find the simulated driver."""
    for name, value in stub.env(scenario).items():
        if name in ("LD_LIBRARY_PATH", "ADVISOR_NVML_SCENARIO"):
            monkeypatch.setenv(name, value)
    monkeypatch.delenv(VARIABLE, raising=False)


def keys(devices: list[DeviceFacts]) -> list[str]:
    return [facts.key for facts in devices]


@pytest.fixture
def two(nvml_stub: NvmlStub, monkeypatch: pytest.MonkeyPatch) -> None:
    play(nvml_stub, TWO, monkeypatch)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("", [FIRST]),
        ("all", [FIRST, SECOND]),
        ("0", [FIRST]),
        ("1", [SECOND]),
        ("1, 0,1", [SECOND, FIRST]),
        (SECOND, [SECOND]),
        (SECOND.lower().removeprefix("gpu-")[:6], [SECOND]),
        ("GPU-aaaa2", [SECOND]),
    ],
)
@pytest.mark.usefixtures("two")
def test_gpus_are_named_by_index_and_uuid(wanted: str, expected: list[str]) -> None:
    assert keys(list_devices(wanted, {})) == expected


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("2", "there is no device '2'"),
        ("GPU-aaaa", "could be any of"),
        ("GPU-", "there is no device"),
        ("cpux", "there is no device"),
        (",", "no device is named"),
        ("0:1", "there is no device"),
        ("²", "there is no device"),
    ],
)
@pytest.mark.usefixtures("two")
def test_what_names_no_device_is_an_error_with_a_fix(wanted: str, message: str) -> None:
    with pytest.raises(NoDeviceError, match=message) as caught:
        list_devices(wanted, {})
    assert caught.value.fix


@pytest.mark.parametrize(
    ("wanted", "visible", "expected"),
    [
        ("all", "1", [SECOND]),
        ("", "1,0", [SECOND]),
        ("all", "1,0", [SECOND, FIRST]),
        ("all", "1,7,0", [SECOND]),
        ("all", f"{SECOND[:10]},{FIRST}", [SECOND, FIRST]),
        ("0", "1", [FIRST]),
    ],
)
@pytest.mark.usefixtures("two")
def test_cuda_visible_devices_limits_what_is_not_named(
    wanted: str, visible: str, expected: list[str]
) -> None:
    assert keys(list_devices(wanted, {VARIABLE: visible})) == expected


@pytest.mark.parametrize("visible", ["", "-1", "none", "7,0"])
@pytest.mark.usefixtures("two")
def test_a_variable_that_hides_all_leaves_no_gpu(visible: str) -> None:
    with pytest.raises(NoDeviceError, match="leaves no GPU"):
        list_devices("all", {VARIABLE: visible})


@pytest.mark.usefixtures("two")
def test_the_cpu_stands_beside_gpus() -> None:
    assert [f.kind for f in list_devices("cpu,1", {})] == ["cpu", "cuda"]


def test_an_index_of_a_divided_gpu_means_its_instances(
    nvml_stub: NvmlStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenario = SCENARIOS["mig"]()
    play(nvml_stub, scenario, monkeypatch)
    (index,) = [i for i, gpu in enumerate(scenario["gpus"]) if gpu.get("mig")][:1]
    instances = list_devices(str(index), {})
    assert len(instances) == len(scenario["gpus"][index]["mig"])
    assert all(facts.mig_profile and facts.key.startswith("MIG-") for facts in instances)
    assert list_devices(f"{index}:1", {}) == instances[1:2]
    assert list_devices(instances[-1].key, {}) == instances[-1:]
    assert list_devices("all", {VARIABLE: str(index)}) == instances[:1]


def test_a_lost_gpu_is_listed_with_the_reason(nvml_stub: NvmlStub, monkeypatch: pytest.MonkeyPatch) -> None:
    lost = {"gpus": [{}, {"uuid": "GPU-dead", "lost_at_s": 0}]}
    play(nvml_stub, lost, monkeypatch)
    good, gone = list_devices("all", {})
    assert "device" not in good.missing
    assert gone.index == 1
    assert "fell off the bus" in gone.missing["device"]


def test_a_driver_that_hangs_does_not_hang_the_caller(
    nvml_stub: NvmlStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hung = {"gpus": [{}], "faults": [{"function": "nvmlDeviceGetCount*", "hang": True}]}
    play(nvml_stub, hung, monkeypatch)
    begin = time.monotonic()
    with pytest.raises(NoDeviceError, match=r"does not answer \(waited 1 s\)") as caught:
        list_devices("0", {}, timeout_s=1.0)
    assert time.monotonic() - begin < 20
    assert "nvidia-smi" in caught.value.fix


def test_a_driver_that_crashes_is_an_error(nvml_stub: NvmlStub, monkeypatch: pytest.MonkeyPatch) -> None:
    play(
        nvml_stub, {"gpus": [{}], "faults": [{"function": "nvmlDeviceGetCount*", "crash": True}]}, monkeypatch
    )
    with pytest.raises(NoDeviceError, match="failed with code -6"):
        list_devices("0", {})


def test_without_a_driver_the_fix_names_the_cpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    (tmp_path / "libnvidia-ml.so.1").touch()
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    with pytest.raises(NoDeviceError, match="no NVIDIA driver found") as caught:
        list_devices()
    assert "--device cpu" in caught.value.fix


def test_no_gpu_is_an_error(nvml_stub: NvmlStub, monkeypatch: pytest.MonkeyPatch) -> None:
    play(nvml_stub, {"gpus": []}, monkeypatch)
    with pytest.raises(NoDeviceError, match="no GPU"):
        list_devices("all", {})


def test_the_cpu_needs_no_driver_and_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "Popen", None)
    (facts,) = list_devices("CPU")
    assert facts.kind == "cpu"
    assert facts.key.startswith("cpu:")


def test_the_asking_process_alone_imports_pynvml(nvml_stub: NvmlStub) -> None:
    script = "import sys, probes.devices as d; d.list_devices('0'); print('pynvml' in sys.modules)"
    env = {**os.environ, **nvml_stub.env(TWO)}
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
