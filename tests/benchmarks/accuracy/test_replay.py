"""Tiers and ablations: what is hidden is hidden from the product, which takes the other path itself."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from advisor.monitor import Monitor, MonitorOptions
from advisor.telemetry.records import Frame, Hello, Message
from benchmarks.accuracy.ablations import (
    TIERS,
    at_one_second,
    without_gpm,
    without_host,
    without_probes,
)
from benchmarks.accuracy.corpus import Recorded, read_corpus
from benchmarks.accuracy.replay import Replayed, read_messages, replay_all, subject_key, verdict_of
from benchmarks.accuracy.rival import Rival, Seen
from benchmarks.accuracy.run import known_rivals
from benchmarks.workloads.spec import Label
from tests.advisor.streams import device, frames, hello
from tests.benchmarks.accuracy.recordings import make


@cache
def stream() -> tuple[Message, ...]:
    from tests.factories import make_measured

    header = hello(device(), ceilings={device().key: make_measured()})
    return (header, *frames({"dram_active": 0.9}, 6))


def recorded(tmp_path: Path, name: str) -> Recorded:
    (found,) = read_corpus([make(tmp_path / "workloads", (name,))], tmp_path / "scratch").recordings
    return found


def frames_of(messages: list[Message]) -> list[Frame]:
    return [m for m in messages if isinstance(m, Frame)]


def test_without_gpm_nothing_of_it_is_left() -> None:
    seen = list(without_gpm(stream()))
    header = seen[0]
    assert isinstance(header, Hello) and header.devices[0].gpm is False
    assert all(not s.gpm for f in frames_of(seen) for s in f.samples)
    labels = {r.label for c in header.ceilings.values() for r in c.readings}
    assert labels == {"assumed"}, "a GPU without GPM has no counter that a probe could read"


def test_without_host_processes_are_there_and_say_nothing() -> None:
    looks = [p for f in frames_of(list(without_host(stream()))) for p in f.processes or ()]
    assert looks and all(p.mem_used_bytes and p.busiest_thread_frac is None for p in looks)
    assert all(f.host is None for f in frames_of(list(without_host(stream()))))


def test_without_probes_ceilings_are_assumed() -> None:
    key = device().key
    assert verdict_of(stream(), key).ceilings_label == "measured"
    assert verdict_of(stream(), key, without_probes).ceilings_label == "assumed"


def test_at_a_second_sub_windows_are_means_of_the_same_time() -> None:
    fine, coarse = frames_of(list(stream())), frames_of(list(at_one_second(stream())))
    windows = [g for f in coarse for s in f.samples for g in s.gpm]
    assert len(windows) == len(fine) and all(g.duration_s == pytest.approx(1.0) for g in windows)
    assert all(g.dram_active == pytest.approx(0.9) for g in windows)


def test_verdicts_are_the_products_own(tmp_path: Path) -> None:
    one = recorded(tmp_path, "copy")
    monitor = Monitor(MonitorOptions(source="replay", env={}))
    for message in read_messages(one.path):
        monitor.feed(message)
    replayed = replay_all(one, (), ablations=False)
    assert isinstance(replayed, Replayed)
    assert replayed.verdicts["counters"] == monitor.diagnosis().verdicts[0]


def test_every_tier_ablation_and_rival_has_its_say(tmp_path: Path) -> None:
    replayed = replay_all(recorded(tmp_path, "copy"), known_rivals(), ablations=True)
    assert isinstance(replayed, Replayed)
    assert {tier: v.tier for tier, v in replayed.verdicts.items()} == {tier: tier for tier in TIERS}
    assert {name: set(found) for name, found in replayed.ablated.items()} == {
        "no-probes": {"counters", "nvml"},
        "no-host": {"counters", "nvml"},
        "1s": {"counters"},
    }
    assert set(replayed.rivals) == {r.name for r in known_rivals() if r.missing is None}


def test_a_rival_that_fails_names_no_class_and_costs_us_nothing(tmp_path: Path) -> None:
    def fail(_: Seen) -> list[Label | None]:
        raise OverflowError("infinity")

    rival = Rival(
        name="r", version="1", source="https://example.org", mapping="none", looks=fail, sees="nvml"
    )
    replayed = replay_all(recorded(tmp_path, "copy"), (rival,), ablations=False)
    assert isinstance(replayed, Replayed) and replayed.rivals == {"r": None}
    assert replayed.rivals_named == {"r": None}


def test_the_device_is_the_one_the_workload_ran_on(tmp_path: Path) -> None:
    one = recorded(tmp_path, "copy")
    first, second = device(0), device(1)
    messages = [hello(first, second), *frames({}, 2, second)]
    assert subject_key(messages, one.truth) == second.key
    assert subject_key([hello(first, second), *frames({}, 2, first)], one.truth) == first.key
    with pytest.raises(ValueError, match="no device"):
        subject_key([Hello(t_s=0.0, advisor_version="0", host=hello().host)], one.truth)
