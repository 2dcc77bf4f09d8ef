"""Two traces compared: planted changes are found, noise is none, what is not alike is said."""

from __future__ import annotations

import random
from pathlib import Path

import jsonschema  # type: ignore[import-untyped]
import msgspec
import pytest

from advisor.reports.trace_compare import render_markdown, render_text
from advisor.reports.trace_compare_view import explanation, headline
from advisor.schema import json_schema
from advisor.traces.analyse import analyse
from advisor.traces.comparing import compare_traces
from advisor.traces.read import read
from rules.finding import Finding
from rules.traces.compared import TraceComparison, TraceFigure, TracePair
from rules.traces.records import DeviceTrace, TraceReport
from tests.advisor.traces.diagnosed import diagnosed
from tests.advisor.traces.made import Maker
from tests.advisor.traces.real import trace
from tests.advisor.traces.stepping import analysed, loop


def _report(folder: Path, made: Maker) -> TraceReport:
    return analysed(folder, made).report


def _pair(folder: Path, a: Maker, b: Maker) -> TracePair:
    found = compare_traces(_report(folder, a), _report(folder, b))
    assert len(found.pairs) == 1
    return found.pairs[0]


def _noisy(mean: float, seed: int, count: int = 12) -> list[float]:
    draw = random.Random(seed)
    return [mean + draw.gauss(0.0, 0.05 * mean) for _ in range(count)]


def _figure(pair: TracePair, group: str, name: str) -> TraceFigure:
    return next(f for f in pair.figures if (f.group, f.name) == (group, name))


def test_a_faster_loader_is_the_gain(tmp_path: Path) -> None:
    pair = _pair(tmp_path, loop(_noisy(2_000.0, 1)), loop(_noisy(200.0, 2)))
    assert pair.per == "step"
    data = _figure(pair, "cause", "data_loading")
    assert data.says == "down"
    assert data.change == pytest.approx(-1_800.0, rel=0.05)
    assert pair.gains == ("data_loading",)
    assert pair.losses == ()
    assert explanation(pair) == ["data loading went from 1.97 ms to 196 µs a step: that is the gain."]
    assert "of 11" not in headline(pair)


def test_changes_sum_to_the_change_of_a_step(tmp_path: Path) -> None:
    pair = _pair(tmp_path, loop(_noisy(900.0, 1)), loop(_noisy(300.0, 2), [130.0] * 12))
    parts = sum(f.change or 0.0 for f in pair.figures if f.group in ("cause", "busy"))
    assert parts == pytest.approx(_figure(pair, "step", "time").change)


def test_the_same_loop_again_is_no_difference(tmp_path: Path) -> None:
    wrong = 0
    for seed in range(20):
        pair = _pair(tmp_path, loop(_noisy(500.0, seed)), loop(_noisy(500.0, 100 + seed)))
        wrong += _figure(pair, "step", "time").says != "no-difference"
    assert wrong <= 4


def test_more_steps_than_are_listed_do_not_bias_a_mean(tmp_path: Path) -> None:
    """Of a long trace the first steps are listed and all odd ones: that does not say how often they are."""
    waits = [100.0 + (2_000.0 if index > 512 and index % 20 == 0 else 0.0) for index in range(1_200)]
    report = _report(tmp_path, loop(waits, kernels=1))
    assert report.devices[0].steps is not None
    assert report.devices[0].steps.rows_left > 0
    again = compare_traces(report, _report(tmp_path, loop(waits[:300], kernels=1))).pairs[0]
    time = _figure(again, "step", "time")
    assert time.a == pytest.approx(report.devices[0].steps.mean_us)
    assert time.b == pytest.approx(220.0, rel=0.01)


def test_documents_without_means_of_all_steps_are_compared_by_what_they_hold(tmp_path: Path) -> None:
    reports = [_report(tmp_path, loop(_noisy(mean, seed))) for mean, seed in ((900.0, 1), (300.0, 2))]
    new = compare_traces(*reports).pairs[0].figures
    old = [msgspec.structs.replace(r, devices=(_without_means(r.devices[0]),)) for r in reports]
    for found, known in zip(compare_traces(*old).pairs[0].figures, new, strict=True):
        assert found.name == known.name
        assert [found.a, found.b] == pytest.approx([known.a, known.b])
        assert found.low == (None if known.low is None else pytest.approx(known.low))


def _without_means(device: DeviceTrace) -> DeviceTrace:
    assert device.steps is not None
    return msgspec.structs.replace(
        device, steps=msgspec.structs.replace(device.steps, means={}, events_mean=None)
    )


def test_a_slower_kernel_is_named_and_others_are_not(tmp_path: Path) -> None:
    made = loop([200.0] * 12)
    for event in made.events:
        if event["name"] == "synthetic_sgemm_3" and event["cat"] == "kernel":
            event["dur"] *= 1.5
    pair = _pair(tmp_path, loop([200.0] * 12), made)
    assert [(one.name, one.state) for one in pair.kernels] == [("synthetic_sgemm_3", "slower")]
    assert pair.kernels[0].change_us == pytest.approx(50.0, rel=0.1)
    assert (pair.kernels[0].call_a_us, pair.kernels[0].call_b_us) == (100.0, 150.0)


