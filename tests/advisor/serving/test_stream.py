"""Engines in the stream: into a diagnosis with its devices' price, a recording and back, a report."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from advisor.config import Config
from advisor.document import Diagnosis
from advisor.monitor import Monitor, MonitorOptions
from advisor.reports.markdown import render_markdown
from advisor.reports.redact import redact_diagnosis, redact_message
from advisor.reports.text import render_text
from advisor.serving.money import power_w
from advisor.serving.reading import read_page
from advisor.serving.tracks import PLACES, PROBLEM_HOLDS_S, READINGS, EngineTracks
from advisor.telemetry.recorder import Recorder
from advisor.telemetry.recording_reader import read_recording
from advisor.telemetry.records import EngineLook, Frame, Message, Sample
from advisor.tui.engines import engine_rows
from advisor.tui.glyphs import UNICODE
from rules.engine_reading import Reading
from tests.advisor.serving import pages
from tests.advisor.streams import T0, device, frames, hello

KEY = device().key
DECODE = {"dram_active": 0.8, "tensor_active": 0.05}


def look(t_s: float, text: str, *keys: str) -> EngineLook:
    page = read_page(text, t_s)
    return EngineLook(
        t_s=t_s, endpoint="127.0.0.1:8000", engine=page.engine.name, keys=keys, readings=page.readings
    )


def stream(*keys: str) -> Iterator[Message]:
    """Twenty seconds of decoding, in which an engine is asked every five."""
    yield hello()
    for message in frames(DECODE, 20):
        yield message
        if isinstance(message, Frame) and message.seq % 5 == 0:
            yield look(message.t_s, pages.vllm_v1(message.seq / 10), *keys)


def seen(messages: Iterator[Message], **config: object) -> Diagnosis:
    monitor = Monitor(
        MonitorOptions(config=Config(**config), env={}, price_flag=3.6, source="replay")  # type: ignore[arg-type]
    )
    for message in messages:
        monitor.feed(message)
    return monitor.diagnosis()


def test_an_engines_tokens_have_the_price_and_energy_of_its_devices() -> None:
    made = seen(stream(KEY), slo="ttft=100ms")
    (figures,) = made.serving
    assert (figures.keys, figures.scrapes) == ((KEY,), 4)
    assert figures.generation_tok_s == pytest.approx(900.0)
    assert figures.usd_h == 3.6
    assert figures.usd_per_mtok == pytest.approx(1e6 / (3600 * 1200 / 3.6))
    assert figures.power_w == pytest.approx(500.0)
    assert figures.tok_j == pytest.approx(1200.0 / 500.0)
    assert figures.slo_met_frac == pytest.approx(0.6)
    (row,) = made.observed
    assert row.evidence.serving is not None
    assert row.evidence.serving.running == 12.0


def test_an_engine_whose_devices_are_unknown_has_no_price() -> None:
    (figures,) = seen(stream()).serving
    assert figures.usd_h is None
    assert "--price" in figures.missing["usd_per_mtok"]


def test_rules_read_the_engine_of_their_device() -> None:
    codes = {f.code for f in seen(stream(KEY), slo="ttft=100ms").findings}
    assert "SERVE006" in codes
    assert not {f.code for f in seen(stream(), slo="ttft=100ms").findings} & {"SERVE006"}


def test_a_recording_gives_the_same_figures(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    with Recorder(path) as recorder:
        for message in stream(KEY):
            recorder.write(message)
    with read_recording(path) as reader:
        again = seen(iter([reader.hello, *reader]))
    assert again.serving == seen(stream(KEY)).serving


def test_models_that_share_devices_share_no_price() -> None:
    def both() -> Iterator[Message]:
        yield hello()
        for message in frames(DECODE, 20):
            yield message
            if isinstance(message, Frame) and message.seq % 5 == 0:
                text = pages.vllm_v1(message.seq, model="a") + pages.vllm_v1(message.seq, model="b")
                yield look(message.t_s, text, KEY)

    made = seen(both()).serving
    assert [one.model for one in made] == ["a", "b"]
    assert all(one.usd_h is None and "several models" in one.missing["usd_per_mtok"] for one in made)


def test_reports_and_screens_show_engines_and_nothing_of_theirs_drives_them() -> None:
    made = seen(stream(KEY), slo="ttft=100ms,itl=30ms")
    hostile = "evil\x1b[2J|`*[x](http://h)\n# head"
    (figures,) = made.serving
    shown = msgspec.structs.replace(made, serving=(msgspec.structs.replace(figures, model=hostile),))
    text = render_text(shown, 80, color=False)
    assert "vLLM at 127.0.0.1:8000" in text and "\x1b" not in text
    assert "ttft=100ms,itl=30ms: met by" in text
    assert all(len(line) <= 80 for line in text.splitlines())
    markdown = render_markdown(shown)
    assert "### Serving" in markdown and "\n# head" not in markdown and "[x](http" not in markdown
    rows = engine_rows(shown.serving, 80, UNICODE)
    assert "12.0 running, 3.0 waiting" in "".join(span.text for row in rows for span in row)


def test_a_model_by_its_path_leaves_the_node_without_the_home() -> None:
    text = pages.vllm_v1(1, model="/home/alice/models/llama")
    message = redact_message(look(T0, text))
    assert isinstance(message, EngineLook)
    assert message.readings[0].model is not None and "alice" not in message.readings[0].model
    two = iter([hello(), *frames(DECODE, 2), look(T0 + 1, text), look(T0 + 2, text)])
    assert "alice" not in (redact_diagnosis(seen(two)).serving[0].model or "")


def test_a_window_forgets_all_but_the_reading_it_counts_from() -> None:
    tracks = EngineTracks()
    for second in range(10):
        tracks.add(look(float(second), pages.vllm_v1(second)))
    tracks.forget(6.5)
    (made,) = tracks.figures()
    assert (made.scrapes, made.t_start_s) == (4, 6.0)
    tracks.forget(100.0)
    assert tracks.figures() == () and not tracks


def test_a_long_run_keeps_its_growth_in_bounded_memory() -> None:
    tracks = EngineTracks()
    for second in range(3 * READINGS):
        counters = {"generation_tokens": {"": 10.0 * second}}
        reading = Reading(t_s=float(second), counters=counters)
        tracks.add(EngineLook(t_s=float(second), endpoint="h:1", engine="vllm", readings=(reading,)))
    (made,) = tracks.figures()
    assert made.scrapes <= READINGS
    assert made.generation_tok_s == pytest.approx(10.0)


def test_models_and_series_that_are_invented_anew_fill_no_memory() -> None:
    tracks = EngineTracks()
    for second in range(100):
        counters = {"generation_tokens": {f"{second}-{i}": 1.0 for i in range(50)}}
        reading = Reading(t_s=float(second), model=f"m{second % 90}", counters=counters)
        tracks.add(EngineLook(t_s=float(second), endpoint="h:1", engine="vllm", readings=(reading,)))
    assert len(tracks.figures()) == PLACES


def test_readings_are_bounded_by_the_numbers_they_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("advisor.serving.tracks.NUMBERS", 1000)
    tracks = EngineTracks()
    for second in range(200):
        for port, series in ((1, 1), (2, 50)):
            counters = {"generation_tokens": {f"{i}": 10.0 * second for i in range(series)}}
            reading = Reading(t_s=float(second), counters=counters)
            tracks.add(EngineLook(t_s=reading.t_s, endpoint=f"h:{port}", engine="vllm", readings=(reading,)))
    small, large = tracks.figures()
    assert small.scrapes == 200 and 2 <= large.scrapes <= 1000 / 50
    assert (small.generation_tok_s, large.generation_tok_s) == pytest.approx((10.0, 500.0))
    assert (large.t_start_s, large.t_end_s) == (0.0, 199.0)


def test_a_clock_that_is_set_back_starts_over() -> None:
    tracks = EngineTracks()
    for t_s in (4000.0, 4005.0, 400.0, 405.0):
        tracks.add(look(t_s, pages.vllm_v1(t_s)))
    (made,) = tracks.figures()
    assert (made.t_start_s, made.t_end_s, made.scrapes) == (400.0, 405.0, 2)


def test_a_look_that_comes_a_little_late_is_left_out_alone() -> None:
    tracks = EngineTracks()
    for t_s in (1.0, 2.0, 1.9, 3.0):
        tracks.add(look(t_s, pages.vllm_v1(t_s)))
    assert tracks.figures()[0].scrapes == 3


@pytest.mark.parametrize("step_s", [-3600.0, 3600.0])
def test_no_rate_spans_a_clock_that_was_set(step_s: float) -> None:
    """Frames and looks of ten seconds before, and of ten after; the page grows by 90 tokens a second."""
    monitor = Monitor(MonitorOptions(env={}, source="replay", window_s=60.0))
    monitor.feed(hello())
    for number, message in enumerate([*frames(DECODE, 20)]):
        assert isinstance(message, Frame)
        shift_s = step_s if number >= 10 else 0.0
        samples = tuple(msgspec.structs.replace(s, t_s=s.t_s + shift_s) for s in message.samples)
        monitor.feed(msgspec.structs.replace(message, t_s=message.t_s + shift_s, samples=samples))
        monitor.feed(look(message.t_s + shift_s, pages.vllm_v1(number / 100), KEY))
    (made,) = monitor.diagnosis().serving
    assert made.t_end_s - made.t_start_s == pytest.approx(9.0)
    assert made.generation_tok_s == pytest.approx(90.0)


def test_why_an_endpoint_was_not_read_is_forgotten_with_it() -> None:
    tracks = EngineTracks()
    tracks.add(EngineLook(t_s=0.0, endpoint="h:1", problem="nothing listens there"))
    tracks.forget(PROBLEM_HOLDS_S)
    assert tracks.problems == {"h:1": "nothing listens there"}
    tracks.forget(PROBLEM_HOLDS_S + 1.0)
    assert tracks.problems == {}


def test_another_engine_at_the_same_port_starts_over_and_a_failure_keeps_what_was() -> None:
    tracks = EngineTracks()
    tracks.add(look(0.0, pages.vllm_v1(1)))
    tracks.add(EngineLook(t_s=1.0, endpoint="127.0.0.1:8000", problem="nothing listens there"))
    assert tracks.problems == {"127.0.0.1:8000": "nothing listens there"}
    assert [one.engine for one in tracks.figures()] == ["vllm"]
    tracks.add(look(2.0, pages.llamacpp(1)))
    assert [one.engine for one in tracks.figures()] == ["llama.cpp"]
    assert tracks.problems == {}


@pytest.mark.parametrize(
    ("points", "watts"),
    [
        (((0.0, 0.0), (10.0, 1000.0)), 100.0),
        (((-5.0, 0.0), (5.0, 1000.0), (15.0, 2000.0)), 100.0),
        (((0.0, 500.0), (10.0, 100.0)), None),
        (((0.0, 0.0), (2.0, 200.0)), None),
        (((0.0, 0.0),), None),
    ],
)
def test_power_is_the_energy_counters_growth(
    points: tuple[tuple[float, float], ...], watts: float | None
) -> None:
    samples = [Sample(key=KEY, t_s=t_s, energy_j=energy) for t_s, energy in points]
    assert power_w(samples, 0.0, 10.0) == watts
