"""Ceilings on their way: from the store into the stream, a recording and its replay, to the verdict."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from advisor.ceilings import CeilingsFeed, age_words, ceilings_for, how_known, measured
from advisor.document import Diagnosis
from advisor.monitor import Monitor, MonitorOptions
from advisor.pump import Tape
from advisor.reports.json import decode, encode
from advisor.reports.markdown import render_markdown
from advisor.reports.text import render_text
from advisor.store import Store
from advisor.telemetry.recording import Recorder, ReplayFeed, read_recording
from advisor.telemetry.records import DeviceInfo, Frame, Hello, Message
from probes.ceilings import Ceilings
from probes.specs import assumed_ceilings, find_spec
from tests.advisor.cli.feeds import CannedFeed
from tests.advisor.streams import GIB, T0, device, frames, hello, sample
from tests.factories import make_ceilings, make_measured
from tests.probes import reports

replace = msgspec.structs.replace
DRIVER = reports.VERSIONS["driver"]
CARD = device(0)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store in which GPU 0 was probed an hour ago."""
    made = Store(tmp_path / "ceilings")
    made.add(reports.full(device=reports.facts(key=CARD.key), t_s=time.time() - 3600.0))
    return made


def fed(store: Store, header: Hello, *messages: Message) -> tuple[Hello, list[Message], list[str]]:
    """What a live feed over this store gives: header, messages, warnings."""
    warnings: list[str] = []
    feed = CeilingsFeed(CannedFeed(header, [list(messages)]), store, warnings.append)
    return feed.start(), feed.poll(0.0), warnings


def diagnosed(header: Hello, *messages: Message) -> Diagnosis:
    monitor = Monitor(MonitorOptions(price_flag=4.0, env={}))
    for message in (header, *messages):
        monitor.feed(message)
    return monitor.diagnosis()


def said(d: Diagnosis) -> dict[str, str]:
    return {flag.code: flag.message for flag in d.flags}


def carried(ceilings: Ceilings, **more: Any) -> Hello:
    return hello(CARD, ceilings={CARD.key: ceilings}, **more)


# --- from the store into the stream -------------------------------------------------------------


def test_a_live_header_carries_what_was_measured_on_these_very_cards(store: Store) -> None:
    header, _, warnings = fed(store, hello(CARD, device(1), driver_version=DRIVER))
    assert set(header.ceilings) == {CARD.key}
    found = header.ceilings[CARD.key]
    assert (found.label, found.stale) == ("measured", None)
    assert warnings == []


def test_another_driver_makes_them_stale(store: Store) -> None:
    header, _, _ = fed(store, hello(CARD, driver_version="999.0"))
    assert "999.0" in (header.ceilings[CARD.key].stale or "")


def test_a_hot_change_brings_the_new_devices_ceilings(store: Store) -> None:
    plain, change = Frame(seq=1, t_s=T0), Frame(seq=2, t_s=T0 + 1, devices=(device(1), CARD))
    _, messages, _ = fed(store, hello(device(1), driver_version=DRIVER), plain, change)
    assert messages[0] is plain
    assert isinstance(messages[1], Frame)
    assert set(messages[1].ceilings) == {CARD.key}


def test_an_instance_has_its_own_ceilings_and_never_its_gpus(store: Store) -> None:
    whole = device(0, mig_enabled=True)
    part = device(0, key="MIG-1", uuid="MIG-1", parent_key=whole.key, mig_profile="1g.10gb", slice_frac=0.12)
    facts = reports.facts(key="MIG-1", mig_profile="1g.10gb", slice_frac=0.12)
    header, _, _ = fed(store, hello(whole, part, driver_version=DRIVER))
    assert "MIG-1" not in header.ceilings
    store.add(reports.full(0.12, device=facts, t_s=time.time()))
    header, _, _ = fed(store, hello(whole, part, driver_version=DRIVER))
    assert header.ceilings["MIG-1"].stale is None


def test_a_damaged_store_is_a_warning(store: Store) -> None:
    store.path(CARD.key).write_bytes(b"\xff not a report\n")
    header, _, warnings = fed(store, hello(CARD))
    assert header.ceilings == {}
    (warning,) = warnings
    assert "cannot be read" in warning