def _named(made: Maker, names: list[str]) -> Maker:
    found = [event for event in made.events if event["cat"] == "kernel"]
    for index, event in enumerate(found):
        event["name"] = names[index % len(names)]
    return made


def test_two_programs_are_said_to_be_two_first(tmp_path: Path) -> None:
    gemms = [f"synthetic_sgemm_{n}" for n in range(6)]
    softmax = [f"synthetic_softmax_warp_forward_{n}" for n in range(6)]
    one, other = (loop(_noisy(mean, 1), kernels=6) for mean in (500.0, 300.0))
    pair = _pair(tmp_path, _named(one, gemms), _named(other, softmax))
    assert pair.differences[0].code == "program"
    assert headline(pair).startswith("Two different programs")
    assert explanation(pair) == []
    variant = _pair(tmp_path, one, _named(other, [f"ampere_sgemm_bf16_{n}" for n in range(6)]))
    assert "program" not in {found.code for found in variant.differences}


def test_a_slower_launch_of_fewer_is_not_called_slower_alone(tmp_path: Path) -> None:
    """Each launch takes a quarter longer, but there are two where there were four."""
    before, after = loop([200.0] * 8, kernels=4), loop([200.0] * 8, [125.0] * 8, kernels=2)
    pair = _pair(tmp_path, _named(before, ["synthetic_sgemm"]), _named(after, ["synthetic_sgemm"]))
    assert (pair.kernels[0].state, pair.kernels[0].change_us < 0.0) == ("slower", True)
    comparison = TraceComparison(a="A", b="B", pairs=(pair,))
    assert "slower each, fewer launches: 400 µs -> 250 µs" in render_text(comparison, 100, False)


def test_a_gain_of_which_some_was_lost_again_says_what_remains(tmp_path: Path) -> None:
    pair = _pair(tmp_path, loop(_noisy(2_000.0, 1)), loop(_noisy(200.0, 2), [180.0] * 12))
    gain, loss = explanation(pair)
    change = abs(_figure(pair, "step", "time").change or 0.0)
    assert gain.endswith(f"that is the gain, of which {change / 1000:.2f} ms remain in all.")
    assert loss.endswith("lost again.")
    assert "on average" in headline(pair)


def test_findings_are_those_of_their_own_device(tmp_path: Path) -> None:
    made = loop([200.0] * 6)
    document = diagnosed([made.write(tmp_path / "synthetic.json")])
    assert document.trace is not None
    one = document.trace.devices[0]
    devices = tuple(msgspec.structs.replace(one, device=n, key=f"trace:x:gpu{n}") for n in range(2))
    trace = msgspec.structs.replace(document.trace, devices=devices)
    before, after = (
        msgspec.structs.replace(document, trace=trace, findings=(_finding_on(gpu),)) for gpu in range(2)
    )
    found = compare_traces(before, after)
    assert [(change.state, change.device) for change in found.findings] == [
        ("went", "GPU 0"),
        ("came", "GPU 1"),
    ]
    assert "GPU 1: TRACE001" in render_text(found, 100, False)
    stayed = compare_traces(before, before).findings
    assert [(change.state, change.device) for change in stayed] == [("stayed", "GPU 0")]


def _finding_on(gpu: int) -> Finding:
    return Finding(
        code="TRACE001", title="It waits", severity="high", gpu=gpu, key=f"trace:x:gpu{gpu}",
        claim="GPU waits.", confidence=0.9, share=0.3,
    )  # fmt: skip


def test_a_kernel_of_another_name_in_the_same_place_is_a_variant(tmp_path: Path) -> None:
    pair = _pair(
        tmp_path, loop([200.0] * 6, kernels=1), loop([200.0] * 6, [70.0] * 6, name="ampere_sgemm", kernels=1)
    )
    assert [(one.state, one.name, one.name_b) for one in pair.kernels] == [
        ("renamed", "synthetic_sgemm_0", "ampere_sgemm_0")
    ]


def test_kernels_that_come_and_go(tmp_path: Path) -> None:
    a, b = loop([200.0] * 6), loop([200.0] * 6, kernels=3)
    assert [(one.name, one.state) for one in _pair(tmp_path, a, b).kernels] == [
        ("synthetic_sgemm_3", "vanished")
    ]
    assert [(one.name, one.state) for one in _pair(tmp_path, b, a).kernels] == [
        ("synthetic_sgemm_3", "appeared")
    ]


def test_something_tiny_has_no_percentage(tmp_path: Path) -> None:
    pair = _pair(tmp_path, loop([0.05] * 6, [5_000.0] * 6), loop([0.5] * 6, [5_000.0] * 6))
    assert all(f.relative is None for f in pair.figures if f.group == "cause")


