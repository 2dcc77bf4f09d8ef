"""What reports say of traces: the same figures in every format, sums that add up, hostile names harmless."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest

from advisor.document import Diagnosis
from advisor.reports.charts.catalogue import charts_of
from advisor.reports.csv import render_csv
from advisor.reports.errors import DocumentError
from advisor.reports.findings import checks
from advisor.reports.html import render_html
from advisor.reports.json import decode, encode
from advisor.reports.markdown import render_markdown
from advisor.reports.redact import redact_diagnosis
from advisor.reports.text import render_text
from advisor.reports.trace_figures import duration, middle_cut, parts, rough, short_name
from rules.traces.records import CAUSES, GapRow, TraceReport
from tests.advisor.reports.nasty import ALL, ESCAPES, OVERRIDE, PIPES, SCRIPT
from tests.advisor.reports.traced import (
    ELEMENTWISE,
    GEMM,
    make_device_trace,
    make_kernel,
    make_ranks,
    make_steps,
    make_trace,
    make_trace_file,
    ranked,
    traced,
)


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120])
def test_text_fits_its_width_and_says_what_counts(width: int) -> None:
    said = render_text(traced(), width, False)
    assert max(len(line) for line in said.splitlines()) <= width
    for figure in ("host launches", "data loading", "300 ms", "60.00 %", "100.00 %", "in all"):
        assert figure in said


def told(diagnosis: Diagnosis, width: int = 120) -> str:
    """The text report with every run of spaces as one, so that sentences are found where they wrap."""
    return " ".join(render_text(diagnosis, width, False).split())


def test_every_format_has_the_same_causes() -> None:
    d = traced()
    for text in (render_text(d, 100, False), render_markdown(d), render_markdown(d, "jira"), render_html(d)):
        for figure in ("300 ms", "120 ms", "60.00 %", "24.00 %", "12.00 %", "memory roof"):
            assert figure in text


def test_a_table_says_how_many_kernels_it_leaves_out_and_lists_more_when_asked() -> None:
    rows = tuple(make_kernel(f"synthetic_kernel_{i}", total_us=1_000.0) for i in range(30))
    d = traced(make_trace(make_device_trace(kernels=rows, kernels_left=5, kernels_left_us=5_000.0)))
    short = render_text(d, 100, False)
    assert "synthetic_kernel_9" in short
    assert "synthetic_kernel_10" not in short
    assert "25 more kernels take 25.0 ms" in short
    long = render_text(d, 100, False, top=30)
    assert "synthetic_kernel_29" in long
    assert "5 more kernels take 5.00 ms." in long
    assert "synthetic_kernel_29" in render_html(d, top=30)
    assert "synthetic\\_kernel\\_29" in render_markdown(d, top=30)


def test_without_traces_nothing_is_said_of_them() -> None:
    d = msgspec.structs.replace(traced(), trace=None)
    assert "What was read" not in render_text(d, 80, False)
    assert "What the traces show" not in render_html(d)


def test_a_device_without_gaps_and_one_without_anything_are_shown() -> None:
    nothing = dict.fromkeys(CAUSES, 0.0)
    full = make_device_trace(
        idle_us=0.0, span_us=500_000.0, idle_frac=0.0, causes=nothing, causes_frac={}, gaps=()
    )
    bare = make_device_trace(
        1, kernels=(), families=(), copies=(), chains=None, gaps=(), steps=None, strip=None, host=None
    )
    d = traced(make_trace(full, bare))
    assert decode(encode(d)) == d
    assert "idle 0 (0.00 %)" in told(d)
    render_markdown(d)
    render_html(d)


def test_what_is_unknown_has_its_reason() -> None:
    for text in (render_text(traced(), 120, False), render_html(traced())):
        assert "unknown, because the trace was made without record_shapes=True" in text


def test_losses_of_a_file_are_told() -> None:
    assert "the file ends within an event (3)" in render_text(ranked(), 120, False)


def test_ranks_that_cannot_be_held_against_each_other_say_why() -> None:
    ranks = msgspec.structs.replace(make_ranks(), refused="rank 0 stands twice", straggler=None)
    d = traced(make_trace(ranks=ranks))
    assert "not held against each other: rank 0 stands twice" in told(d)


def test_many_devices_are_a_line_each_and_the_idlest_are_shown_in_full() -> None:
    devices = tuple(
        make_device_trace(
            i,
            name=None,
            events=i,
            span_us=1_000_000.0 + i,
            idle_us=500_000.0 + i,
            causes={"unknown": 500_000.0 + i},
        )
        for i in range(6)
    )
    said = render_text(traced(make_trace(*devices)), 100, False)
    assert "\nTraced devices\n" in said
    assert [line for line in said.splitlines() if re.fullmatch(r"GPU \d", line)] == ["GPU 4", "GPU 5"]


def test_devices_are_called_as_their_verdicts_call_them() -> None:
    d = traced(make_trace(make_device_trace(0), make_device_trace(1, device=0, rank=7)))
    second = msgspec.structs.replace(d.verdicts[1], gpu=5)
    d = msgspec.structs.replace(d, verdicts=(d.verdicts[0], second))
    assert "GPU 5 (NVIDIA Simulated X100 80GB), rank 7, device 0 there" in told(d)
    assert any(",5,,kernel," in line for line in render_csv(d).splitlines())
    assert any(chart.title.startswith("GPU 5, rank 7") for chart in charts_of(d))


def test_csv_has_every_cause_kernel_and_rank() -> None:
    lines = render_csv(ranked()).splitlines()
    assert sum(",idle cause," in line for line in lines) == 2 * len(CAUSES)
    assert any(",kernel," in line and GEMM in line and ",total_us," in line for line in lines)
    assert any(",rank,1 work_us,450000,us," in line for line in lines)


def test_a_finding_of_a_trace_is_checked_by_tracing_again() -> None:
    d = traced()
    assert checks(d.findings[0], d)[0] == "advisor trace synthetic.pt.trace.json AFTER_THE_FIX"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"busy_us": 400_000.0}, "are not the span"),
        ({"idle_frac": 0.4}, "is not idle time over the span"),
        ({"causes": {"host_launch": 499_999.9}}, "the parts sum to 499999.900 µs, the whole is 500000.000"),
        ({"busy": {"compute": 1.0}}, "`$.trace.devices[0].busy`"),
        ({"causes": {"my_own": 500_000.0}}, "nothing is called 'my_own'"),
        ({"causes": {"host_launch": 600_000.0, "unknown": -100_000.0}}, "is no length of time"),
        ({"span_us": 1e15}, "is no length of time"),
        ({"file": 3}, "there is no file 3"),
    ],
)
def test_times_that_do_not_add_up_are_refused(changes: dict[str, Any], said: str) -> None:
    bad = traced(make_trace(make_device_trace(**changes)))
    with pytest.raises(DocumentError, match="not a valid diagnosis") as error:
        decode(encode(bad))
    assert said in str(error.value)


def test_a_document_is_read_back_as_it_was() -> None:
    assert decode(encode(ranked())) == ranked()


def hostile(name: str) -> Diagnosis:
    """A name at every place that a traced program chooses."""
    steps = msgspec.structs.replace(
        make_steps(), phases={name: 5.0}, outlier_because={"5": name}, source=name
    )
    gap = GapRow(start_us=0.0, duration_us=5.0, causes={"unknown": 5.0}, before=name, after=name, host=name)
    device = make_device_trace(
        name=name,
        steps=steps,
        gaps=(gap,),
        kernels=(make_kernel(name, family=name, precision=name),),
        unknown={name: name},
    )
    file = make_trace_file(name, format=name, facts={name: name}, events={name: 3})
    ranks = msgspec.structs.replace(make_ranks(), straggler_because=name, notes=(name,), work_of=name)
    return traced(TraceReport(files=(file,), devices=(device,), ranks=ranks, notes=(name,)))


@pytest.mark.parametrize("name", ALL, ids=range(len(ALL)))
def test_hostile_names_are_shown_and_not_obeyed(name: str) -> None:
    d = hostile(name)
    said = render_text(d, 80, False)
    assert not set("\x1b\x07\x9b\x00\u202e\u2066\u200b") & set(said)
    assert max(len(line) for line in said.splitlines()) <= 80
    page, ticket = render_html(d), render_markdown(d)
    assert "<script>alert" not in page
    assert "<script>alert" not in re.sub(r"`[^`]+`", "", ticket)
    for line in ticket.splitlines():
        if line.startswith("|"):
            assert line.endswith("|")
    render_csv(redact_diagnosis(d))
    for chart in charts_of(d):
        assert "<script>alert" not in chart.svg()


def test_columns_of_a_ticket_hold_whatever_a_kernel_is_called() -> None:
    for name in (PIPES, SCRIPT, ESCAPES, OVERRIDE):
        rows = [line for line in render_markdown(hostile(name)).splitlines() if line.startswith("| 250 ms ")]
        assert [len(re.findall(r"(?<!\\)\|", row)) for row in rows] == [7]


def test_folders_hosts_and_secrets_of_a_trace_do_not_leave() -> None:
    path = "/home/alice/runs/gpu-node-17_4711.1719412345678.pt.trace.json.gz"
    frame = "/data/projects/secret-model/train.py(123): step"
    gap = GapRow(
        start_us=0.0, duration_us=5.0, causes={"unknown": 5.0}, host=frame, before="key sk-" + "a1B2" * 12
    )
    device = make_device_trace(gaps=(gap,), source=f"{path}, device 0")
    facts = {"host": "gpu-node-17", "traceName": "/data/projects/secret-model/login-3_1.2.pt.trace.json"}
    d = traced(make_trace(device, files=(make_trace_file(path, facts=facts),)))
    d = msgspec.structs.replace(
        d, provenance=msgspec.structs.replace(d.provenance, command=f"advisor trace {path}")
    )
    clean = redact_diagnosis(d)
    left = encode(clean).decode()
    for secret in ("alice", "gpu-node-17", "login-3", "secret-model", "a1B2a1B2", "/runs/gpu"):
        assert secret not in left
    assert "train.py(123): step" in left
    assert "folders of trace files and Python frames removed" in clean.provenance.redacted
    assert redact_diagnosis(clean) == clean
    assert redact_diagnosis(d, keep=True) == d


@pytest.mark.parametrize(
    ("us", "said"),
    [
        (None, "unknown"),
        (0.0, "0"),
        (0.25, "250 ns"),
        (12.34, "12.3 µs"),
        (999.4, "999 µs"),
        (999.6, "1.00 ms"),
        (812_400.0, "812 ms"),
        (2_317_000.0, "2.32 s"),
        (5_400e6, "90.0 min"),
        (float("nan"), "unknown"),
    ],
)
def test_durations(us: float | None, said: str) -> None:
    assert duration(us) == said


def test_percentages_sum_to_what_is_shown() -> None:
    thirds = parts([1.0, 1.0, 1.0], 3.0)
    assert sorted(thirds) == ["33.33 %", "33.33 %", "33.34 %"]
    assert parts([1.0], 0.0) == ["unknown"]
    assert [rough(f) for f in (None, 0.0, 0.0004, 0.047, 0.47)] == [
        "unknown",
        "0.0 %",
        "<0.1 %",
        "4.7 %",
        "47 %",
    ]


def test_kernels_names_keep_what_tells_them_apart() -> None:
    assert short_name(GEMM).startswith("cutlass::Kernel2<cutlass_80_tensorop_bf16")
    assert (
        short_name(ELEMENTWISE)
        == "vectorized_elementwise_kernel<4, CUDAFunctor_add<float>, std::array<char*, 3ul> >"
    )
    assert short_name("ncclDevKernel") == "ncclDevKernel"
    assert short_name("(((") == "((("
    cut = middle_cut("a" * 50 + "b" * 50, 30)
    assert len(cut) == 30
    assert cut.startswith("aaa")
    assert cut.endswith("bbb")


def test_names_of_kernels_below_their_roofs_do_not_lie_over_each_other() -> None:
    rows = tuple(make_kernel(GEMM.replace("nn_align8", f"n{n}_align8")) for n in range(3))
    charts = charts_of(traced(make_trace(make_device_trace(kernels=rows))))
    (chart,) = (c for c in charts if c.name.endswith("kernels"))
    (ax,) = chart.draw().axes
    named: list[Any] = [text for text in ax.texts if "align8" in text.get_text()]
    offsets = [text.xyann[1] for text in named]
    assert len(offsets) == len(set(offsets)) == 3
    gaps = [abs(a - b) for n, a in enumerate(offsets) for b in offsets[n + 1 :]]
    assert min(gaps) >= 7
    assert len({text.get_text() for text in ax.texts}) >= 3


def test_a_chart_of_roofs_says_how_much_it_lacks_and_no_hostile_name() -> None:
    rows = (make_kernel(), make_kernel(SCRIPT, flops=None, busy_frac=0.46))
    charts = charts_of(traced(make_trace(make_device_trace(kernels=rows))))
    (chart,) = (c for c in charts if c.name.endswith("kernels"))
    assert "without 46 % of busy time" in chart.title
    assert "script" not in chart.title
