"""Diagnoses of traces: real ones give what their sources say, made-up ones the rest."""

from __future__ import annotations

import dataclasses
import importlib
import json
import math
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest

from advisor.bills import statement
from advisor.config import Config
from advisor.document import Diagnosis
from advisor.pricer import Pricer
from advisor.reports.json import encode
from advisor.schema import json_schema
from advisor.traces.analyse import analyse, distinct_names
from advisor.traces.diagnosing import UNKNOWN_GPU, Made, ceilings_of, diagnose_traces
from advisor.traces.read import read
from advisor.traces.timeline import Loss
from advisor.whatifs import with_what_ifs
from rules.finding import TERMS
from rules.traces.records import BUSY, CAUSES
from tests.advisor.traces.diagnosed import CREATED_S, analysed, diagnosed
from tests.advisor.traces.made import Maker, training
from tests.advisor.traces.real import trace

jsonschema: Any = importlib.import_module("jsonschema")
SCHEMA = jsonschema.Draft202012Validator(json_schema("diagnosis"))
REAL = (
    "a100_rank0_of_16.json.gz",
    "h100_bert_small.json.gz",
    "h100_owlv2.json.gz",
    "mi210_gpu_only.json.gz",
    "nsys_2gpu.sqlite",
    "sampled_rank0_of_128.json.gz",
    "v100_resnet50_workers0.json.gz",
    "v100_resnet50_workers4.json.gz",
    "vllm_decode_graph.json.gz",
)


@cache
def of_real(name: str) -> Diagnosis:
    return diagnosed([trace(name)])


@pytest.fixture
def synthetic(tmp_path: Path) -> Diagnosis:
    return diagnosed([training(4).write(tmp_path / "run.json")], price=10.0)


@pytest.mark.parametrize("name", REAL)
def test_every_sum_of_a_real_trace_holds(name: str) -> None:
    document = of_real(name)
    assert document.trace is not None
    for device in document.trace.devices:
        assert tuple(device.causes) == CAUSES
        assert tuple(device.busy) == BUSY
        assert math.fsum(device.causes.values()) == pytest.approx(device.idle_us, abs=1e-3)
        assert math.fsum(device.busy.values()) == pytest.approx(device.busy_us, abs=1e-3)
        assert device.busy_us + device.idle_us == pytest.approx(device.span_us, abs=1e-3)
    for verdict in document.verdicts:
        assert math.fsum(verdict.shares.values()) == pytest.approx(1.0, abs=1e-12)
        assert verdict.tier == "trace"
    assert {f.code[:5] for f in document.findings} <= {"TRACE"}


@pytest.mark.parametrize("name", REAL)
def test_a_diagnosis_of_a_real_trace_is_valid_by_the_schema(name: str) -> None:
    SCHEMA.validate(json.loads(encode(of_real(name))))


def test_no_workers_starve_the_device_by_what_the_source_says() -> None:
    document = of_real("v100_resnet50_workers0.json.gz")
    (verdict,) = document.verdicts
    assert (verdict.class_, verdict.cause) == ("host", "input-pipeline")
    found = document.findings[0]
    assert (found.code, found.role) == ("TRACE001", "primary")
    assert document.trace is not None
    host = document.trace.devices[0].host
    assert host is not None
    assert host.loader_frac == pytest.approx(0.334, abs=0.02)
    assert any("num_workers" in action for action in found.actions)


def test_four_workers_do_not() -> None:
    document = of_real("v100_resnet50_workers4.json.gz")
    assert "TRACE001" not in {f.code for f in document.findings}
    assert document.verdicts[0].cause != "input-pipeline"


def test_launches_are_the_limit_although_no_gap_is_long() -> None:
    document = of_real("h100_bert_small.json.gz")
    (verdict,) = document.verdicts
    assert (verdict.class_, verdict.cause) == ("host", "launch-rate")
    assert document.trace is not None
    assert max(gap.duration_us for gap in document.trace.devices[0].gaps) < 1000.0
    graphs = next(w for w in document.what_ifs if w.fix == "cuda-graphs")
    assert graphs.effect is not None
    assert graphs.effect.low > 1.4
    assert verdict.confidence < 0.9  # recorded with stacks, shapes and memory


@pytest.mark.parametrize(
    ("name", "class_", "cause"),
    [
        ("h100_owlv2.json.gz", "host", "input-pipeline"),
        ("nsys_2gpu.sqlite", "compute", "tensor-cores"),
        ("vllm_decode_graph.json.gz", "memory", "dram-bandwidth"),
    ],
)
def test_what_limits_other_real_traces(name: str, class_: str, cause: str) -> None:
    assert {(v.class_, v.cause) for v in of_real(name).verdicts} == {(class_, cause)}


def test_a_price_by_the_name_in_the_trace() -> None:
    (row,) = of_real("h100_owlv2.json.gz").ladder
    assert row.basis == "bundled"
    assert row.terms is not None
    assert math.fsum(row.terms[t] for t in TERMS) == pytest.approx(row.price_usd_h)


def test_a_device_without_a_name_has_no_price_and_says_why() -> None:
    document = of_real("nsys_2gpu.sqlite")
    assert {v.device_name for v in document.verdicts} == {UNKNOWN_GPU}
    assert {row.price_usd_h for row in document.ladder} == {None}
    assert any("--gpu-model" in flag.message for flag in document.flags if flag.code == "no-price")