def test_few_steps_have_no_interval_and_it_is_said(tmp_path: Path) -> None:
    pair = _pair(tmp_path, loop([200.0] * 3), loop([900.0] * 3))
    time = _figure(pair, "step", "time")
    assert time.low is None
    assert time.says == "unclear"
    assert [d.code for d in pair.differences] == ["few-steps"]
    assert "no interval" in headline(pair)


def test_other_cards_and_other_steps_are_told(tmp_path: Path) -> None:
    other = loop([200.0] * 6, kernels=10, device_name="Synthetic Other GPU")
    pair = _pair(tmp_path, loop([200.0] * 6), other)
    assert {"model", "work"} <= {d.code for d in pair.differences}


def test_stacks_in_one_alone_are_told(tmp_path: Path) -> None:
    other = loop([200.0] * 6)
    other.python("train.py(1): step", 0.0, 100.0)
    assert "stacks" in {d.code for d in _pair(tmp_path, loop([200.0] * 6), other).differences}


def test_without_steps_the_same_work_is_compared_by_span(tmp_path: Path) -> None:
    pair = _pair(tmp_path, loop([300.0] * 2, mark=False), loop([100.0] * 2, mark=False))
    assert pair.per == "span"
    assert _figure(pair, "step", "time").change == pytest.approx(-200.0)


def test_without_steps_other_work_is_compared_by_parts_of_the_time(tmp_path: Path) -> None:
    pair = _pair(tmp_path, loop([300.0] * 2, mark=False), loop([100.0] * 2, mark=False, kernels=9))
    assert pair.per == "share"
    assert "other amounts of work" in (pair.refused or "")
    assert {f.unit for f in pair.figures} == {"frac"}
    assert pair.kernels == ()
    assert "cannot be told" in headline(pair)


def test_a_trace_without_a_device_is_refused(tmp_path: Path) -> None:
    found = compare_traces(TraceReport(cpu_only=True), _report(tmp_path, loop([100.0])))
    assert found.refused == "nothing ran on a device in A"
    assert "Not comparable" in render_text(found, 80, False)
    assert "Not comparable" in render_markdown(found)


def test_several_devices_are_matched_by_number(tmp_path: Path) -> None:
    made = Maker()
    for device in range(2):
        made.launched("synthetic_sgemm", 0.0, 10.0, 100.0 + device, device=device)
    one = loop([100.0])
    found = compare_traces(_report(tmp_path, made), _report(tmp_path, one))
    assert [(p.a.device, p.b.device, p.matched_by) for p in found.pairs] == [(0, 0, "index")]
    assert [side.device for side in found.only_a] == [1]
    assert "in A alone" in render_text(found, 80, False)


# --- reports --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> TraceComparison:
    folder = tmp_path_factory.mktemp("compared")
    hostile = "evil\x1b[31m|<b>`kernel`</b>\u202e_sgemm"
    a, b = loop(_noisy(2_000.0, 1)), loop(_noisy(200.0, 2), name=hostile)
    return compare_traces(_report(folder, a), _report(folder, b), names=("before\x1b[2J.json", "after|.json"))


@pytest.mark.parametrize("width", [60, 80, 110])
def test_text_keeps_to_its_width_and_shows_no_control_characters(
    compared: TraceComparison, width: int
) -> None:
    text = render_text(compared, width, False)
    assert max(len(line) for line in text.splitlines()) <= width
    assert ("95 % interval" in text) == (width >= 80)
    assert not any(ord(char) < 32 and char != "\n" for char in text)
    assert "\u202e" not in text


def test_text_in_ascii(compared: TraceComparison) -> None:
    assert render_text(compared, 80, False, unicode=False).isascii()


def test_markdown_does_not_let_names_mark_up(compared: TraceComparison) -> None:
    text = render_markdown(compared)
    assert "<b>" not in text
    assert "\x1b" not in text
    assert "that is the gain" in text


def test_json_is_as_its_schema_says(compared: TraceComparison) -> None:
    document = msgspec.json.decode(msgspec.json.encode(compared))
    jsonschema.Draft202012Validator(json_schema("trace-comparison")).validate(document)
    assert msgspec.json.decode(msgspec.json.encode(compared), type=TraceComparison) == compared


# --- real traces ----------------------------------------------------------------------------------


def test_the_real_pair_says_that_data_loading_is_the_gain() -> None:
    """Means of the whole steps; independently, from the raw events: ends of steps lie 175.5 and 132.8 ms
    apart, and the device is idle within DataLoader's calls for 57.4 and less than 1 ms of them."""
    reports = [
        analyse([read(trace(f"v100_resnet50_workers{n}.json.gz"))], lambda *_: None).report for n in (0, 4)
    ]
    pair = compare_traces(reports[0], reports[1]).pairs[0]
    time, data = _figure(pair, "step", "time"), _figure(pair, "cause", "data_loading")
    assert (time.a, time.b) == (175_521.0, 132_847.2)
    assert data.a == pytest.approx(57_400.0, rel=0.03)
    assert (data.b or 0.0) < 1_000.0
    assert pair.gains[0] == "data_loading"
    assert explanation(pair)[0].startswith("data loading went from 5")
    assert pair.differences == ()
