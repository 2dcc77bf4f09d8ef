"""Prices over a stream: what of the node sets them, and that a recording gives the same ones again."""

from __future__ import annotations

import platform
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from advisor.config import Config
from advisor.monitor import Monitor, MonitorOptions
from advisor.reports.redact import host_hash
from advisor.telemetry.recording import Recorder, read_recording
from advisor.telemetry.records import Frame, HostInfo, Message
from rules.finding import Price
from tests.advisor.streams import device, frames, hello, process

NAME = platform.node()
NODE = HostInfo(host=host_hash(NAME), provider="aws", instance="p5.4xlarge", partition="h100", label="pool-b")
ENTRIES: dict[str, Any] = {
    "instance": {},
    "partition": {"job_prices": {"partition:h100": 4.0}},
    "partition of the job": {"job_prices": {"partition:night": 1.0, "partition:h100": 4.0}},
    "label": {"job_prices": {"label:pool-b": 5.0}},
    "node": {"node_prices": {NAME: 3.0}},
    "pseudonym": {"node_prices": {NODE.host: 3.0}},
}


def stream(partition: str | None = None, host: HostInfo = NODE) -> list[Message]:
    """Twenty seconds of one GPU whose process ran in a partition of Slurm."""
    ran = process(job="slurm:7", partition=partition)
    seen = [
        msgspec.structs.replace(m, processes=(ran,)) if isinstance(m, Frame) and m.processes else m
        for m in frames({"dram_active": 0.9}, 20)
    ]
    return [hello(host=host), *seen]


def priced(messages: Iterable[Message], config: Config, **options: Any) -> Price:
    monitor = Monitor(MonitorOptions(config=config, env={}, **options))
    for message in messages:
        monitor.feed(message)
    return monitor.diagnosis().observed[0].price


def recorded(messages: list[Message], path: Path) -> list[Message]:
    """The stream as it comes back from a file."""
    with Recorder(path) as recorder:
        for message in messages:
            recorder.write(message)
    with read_recording(path) as reader:
        return [reader.hello, *reader]


@pytest.mark.parametrize("which", ENTRIES)
def test_a_recording_replays_to_the_price_that_was_live(tmp_path: Path, which: str) -> None:
    config = Config(**ENTRIES[which])
    messages = stream("night" if "job" in which else None)
    live = priced(messages, config, source="live")
    assert live.basis == ("instance" if which == "instance" else "config")
    again = priced(recorded(messages, tmp_path / "r.jsonl"), config, source="replay")
    assert again == live


def test_the_replaying_node_s_own_name_and_variables_price_no_recording(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_JOB_PARTITION", "mine")
    elsewhere = recorded(stream(host=HostInfo(host="node-000000")), tmp_path / "r.jsonl")
    config = Config(node_prices={NAME: 3.0, "*": 2.0}, job_prices={"partition:mine": 1.0})
    # "*" names every node, also one that is known by its pseudonym alone.
    assert priced(elsewhere, config, source="replay").usd_h == 2.0
    only = Config(node_prices={NAME: 3.0}, job_prices={"partition:mine": 1.0})
    assert priced(elsewhere, only, source="replay").basis == "bundled"


@pytest.mark.parametrize(
    ("more", "usd_h", "basis"),
    [
        ({"price_flag": 9.0}, 9.0, "user"),
        ({}, 3.0, "config"),
        ({"config": Config()}, 6.88, "instance"),
    ],
)
def test_the_order_holds_in_a_replay(more: dict[str, Any], usd_h: float, basis: str) -> None:
    config = more.pop("config", Config(node_prices={NODE.host: 3.0}, prices={"H100": 5.0}))
    price = priced(stream(), config, source="replay", **more)
    assert (price.usd_h, price.basis) == (usd_h, basis)


def test_two_gpus_of_one_model_may_cost_what_their_jobs_partitions_do() -> None:
    both = (device(0), device(1))
    ran = tuple(process(d.key, partition=name) for d, name in zip(both, ("day", "night"), strict=True))
    seen = [
        msgspec.structs.replace(m, processes=ran) if isinstance(m, Frame) and m.processes else m
        for m in frames({"dram_active": 0.9}, 10, *both)
    ]
    monitor = Monitor(
        MonitorOptions(config=Config(job_prices={"partition:day": 4.0, "partition:night": 1.0}), env={})
    )
    for message in (hello(*both, host=NODE), *seen):
        monitor.feed(message)
    document = monitor.diagnosis()
    assert [row.price_usd_h for row in document.ladder] == [4.0, 1.0]
    assert [row.basis for row in document.ladder] == ["config", "config"]


def test_a_recording_from_before_these_facts_has_the_price_it_had(tmp_path: Path) -> None:
    path = tmp_path / "old.jsonl"
    old = recorded(stream(host=HostInfo(host="node-000000", cores=8)), path)
    text = path.read_text()
    assert all(word not in text.splitlines()[0] for word in ("provider", "instance", "partition"))
    assert priced(old, Config(), source="replay").basis == "bundled"


def test_a_label_with_a_secret_is_not_recorded(tmp_path: Path) -> None:
    secret = msgspec.structs.replace(NODE, label="token=hf_abcdefghijklmnopqrstuvwxyz012345")
    recorded(stream(host=secret), tmp_path / "r.jsonl")
    assert "hf_abcdef" not in (tmp_path / "r.jsonl").read_text()


def test_electricity_stands_beside_the_price_with_its_labels() -> None:
    monitor = Monitor(MonitorOptions(config=Config(pue=1.2), env={}))
    for message in stream():
        monitor.feed(message)
    document = monitor.diagnosis()
    (facts,) = document.provenance.devices
    assert facts.electricity is not None
    assert facts.electricity.mean_w == pytest.approx(500.0)
    assert facts.electricity.usd_h == pytest.approx(0.5 * 1.2 * 0.10)
    assert (facts.electricity.rates.usd_kwh_label, facts.electricity.rates.pue_label) == ("default", "config")
    assert facts.power_w_max == 500.0
    assert document.ladder[0].price_usd_h == 6.88


def test_what_weakens_a_price_is_said_once_in_the_document() -> None:
    both = (device(0), device(1))
    monitor = Monitor(MonitorOptions(config=Config(), env={}))
    for message in (hello(*both), *frames({"dram_active": 0.9}, 10, *both)):
        monitor.feed(message)
    (flag,) = [flag for flag in monitor.diagnosis().flags if flag.code == "price"]
    assert flag.message == (
        "GPU 0: on-demand rows for this model span $2.95 to $10.98; the catalogue's date is not known"
    )
    given = Monitor(MonitorOptions(config=Config(), env={}, price_flag=2.0))
    for message in stream():
        given.feed(message)
    assert not [flag for flag in given.diagnosis().flags if flag.code == "price"]