def test_a_persons_word_for_the_gpu_prices_it_and_gives_ceilings() -> None:
    document = diagnosed([trace("nsys_2gpu.sqlite")], gpu_model="NVIDIA H100 80GB HBM3")
    assert all(row.price_usd_h for row in document.ladder)
    assert {v.ceilings_label for v in document.verdicts} == {"assumed"}
    assert len({v.gpu for v in document.verdicts}) == 2


def test_provenance_tier_and_flags(synthetic: Diagnosis) -> None:
    assert synthetic.provenance.source == "trace"
    assert synthetic.provenance.created == "2027-01-15T08:00:00+00:00"
    assert {d.tier for d in synthetic.provenance.devices} == {"trace"}
    assert {"no-ceiling", "short-trace"} <= {flag.code for flag in synthetic.flags}
    assert synthetic.bills
    assert statement(synthetic) is not None
    assert [b.name for b in synthetic.bills if b.scope == "job"] == ["trace:run"]


def test_what_is_kept_gives_the_same_what_ifs(synthetic: Diagnosis) -> None:
    assert synthetic.what_ifs
    assert with_what_ifs(synthetic).what_ifs == synthetic.what_ifs
    kept = synthetic.observed[0].evidence.trace
    assert kept is not None
    assert (kept.kernels, kept.gaps) == ((), ())


def test_the_same_files_give_the_same_document(tmp_path: Path) -> None:
    path = training(3).write(tmp_path / "run.json")
    assert encode(diagnosed([path])) == encode(diagnosed([path]))


def test_a_document_survives_being_saved(synthetic: Diagnosis) -> None:
    assert msgspec.json.decode(encode(synthetic), type=Diagnosis) == synthetic


def test_files_of_one_name_are_told_apart(tmp_path: Path) -> None:
    paths = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        paths.append(training(3).write(tmp_path / folder / "run.json"))
    document = diagnosed(paths, price=1.0)
    assert [v.key for v in document.verdicts] == ["trace:run:gpu0", "trace:run-2:gpu0"]
    assert [v.gpu for v in document.verdicts] == [0, 1]
    assert distinct_names(analysed(paths).timelines) == ("run", "run-2")


def test_a_trace_of_the_cpu_alone_says_so(tmp_path: Path) -> None:
    made = Maker()
    made.op("aten::mm", 0.0, 50.0)
    document = diagnosed([made.write(tmp_path / "cpu.json")])
    assert document.verdicts == ()
    assert document.trace is not None
    assert document.trace.cpu_only
    (found,) = document.findings
    assert found.code == "TRACE018"
    assert "cpu.json" in found.claim
    assert any("ProfilerActivity.CUDA" in action for action in found.actions)
    SCHEMA.validate(json.loads(encode(document)))


def test_a_cpu_trace_beside_one_with_a_gpu_keeps_both(tmp_path: Path) -> None:
    made = Maker()
    made.op("aten::mm", 0.0, 50.0)
    paths = [made.write(tmp_path / "cpu.json"), training(3).write(tmp_path / "gpu.json")]
    document = diagnosed(paths)
    assert [v.key for v in document.verdicts] == ["trace:gpu:gpu0"]
    assert "TRACE018" in {f.code for f in document.findings}


def test_copies_from_pageable_memory_are_named(tmp_path: Path) -> None:
    made = Maker()
    for number in range(20):
        at = 1000.0 * number
        made.copy(at + 20.0, 700.0, 1 << 20)
        made.launched("kernel", at + 730.0, at + 750.0, 200.0)
    document = diagnosed([made.write(tmp_path / "copies.json")])
    assert document.verdicts[0].class_ == "host"
    found = next(f for f in document.findings if f.code == "TRACE005")
    assert "pageable" in found.claim
    assert any("pin_memory" in action for action in found.actions)


def test_without_kernels_nothing_is_said_of_idle_time(tmp_path: Path) -> None:
    """Launches are in the file and kernels are not: what looks idle may have been busy."""
    timeline = read(training(8, gap_us=400.0).write(tmp_path / "run.json"))
    loss = Loss("kernels-missing", "kernels cannot be read")
    timeline = dataclasses.replace(timeline, losses=(*timeline.losses, loss))
    made = diagnose_traces(
        analyse([timeline], ceilings_of), Pricer(10.0, {}, Config()).of, Made(created_s=CREATED_S)
    )
    assert made.trace is not None
    (device,) = made.trace.devices
    assert device.causes["unknown"] == pytest.approx(device.idle_us)
    idle = {f"TRACE00{number}" for number in (1, 2, 3, 4, 6, 7)} | {"TRACE014", "TRACE015"}
    assert not idle & {f.code for f in made.findings}
    assert "TRACE023" in {f.code for f in made.findings}


def test_a_cut_file_without_gpu_work_fails_a_gate(tmp_path: Path) -> None:
    made = Maker()
    made.op("aten::mm", 0.0, 50.0)
    made.op("aten::add", 60.0, 50.0)
    path = made.write(tmp_path / "cut.json")
    text = path.read_bytes()
    path.write_bytes(text[: text.rindex(b"aten::add")])
    (found,) = diagnosed([path]).findings
    assert (found.code, found.severity) == ("TRACE018", "high")
    assert "cut or damaged" in found.claim
