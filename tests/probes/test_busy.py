"""Who uses a device, on the simulated library and on answers given here; every figure is synthetic."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

import pytest

from probes import busy
from probes.busy import look
from probes.nvml import FUNCTION_NOT_FOUND, NO_PERMISSION, NOT_SUPPORTED, Device, Nvml, NvmlError
from probes.record import DeviceFacts
from tests.conftest import NvmlStub
from tests.probes.test_nvml import ask

LOOK = """
from probes.busy import look
out([look(n, device) for device in listed.devices])
"""


def test_an_idle_card_is_free(nvml_stub: NvmlStub) -> None:
    assert ask(nvml_stub.env("free"), LOOK) == [{"busy": None, "missing": {}}]


@pytest.mark.parametrize("scenario", ["compute", "idle_held", "no_gpm"])
def test_a_process_makes_it_busy_whatever_it_does(nvml_stub: NvmlStub, scenario: str) -> None:
    (found,) = ask(nvml_stub.env(scenario), LOOK)
    assert found["busy"] == "in use by process 4200001 (python)"


def test_work_without_a_process_in_sight_makes_it_busy(nvml_stub: NvmlStub) -> None:
    (found,) = ask(nvml_stub.env({"gpus": [{"gpu_util": 42}]}), LOOK)
    assert found["busy"] == "42% utilised, though the driver lists no process"


def test_five_per_cent_are_let_pass(nvml_stub: NvmlStub) -> None:
    assert ask(nvml_stub.env({"gpus": [{"gpu_util": 5}]}), LOOK)[0]["busy"] is None
    assert ask(nvml_stub.env({"gpus": [{"gpu_util": 6}]}), LOOK)[0]["busy"] is not None


def test_a_display_server_is_no_user_until_it_draws(nvml_stub: NvmlStub) -> None:
    display = {"pid": 4_300_000, "name": "/usr/lib/xorg/Xorg :0", "memory_mib": 90, "type": "graphics"}
    assert ask(nvml_stub.env({"gpus": [{"processes": [display], "gpu_util": 1}]}), LOOK)[0]["busy"] is None
    (drawing,) = ask(nvml_stub.env({"gpus": [{"processes": [display], "gpu_util": 30}]}), LOOK)
    assert drawing["busy"] == "30% utilised; process 4300000 (Xorg) may draw on it"


def test_an_mps_client_is_a_user(nvml_stub: NvmlStub) -> None:
    client = {"pid": 4_300_001, "name": "trainer", "memory_mib": 90, "type": "mps"}
    (found,) = ask(nvml_stub.env({"gpus": [{"processes": [client], "gpu_util": 0}]}), LOOK)
    assert found["busy"] == "in use by process 4300001 (trainer)"


def test_ones_own_process_is_not_another(nvml_stub: NvmlStub) -> None:
    own = {"gpus": [{"processes": [{"pid": "self", "name": "me", "memory_mib": 500}], "gpu_util": 0}]}
    assert ask(nvml_stub.env(own), LOOK)[0]["busy"] is None
    both = [{"pid": "self", "name": "me", "memory_mib": 5}, {"pid": "parent", "name": "it", "memory_mib": 5}]
    code = "import os\nfrom probes.busy import look\nout(look(n, listed.devices[0], own=[os.getppid()]))"
    scenario = {"gpus": [{"processes": both, "gpu_util": 0}]}
    assert ask(nvml_stub.env(scenario), code)["busy"] is None
    assert "(it)" in ask(nvml_stub.env(scenario), LOOK)[0]["busy"]


def test_a_mig_instance_is_busy_by_its_own_processes_and_counters(nvml_stub: NvmlStub) -> None:
    instances = [
        {
            "profile": "2g.20gb",
            "gi": 1,
            "slices": 2,
            "sm_count": 32,
            "memory_total_mib": 9984,
            "gpm": {"gr_active": 0.0},
        },
        {
            "profile": "2g.20gb",
            "gi": 2,
            "slices": 2,
            "sm_count": 32,
            "memory_total_mib": 9984,
            "gpm": {"gr_active": 0.5},
        },
        {
            "profile": "1g.10gb",
            "gi": 3,
            "slices": 1,
            "sm_count": 16,
            "memory_total_mib": 9984,
            "gpm": {"gr_active": 0.0},
        },
    ]
    other = {"pid": 4_300_002, "name": "other", "memory_mib": 90, "gi": 3, "ci": 0}
    free, working, held = ask(nvml_stub.env({"gpus": [{"mig": instances, "processes": [other]}]}), LOOK)
    assert free == {"busy": None, "missing": {}}
    assert working["busy"] == "50% utilised, though the driver lists no process"
    assert held["busy"] == "in use by process 4300002 (other)"


def test_hostile_names_are_bounded_and_plain(nvml_stub: NvmlStub) -> None:
    (found,) = ask(nvml_stub.env("garbage_names"), LOOK)
    assert found["busy"].endswith(" and 4 more")
    assert found["busy"].isprintable()
    assert len(found["busy"]) < 300


class Driver:
    """Answers by function; an integer is an error code."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.asked: list[str] = []

    def call(self, function: str, *_args: Any) -> Any:
        self.asked.append(function)
        answer = self.answers.get(function.removeprefix("nvmlDeviceGet"), NOT_SUPPORTED)
        if isinstance(answer, int):
            raise NvmlError(answer, function)
        return answer


def seen(driver: Driver, gi: int | None = None) -> busy.Use:
    device = Device(DeviceFacts(kind="cuda", key="GPU-1", name="x"), "handle", "gpu", gi)
    as_nvml: Any = driver
    nvml: Nvml = as_nvml
    return look(nvml, device, sleep=lambda _s: None)


def rates(percent: int) -> Any:
    return SimpleNamespace(gpu=percent)


def test_what_cannot_be_looked_at_does_not_make_it_busy() -> None:
    found = seen(Driver(ComputeRunningProcesses=NO_PERMISSION, UtilizationRates=FUNCTION_NOT_FOUND))
    assert found.busy is None
    assert "no permission" in found.missing["compute processes"]
    assert "newer driver" in found.missing["utilisation"]


def test_an_instance_without_counters_says_what_could_not_be_checked() -> None:
    found = seen(Driver(ComputeRunningProcesses=[]), gi=1)
    assert found.busy is None
    assert "not measured per MIG instance" in found.missing["utilisation"]


def test_an_old_driver_without_mps_lists_is_no_gap() -> None:
    driver = Driver(ComputeRunningProcesses=[], UtilizationRates=rates(0))
    assert seen(driver) == busy.Use()


def test_senseless_utilisation_is_missing() -> None:
    found = seen(Driver(ComputeRunningProcesses=[], UtilizationRates=rates(4_000_000)))
    assert (found.busy, found.missing) == (None, {"utilisation": "the driver's utilisation makes no sense"})


def test_what_ended_a_moment_ago_does_not_make_it_busy() -> None:
    """The driver's utilisation looks back up to a second."""
    percents = iter([90, 60, 20, 0])

    class Fading(Driver):
        def call(self, function: str, *args: Any) -> Any:
            if function == "nvmlDeviceGetUtilizationRates":
                return rates(next(percents, 0))
            return super().call(function, *args)

    assert seen(Fading(ComputeRunningProcesses=[])).busy is None


def test_processes_are_enough_to_know() -> None:
    listed = [SimpleNamespace(pid=os.getpid()), SimpleNamespace(pid=77)]
    driver = Driver(ComputeRunningProcesses=listed)
    assert seen(driver).busy == "in use by process 77"
    assert "nvmlDeviceGetUtilizationRates" not in driver.asked
