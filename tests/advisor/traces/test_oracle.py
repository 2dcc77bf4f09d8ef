"""The oracle of the fuzzer: silent on figures as they are, and it names each one that cannot be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from advisor.traces.analyse import analyse
from advisor.traces.read import read
from benchmarks.traces.oracle import impossible
from rules.traces.records import DeviceTrace
from tests.advisor.traces.made import training


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> DeviceTrace:
    path: Path = training(steps=6).write(tmp_path_factory.mktemp("oracle") / "t.json")
    return analyse([read(path)], lambda *_: None).report.devices[0]


def test_nothing_is_said_of_figures_that_hold(device: DeviceTrace) -> None:
    assert list(impossible(device)) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"span_us": 1.0}, "the span"),
        ({"idle_us": 1.0}, "idle time"),
        ({"kernels_left_us": 5.0}, "families"),
        ({"communication_us": 7.0}, "communication"),
        ({"tensor_us": 1e9}, "tensor cores"),
        ({"uncorrelated_us": -1.0}, "uncorrelated_us"),
        ({"idle_frac": float("nan")}, "idle_frac"),
    ],
)
def test_a_figure_that_cannot_be_is_named(device: DeviceTrace, change: dict[str, Any], said: str) -> None:
    assert any(said in one for one in impossible(msgspec.structs.replace(device, **change)))


def test_chains_and_copies_are_no_more_than_their_whole(device: DeviceTrace) -> None:
    assert device.chains is not None and device.copies
    chains = msgspec.structs.replace(device.chains, gap_us=device.idle_us * 2)
    copies = (msgspec.structs.replace(device.copies[0], exposed_us=1e9),)
    changed = msgspec.structs.replace(device, chains=chains, copies=copies)
    assert [said.split(":")[0] for said in impossible(changed)] == ["copies h2d exposed", "gaps of chains"]
