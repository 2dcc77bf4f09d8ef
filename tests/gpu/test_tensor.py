"""GEMMs on a real card: how near they come to what it is sold as, and how well two runs agree."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec

import msgspec
import pytest

from probes.record import Measurement, ProbeReport, ProbeRun
from probes.tensor import START

pytestmark = pytest.mark.gpu

# Of the dense data sheet, on an H100 SXM.
AIMS = {"bf16": 0.80, "fp8_e4m3": 0.70}
# Where fp64 runs at a 64th of fp32, a large product takes too long, and a small one says as much.
RATE_LIMITED = {"fp64"}
# Of the first run's figure.
SPREAD = 0.02


def has_gpu() -> bool:
    asked = "import torch; raise SystemExit(not torch.cuda.is_available())"
    return find_spec("torch") is not None and not subprocess.run([sys.executable, "-c", asked]).returncode


def probed(*more: str) -> ProbeReport:
    command = [sys.executable, "-m", "probes", "tensor", "--device", "0", "--json", *more]
    done = subprocess.run(command, capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    return msgspec.json.decode(done.stdout, type=ProbeRun).reports[0]


@pytest.fixture(scope="module")
def runs() -> tuple[ProbeReport, ProbeReport]:
    if not has_gpu():
        pytest.skip("torch finds no GPU here")
    return probed(), probed()


def figures(report: ProbeReport) -> dict[str, Measurement]:
    return {m.metric: m for m in report.measurements if m.probe == "tensor"}


def test_every_precision_is_measured_or_unsupported(runs: tuple[ProbeReport, ProbeReport]) -> None:
    for report in runs:
        bad = {m.metric: m.reason for m in figures(report).values() if m.valid in {"failed", "rejected"}}
        assert not bad


def test_figures_are_of_large_shapes_and_settled_clocks(runs: tuple[ProbeReport, ProbeReport]) -> None:
    small = {str(shape) for shape in START}
    for report in runs:
        for m in figures(report).values():
            if m.valid != "valid" or m.metric in RATE_LIMITED:
                continue
            assert m.conditions.shape not in small, m.metric
            assert m.conditions.extra["settled"] == 1.0, m.metric


def test_quick_mode_measures_every_precision_at_a_large_shape(
    runs: tuple[ProbeReport, ProbeReport],
) -> None:
    quick, whole = figures(probed("--quick")), figures(runs[0])
    small = {str(shape) for shape in START}
    there = {metric for metric, m in whole.items() if m.valid == "valid"} - RATE_LIMITED
    assert {metric: quick[metric].valid for metric in there} == dict.fromkeys(there, "valid")
    assert not {metric for metric in there if quick[metric].conditions.shape in small}


def test_aims_on_an_h100(runs: tuple[ProbeReport, ProbeReport]) -> None:
    if runs[0].device.model != "H100 SXM5 80GB" or runs[0].device.mig_profile:
        pytest.skip(f"aims are for a whole H100 SXM5 80GB, this is {runs[0].device.name}")
    for report in runs:
        reached = {metric: figures(report)[metric].of_spec or 0.0 for metric in AIMS}
        assert all(reached[metric] >= aim for metric, aim in AIMS.items()), reached


def test_two_runs_agree(runs: tuple[ProbeReport, ProbeReport]) -> None:
    first, second = (figures(report) for report in runs)
    apart = {
        metric: abs(b.value / a.value - 1)
        for metric, a in first.items()
        if a.valid == "valid" and a.value and (b := second[metric]).value
    }
    assert apart
    assert max(apart.values()) <= SPREAD, apart


def test_tensor_cores_are_seen_at_work(runs: tuple[ProbeReport, ProbeReport]) -> None:
    bf16 = figures(runs[0])["bf16"]
    if not bf16.counters_at_ceiling:
        pytest.skip(f"no GPM counters here: {bf16.conditions.missing}")
    assert bf16.counters_at_ceiling["tensor_active"] > 0.5
