"""Devices of a file: as many as can be looked at, and what is said of the others. All of it is synthetic."""

from __future__ import annotations

from advisor.traces.analyse import analyse
from advisor.traces.choosing import MOST_DEVICES, busiest_devices, only_device
from advisor.traces.timeline import Timeline
from tests.advisor.traces.kernel_scenes import Scene


def _devices(count: int) -> Timeline:
    """One kernel on each device, one more on every third."""
    scene = Scene()
    for device in range(count):
        for kernel in range(1 + (device % 3 == 0)):
            scene.kernel("kernel", 1_000 * device + 100 * kernel, 50, device=device)
    return scene.timeline()


def test_as_many_as_there_are_stay_as_they_are() -> None:
    timeline = _devices(4)
    assert busiest_devices(timeline, 4) is timeline
    assert only_device(timeline, 3).device_numbers() == (3,)


def test_the_busiest_are_kept_and_the_loss_is_told() -> None:
    kept = busiest_devices(_devices(9), 4)
    assert kept.device_numbers() == (0, 1, 3, 6)
    (loss,) = kept.losses
    assert (loss.code, loss.count) == ("limit", 5)
    assert "9 devices" in loss.message


def test_an_analysis_of_too_many_devices_ends_and_says_so() -> None:
    made = analyse([_devices(MOST_DEVICES + 5)], lambda _timeline, _device: None)
    assert len(made.report.devices) == len(made.attributions) == MOST_DEVICES
    assert [loss.code for loss in made.report.files[0].losses] == ["limit"]


def test_the_natures_of_a_file_are_one_column() -> None:
    """A column for each device would be as long as the table of all of them."""
    made = analyse([_devices(6)], lambda _timeline, _device: None)
    assert [column.shape for column in made.natures] == [(len(made.timelines[0].gpu),)]
    assert [device.busy["latency"] for device in made.report.devices] == [0.1, 0.05, 0.05] * 2
