"""The error policy, and starting NVML."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from advisor.telemetry import nvml_api as api
from advisor.telemetry.nvml_api import NvmlError, PyNvml
from advisor.telemetry.nvml_errors import DeviceCalls, DeviceLostError, Reading, describe
from advisor.telemetry.nvml_init import cannot_measure, driver_versions, pynvml_version
from tests.advisor.telemetry.fake_nvml import Clock, FakeNvml, Gpu, Handle

READING = Reading(("power_w",), lambda mw: (mw / 1000,), (("nvmlDeviceGetPowerUsage", ()),))


def calls(nvml: FakeNvml, clock: Clock | None = None) -> DeviceCalls:
    return DeviceCalls(nvml, Handle(nvml.gpus[0]), clock or Clock())


@pytest.mark.parametrize("code", [api.GPU_IS_LOST, api.RESET_REQUIRED])
def test_loss_concerns_the_device(code: int) -> None:
    with pytest.raises(DeviceLostError, match="GPU"):
        calls(FakeNvml(faults={"nvmlDeviceGetPowerUsage": code})).read(READING, {})


def test_a_failed_reading_takes_the_old_value_out() -> None:
    values: dict[str, Any] = {"power_w": 1.0}
    device = calls(FakeNvml(faults={"nvmlDeviceGetPowerUsage": api.UNKNOWN}))
    device.read(READING, values)
    assert values == {} and device.missing == {"power_w": "NVML error 999"}


def test_an_answer_of_unknown_form_is_missing() -> None:
    device = calls(FakeNvml(Gpu(values={"nvmlDeviceGetPowerUsage": "much"})))
    device.read(READING, {})
    assert "unknown form" in device.missing["power_w"]


def test_refusals_are_each_device_s_own() -> None:
    nvml = FakeNvml(Gpu(uuid="a", faults={"nvmlDeviceGetPowerUsage": api.NOT_SUPPORTED}), Gpu(uuid="b"))
    values: dict[str, Any] = {}
    calls(nvml).read(READING, {})
    DeviceCalls(nvml, Handle(nvml.gpus[1])).read(READING, values)
    assert values == {"power_w": 291.5}


def test_every_known_code_is_a_phrase() -> None:
    assert describe(api.NOT_SUPPORTED) == "not supported by this GPU"
    assert describe(12345) == "NVML error 12345"


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (api.LIBRARY_NOT_FOUND, "no NVIDIA driver found (libnvidia-ml.so.1 could not be loaded)"),
        (api.DRIVER_NOT_LOADED, "the NVIDIA driver is not loaded"),
        (
            api.LIB_RM_VERSION_MISMATCH,
            "driver/library version mismatch: reboot or reload the kernel module",
        ),
        (api.NO_PERMISSION, "no permission to use the NVIDIA driver"),
        (api.UNKNOWN, "the NVIDIA driver does not start NVML: NVML error 999"),
    ],
)
def test_what_is_said_when_nvml_does_not_start(code: int, message: str) -> None:
    error = cannot_measure(code)
    assert str(error) == message and error.fix


def test_versions() -> None:
    assert driver_versions(FakeNvml()) == ("999.1", "12.8")
    silent = FakeNvml()
    silent.faults = dict.fromkeys(
        ("nvmlSystemGetDriverVersion", "nvmlSystemGetCudaDriverVersion"), api.UNKNOWN
    )
    assert driver_versions(silent) == (None, None)
    version = pynvml_version()
    assert version is not None and version[0].isdigit()


class FakeModule(ModuleType):
    """A stand-in for pynvml."""

    class NVMLError(Exception):
        """As pynvml's."""

        value = api.NO_PERMISSION

    def refuse(self) -> None:
        raise self.NVMLError

    def garbled(self) -> str:
        return b"py\xffthon".decode()


def test_pynvml_is_wrapped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", FakeModule("pynvml"))
    nvml = PyNvml()
    with pytest.raises(NvmlError) as refused:
        nvml.call("refuse")
    assert refused.value.code == api.NO_PERMISSION and refused.value.function == "refuse"
    with pytest.raises(NvmlError) as absent:
        nvml.call("nvmlOfNextYear")
    assert absent.value.code == api.FUNCTION_NOT_FOUND
    assert nvml.call("garbled") == "py\ufffdthon"


def test_codes_are_pynvml_s() -> None:
    import pynvml

    names = SimpleNamespace(**{name: value for name, value in vars(api).items() if name.isupper()})
    for name, value in vars(names).items():
        assert value == (0 if name == "SUCCESS" else getattr(pynvml, f"NVML_ERROR_{name}"))