def test_a_store_that_breaks_is_a_warning_and_no_failure(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("no good")

    monkeypatch.setattr("advisor.store.stored_ceilings", broken)
    assert measured((CARD,), DRIVER, store) == ({}, ("RuntimeError: no good",))
    header, _, warnings = fed(store, hello(CARD))
    assert (header.devices, len(warnings)) == ((CARD,), 1)


def test_an_empty_store_changes_nothing(tmp_path: Path) -> None:
    header = hello(CARD)
    assert fed(Store(tmp_path / "none"), header)[0] is header


# --- recordings ---------------------------------------------------------------------------------


def test_a_replay_elsewhere_reaches_the_same_verdict(store: Store, tmp_path: Path) -> None:
    """0.53 of a counter that reads 0.85 at the ceiling is past 0.6 of the roof; of 0.92 it is not."""
    work = list(frames({"dram_active": 0.53}, 20))
    low = replace(reports.full(device=reports.facts(key=CARD.key)), t_s=time.time())
    copies = tuple(
        replace(m, counters_at_ceiling={"dram_active": 0.85}) if m.probe == "bandwidth" else m
        for m in low.measurements
    )
    store.add(replace(low, measurements=copies, t_s=time.time() + 1.0))
    header, _, _ = fed(store, hello(CARD, driver_version=DRIVER))
    live = diagnosed(header, *work)
    with Recorder(tmp_path / "x.jsonl.gz") as recorder:
        for message in (header, *work):
            recorder.write(message)
    feed = ReplayFeed(tmp_path / "x.jsonl.gz", speed=0)
    again = diagnosed(feed.start(), *(m for m in feed.poll(0.0) if isinstance(m, Frame)))
    assert again.verdicts == live.verdicts
    assert again.verdicts[0].class_ == "memory"
    assumed = diagnosed(hello(CARD), *work).verdicts[0]
    assert assumed.class_ == "unknown" and "latency-bound or memory-bound" in assumed.unknown_because[0]


def test_a_recording_without_ceilings_is_still_read(tmp_path: Path) -> None:
    line = msgspec.to_builtins(hello(CARD))
    del line["ceilings"]
    path = tmp_path / "old.jsonl"
    path.write_bytes(msgspec.json.encode({"type": "hello", **line}) + b"\n")
    assert read_recording(path).hello == hello(CARD)


def test_a_recording_that_begins_later_starts_with_the_ceilings_of_that_time() -> None:
    kept: list[Message] = []

    class Sink:
        def write(self, message: Message) -> None:
            kept.append(message)

        def close(self) -> None:
            pass

    tape = Tape(carried(make_measured()))
    tape.take(Frame(seq=1, t_s=T0, devices=(CARD, device(1)), ceilings={device(1).key: make_measured()}))
    tape.begin(Sink())
    assert isinstance(kept[0], Hello)
    assert set(kept[0].ceilings) == {CARD.key, device(1).key}


def test_seeking_past_a_hot_change_keeps_its_ceilings(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    change = Frame(seq=1, t_s=T0 + 1, devices=(CARD,), ceilings={CARD.key: make_measured()})
    with Recorder(path) as recorder:
        for message in (hello(device(1)), change, *frames({}, 5, CARD, start=2)):
            recorder.write(message)
    feed = ReplayFeed(path, speed=0, seek_s=3.0)
    feed.start()
    first = feed.poll(0.0)[0]
    assert isinstance(first, Frame)
    assert first.ceilings == change.ceilings


# --- in the monitor -----------------------------------------------------------------------------


def test_a_hot_added_device_is_judged_by_its_own_ceilings() -> None:
    new = device(1)
    monitor = Monitor(MonitorOptions(env={}))
    monitor.feed(hello(CARD))
    live = (sample(new, T0 + 1, {}),)
    monitor.feed(
        Frame(seq=1, t_s=T0 + 1, samples=live, devices=(CARD, new), ceilings={new.key: make_measured()})
    )
    views = {view.info.index: view for view in monitor.snapshot().devices}
    assert views[0].ceilings_label == "assumed"
    assert views[1].ceilings == make_measured()
    assert views[1].counters_at_ceiling == {"dram_active": 0.92, "tensor_active": 0.80}


def test_the_document_says_when_and_whether_they_still_hold() -> None:
    work = list(frames({"dram_active": 0.8}, 10))
    row = diagnosed(carried(make_measured()), *work).provenance.devices[0]
    assert (row.ceilings_label, row.ceilings_stale) == ("measured", None)
    assert row.ceilings_measured is not None and row.ceilings_measured.endswith("+00:00")
    d = diagnosed(carried(make_measured(stale="measured under driver 1, now it is 2")), *work)
    assert d.provenance.devices[0].ceilings_stale == "measured under driver 1, now it is 2"
    assert "measured under driver 1" in said(d)["ceilings-stale"]
    assert "`advisor probe --device 0`" in said(d)["ceilings-stale"]
    for text in (render_text(d, 200, False), render_markdown(d), render_markdown(d, "jira")):
        assert "stale: measured under driver 1" in " ".join(text.split())
    assert decode(encode(d)) == d


def test_flags_of_assumed_and_partly_measured_ceilings() -> None:
    work = list(frames({}, 10))
    assert set(said(diagnosed(carried(make_measured()), *work))) == set()
    assert "ceilings are assumed" in said(diagnosed(hello(CARD), *work))["assumed-ceilings"]
    partly = make_ceilings(measured_s=T0)
    assert "some ceilings are assumed" in said(diagnosed(carried(partly), *work))["assumed-ceilings"]
    assert "advisor probe" in said(diagnosed(hello(device(name="NVIDIA Odd 1")), *work))["no-ceiling"]


def test_live_work_beyond_the_probe_is_flagged_and_clipped() -> None:
    d = diagnosed(carried(make_measured()), *frames({"dram_active": 1.0}, 10))
    assert "dram_active at 1.09" in said(d)["ceiling-exceeded"]
    assert d.verdicts[0].dram_roof_frac == 1.0
    near = diagnosed(carried(make_measured()), *frames({"dram_active": 0.94}, 10))
    assert "ceiling-exceeded" not in said(near)


def test_a_time_that_no_calendar_holds_is_no_crash() -> None:
    d = diagnosed(carried(make_measured(measured_s=1e300)), *frames({}, 10))
    assert d.provenance.devices[0].ceilings_measured is None


# --- assumed ones -------------------------------------------------------------------------------


def part_of(**more: Any) -> tuple[DeviceInfo, DeviceInfo]:
    whole = device(0, mig_enabled=True)
    return whole, device(
        0, key="MIG-1", uuid="MIG-1", parent_key=whole.key, memory_total_bytes=10 * GIB, **more
    )


def test_an_instance_has_its_share_of_the_rates_and_reads_like_the_whole() -> None:
    whole, part = part_of(mig_profile="1g.10gb", slice_frac=0.125)
    full, found = ceilings_for(whole), ceilings_for(part, whole)
    assert full is not None and found is not None
    for metric, frac in (("dram", 0.125), ("bf16", 0.125), ("pcie", 1.0)):
        small, large = found.ceiling(metric), full.ceiling(metric)
        assert small is not None and large is not None
        assert small.value == pytest.approx(frac * large.value)
    assert found.readings == full.readings
    assert (found.sm_mhz, found.power_w) == (full.sm_mhz, full.power_w)


@pytest.mark.parametrize(("profile", "frac"), [("2g.20gb", 2 / 7), ("odd", None)])
def test_a_slice_of_unstated_size_goes_by_its_profile_or_has_no_rates(
    profile: str, frac: float | None
) -> None:
    whole, part = part_of(mig_profile=profile)
    full, found = ceilings_for(whole), ceilings_for(part, whole)
    assert full is not None and found is not None
    dram, all_of_it = found.ceiling("dram"), full.ceiling("dram")
    assert all_of_it is not None
    assert (dram and dram.value / all_of_it.value) == (frac and pytest.approx(frac))
    assert found.ceiling("nvlink") == full.ceiling("nvlink")
    assert found.readings == full.readings


def test_a_whole_gpu_is_its_data_sheet() -> None:
    spec = find_spec(CARD.name, CARD.memory_total_bytes, CARD.compute_capability, CARD.power_limit_max_w)
    assert spec is not None
    assert ceilings_for(CARD) == assumed_ceilings(spec)
    assert ceilings_for(device(name="NVIDIA Odd 1")) is None


# --- in words -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("age_s", "text"),
    [(0, "just now"), (-50, "just now"), (150, "2 min ago"), (7300, "2 h ago"), (2.2 * 86400, "2 d ago")],
)
def test_ages(age_s: float, text: str) -> None:
    assert age_words(make_measured(measured_s=T0 - age_s), T0) == text


def test_what_was_never_measured_has_no_age() -> None:
    assert age_words(make_ceilings(), T0) == ""


def test_one_word_for_all_ceilings_of_a_device() -> None:
    kinds = (
        None,
        make_ceilings(),
        make_measured(),
        make_measured(stale="x"),
        make_ceilings(measured_s=T0),
        make_ceilings(stale="a label without a measurement"),
    )
    words = ["unknown", "assumed", "measured", "stale", "partly measured", "assumed"]
    assert [how_known(ceilings) for ceilings in kinds] == words
