"""From pages to quantities: every engine's names, several engines on one page, and lines that are wrong."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.serving.engines import ENGINES
from advisor.serving.exposition import MAX_LINES, MAX_SAMPLES, ExpositionError, parse
from advisor.serving.reading import UnknownEngineError, read_page
from rules.engine_reading import COUNTERS, GAUGES, HISTOGRAMS, Reading
from rules.serving import ServingFigures
from rules.serving_figures import EngineFacts, figures
from tests.advisor.serving import pages


def only(text: str, t_s: float = 0.0) -> Reading:
    (reading,) = read_page(text, t_s).readings
    return reading


def between(before: str, after: str, seconds: float = 10.0) -> ServingFigures:
    """The figures of two pages of one model."""
    return figures(EngineFacts(endpoint="h:1", engine="x"), [only(before), only(after, seconds)])


@pytest.mark.parametrize("engine", sorted(pages.EXPECTED))
def test_every_engine_means_the_same_by_its_own_names(engine: str) -> None:
    made = between(pages.PAGES[engine](1), pages.PAGES[engine](2))
    said = {name: getattr(made, name) for name in pages.EXPECTED[engine]}
    assert said == pytest.approx(pages.EXPECTED[engine])


def test_tables_name_quantities_that_exist() -> None:
    for engine in ENGINES:
        assert set(engine.counters) <= set(COUNTERS)
        assert set(engine.gauges) <= set(GAUGES)
        assert set(engine.histograms) <= set(HISTOGRAMS)
        sources = [
            s
            for table in (engine.counters, engine.gauges, engine.histograms)
            for v in table.values()
            for s in v
        ]
        assert all(source.name.startswith(engine.marks) for source in sources)


def test_vllm_of_both_engines() -> None:
    new = between(pages.vllm_v1(1), pages.vllm_v1(2))
    assert (new.running, new.waiting, new.waiting_capacity) == (12.0, 3.0, 2.0)
    assert (new.kv_use_frac, new.preemptions_s) == (0.62, 0.2)
    assert new.good_response_frac == pytest.approx(0.9)
    assert new.step_tokens == pytest.approx(13.0)
    assert new.prefill_time_frac == pytest.approx(0.05)
    assert new.prefix_hit_frac == pytest.approx(0.25)
    old = between(pages.vllm_v0(1), pages.vllm_v0(3))
    assert (old.prompt_tok_s, old.generation_tok_s, old.kv_use_frac) == (100.0, 140.0, 0.25)
    assert old.itl_p50_s == pytest.approx(0.01)


def test_counters_without_total_and_names_behind_ray_are_the_same() -> None:
    plain = pages.vllm_v1(1).replace("_tokens_total{", "_tokens{")
    assert only(plain).counters["generation_tokens"] == only(pages.vllm_v1(1)).counters["generation_tokens"]
    ray = pages.vllm_v1(1).replace("vllm:", "ray_vllm_")
    assert only(ray).counters == only(pages.vllm_v1(1)).counters


def test_sglang_ranks_that_repeat_each_other_count_once() -> None:
    made = between(pages.sglang(1), pages.sglang(2))
    assert (made.running, made.kv_use_frac) == (6.0, 0.4)
    assert made.graphs_frac == pytest.approx(0.6)
    assert made.preemptions_s == pytest.approx(0.3)
    assert made.good_response_frac == pytest.approx(0.9)


def test_engines_of_one_model_are_added_and_models_stand_apart() -> None:
    two = pages.vllm_v1(1, engine="0") + pages.vllm_v1(1, engine="1")
    later = pages.vllm_v1(2, engine="0") + pages.vllm_v1(3, engine="1")
    made = between(two, later)
    assert (made.running, made.generation_tok_s, made.kv_use_frac) == (24.0, 2700.0, 0.62)
    apart = read_page(pages.vllm_v1(1, model="a") + pages.vllm_v1(1, model="b"), 0.0).readings
    assert [reading.model for reading in apart] == ["a", "b"]


def test_triton_counts_a_request_once_a_model_and_has_no_tokens() -> None:
    before, after = (read_page(pages.triton(n), 10.0 * n) for n in (1, 2))
    assert [r.model for r in before.readings] == ["ensemble", "tensorrt_llm"]
    model = [page.readings[1] for page in (before, after)]
    made = figures(EngineFacts(endpoint="h:8002", engine="triton", absent=before.engine.absent), model)
    assert (made.running, made.waiting, made.kv_use_frac, made.response_s) == (7.0, 2.0, 0.75, 2.0)
    assert made.generation_tok_s is None
    assert "no count of tokens" in made.missing["generation_tok_s"]


def test_llamacpp_lifetime_mean_is_rebuilt_over_the_window() -> None:
    assert between(pages.llamacpp(1), pages.llamacpp(2)).batch_requests == pytest.approx(3.0)


def test_a_dynamo_worker_is_read_as_its_engine() -> None:
    worker = "dynamo_component_requests_total 5\n" + pages.vllm_v1(1)
    assert read_page(worker, 0.0).engine.name == "vllm"


def test_a_bad_line_loses_only_itself() -> None:
    good = pages.vllm_v1(1).splitlines()
    bad = [
        'vllm:prompt_tokens_total{engine="0" 1.0',
        "vllm:prompt_tokens_total{} notanumber",
        'vllm:prompt_tokens_total{engine="0",engine="1"} 3',
        "vllm:prompt_tokens_total",
        "vllm:num_requests_running{a=b} 3",
        "}{",
        'vllm:generation_tokens_total{x="' + "y" * 20_000 + '"} 1',
    ]
    reading = only("\n".join([*bad, *good, *bad]))
    assert reading.damaged == 2 * len(bad)
    assert reading.counters == only(pages.vllm_v1(1)).counters


@pytest.mark.parametrize("value", ["NaN", "+Inf", "-Inf", "-5", "1" * 5000, "1e400"])
def test_values_that_make_no_sense_are_left_out(value: str) -> None:
    reading = only(f"vllm:num_requests_running {value}\nvllm:num_requests_waiting 2\n")
    assert reading.gauges == {"waiting": {"": 2.0}}


def test_hostile_labels_stay_text() -> None:
    name = 'm\\"} 5\\nvllm:num_requests_running 99 \u2028\x1b[31m'
    reading = only(f'vllm:num_requests_running{{model_name="{name}"}} 7\n')
    assert sum(reading.gauges["running"].values()) == 7.0
    assert reading.model is not None and reading.model.startswith('m"} 5')


def test_openmetrics_with_exemplars_and_timestamps() -> None:
    text = (
        "# TYPE vllm:prompt_tokens counter\n"
        'vllm:prompt_tokens_total{engine="0"} 17.0 1520879607.789 # {trace_id="a b"} 0.67 1520879607.7\n'
        'vllm:time_to_first_token_seconds_bucket{le="0.1"} 8 # {trace_id="KOO5S4vxi0o"} 0.67\n'
        'vllm:time_to_first_token_seconds_bucket{le="+Inf"} 9\n# EOF\n'
    )
    reading = only(text)
    assert sum(reading.counters["prompt_tokens"].values()) == 17.0
    assert reading.histograms["ttft"][""].counts == (8.0, 9.0)


@pytest.mark.parametrize(
    "rows",
    [
        ['{le="0.1"} 5', '{le="+Inf"} 3'],
        ['{le="0.1"} 5'],
        ['{le="x"} 5', '{le="0.1"} 2'],
        [f'{{le="{i}"}} {i}' for i in range(300)] + ['{le="+Inf"} 300'],
    ],
)
def test_histograms_that_make_no_sense_are_left_out(rows: list[str]) -> None:
    text = "".join(f"vllm:time_to_first_token_seconds_bucket{row}\n" for row in rows)
    assert only(text + "vllm:num_requests_running 1\n").histograms == {}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("".join(f'vllm:num_requests_running{{a="{i}"}} 1\n' for i in range(MAX_SAMPLES + 1)), "samples"),
        ("x 1\n" * (MAX_LINES + 1), "lines"),
    ],
    ids=("samples", "lines"),
)
def test_a_page_of_far_too_much_is_refused(text: str, why: str) -> None:
    with pytest.raises(ExpositionError, match=rf"more than \d+ ({why})"):
        parse(text, lambda _: True, deadline_s=60.0)


def test_a_page_that_takes_too_long_is_given_up() -> None:
    with pytest.raises(ExpositionError, match="takes longer"):
        parse(pages.vllm_v1(1), lambda _: True, deadline_s=-1.0)


def test_samples_that_no_table_reads_cost_nothing() -> None:
    """A page of many ranks has far more samples than are read of it."""
    more = "".join(f'vllm:request_max_num_generation_tokens_bucket{{le="{i}"}} 1\n' for i in range(20_000))
    assert only(more + pages.vllm_v1(1)) == only(pages.vllm_v1(1))


def test_a_timestamp_beyond_all_bounds_loses_its_line_alone() -> None:
    reading = only("vllm:num_requests_running 5 " + "9" * 400 + "\n" + "vllm:num_requests_waiting 2\n")
    assert reading.gauges == {"waiting": {"": 2.0}}


def test_whatever_the_parser_raises_the_line_is_damaged(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(line: str) -> list[object]:
        raise RuntimeError(line)

    monkeypatch.setattr("advisor.serving.exposition.text_string_to_metric_families", broken)
    parsed = parse("vllm:num_requests_running 5", lambda _: True)
    assert (parsed.points, parsed.damaged) == ({}, 1)


def test_a_process_that_began_anew_is_told_by_its_start() -> None:
    assert only("process_start_time_seconds 5.5\n" + pages.vllm_v0()).started == "5.500"
    assert read_page(pages.llamacpp(), 0.0, "353").readings[0].started == "353"


names = st.sampled_from(
    ["vllm:prompt_tokens_total", "sglang:token_usage", "llamacpp:n_decode_total", "up", "tgi_queue_size"]
)
labels = st.text(max_size=12).map(lambda t: t.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n"))
digits = st.builds("{}{}".format, st.sampled_from(["", "-", "+", "0x", "1e", "."]), st.just("9" * 400))
values = st.floats().map(repr) | st.text(max_size=6) | st.integers().map(str) | digits
# What the format is made of, in any order.
alphabet = st.sampled_from(
    [
        *'{}=,"\\# \t',
        "le",
        "+Inf",
        "NaN",
        "_bucket",
        "1",
        "9" * 400,
        "# EOF",
        "# TYPE",
        "a=",
        "\x00",
        "\u2028",
    ]
)
lines = (
    st.builds('{}{{a="{}"}} {}'.format, names, labels, values)
    | st.builds("{} {} {}".format, names, values, values)
    | st.builds("{}{}".format, names, st.lists(alphabet, max_size=14).map("".join))
    | st.text(max_size=30)
)


@settings(max_examples=300, deadline=None)
@given(st.lists(lines, max_size=12))
def test_whatever_a_page_holds_it_is_read_or_refused(found: list[str]) -> None:
    try:
        page = read_page("\n".join(found), 1.0)
    except (ExpositionError, UnknownEngineError):
        return
    for reading in page.readings:
        counted = [v for series in reading.counters.values() for v in series.values()]
        assert all(math.isfinite(v) and v >= 0.0 for v in counted)


@settings(max_examples=100, deadline=None)
@given(labels, st.floats(allow_nan=False, allow_infinity=False), st.lists(st.text(max_size=20), max_size=4))
def test_a_good_line_is_read_among_any_others(label: str, value: float, others: list[str]) -> None:
    good = f'vllm:num_requests_running{{a="{label}"}} {value!r}'
    noise = [line.replace("\n", " ") for line in others if "vllm" not in line]
    noise = [line for line in noise if not line.lstrip("\ufeff \t\r").startswith(("<", "{", "["))]
    parsed = parse("\n".join(["x 1", *noise, good]), lambda name: name.startswith("vllm:"))
    assert [p.value for p in parsed.points["vllm:num_requests_running"]] == [value]
