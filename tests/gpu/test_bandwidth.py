"""Memory bandwidth and latency on a real GPU: plausible, repeatable, on an H100 as good as the best known."""

from __future__ import annotations

import os

import pytest

from probes.devices import NoDeviceError, list_devices
from probes.events import Event
from probes.record import DeviceFacts, Measurement, Plan, ProbeReport
from probes.specs import find_spec
from probes.suite import run_device

pytestmark = pytest.mark.gpu

H100_SXM = "H100 SXM5 80GB"
# Shares of the data sheet that the best public benchmarks of an H100 SXM reach.
AIMS = {"dram_copy": 0.89, "dram_read": 0.94}
REPEATABILITY = 0.01


@pytest.fixture(scope="module")
def device() -> DeviceFacts:
    if "ADVISOR_NVML_SCENARIO" in os.environ:
        pytest.skip("the NVML here is simulated")
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("torch sees no GPU here")
    try:
        return list_devices("")[0]
    except NoDeviceError as error:
        pytest.skip(f"no GPU here: {error}")


@pytest.fixture(scope="module")
def reports(device: DeviceFacts) -> list[ProbeReport]:
    plan = Plan(names=("latency", "bandwidth"), device=device.key)
    events: list[Event] = []
    both = [run_device(plan, device, events.append) for _ in range(2)]
    if both[0].refused:
        pytest.skip(f"the GPU cannot be measured now: {both[0].refused}")
    return both


def taken(report: ProbeReport, metric: str) -> Measurement:
    found = report.measurement(metric)
    assert found is not None, f"no record of {metric}"
    if found.valid == "unsupported":
        pytest.skip(f"{metric}: {found.reason}")
    assert found.valid == "valid", f"{metric}: {found.reason}"
    assert found.median is not None
    return found


@pytest.mark.parametrize("metric", ["dram_read", "dram_write", "dram_copy", "dram_triad", "l2_read"])
def test_two_runs_agree(reports: list[ProbeReport], metric: str) -> None:
    first, second = (taken(report, metric).median or 0.0 for report in reports)
    assert abs(first - second) <= REPEATABILITY * max(first, second)


@pytest.mark.parametrize("metric", sorted(AIMS))
def test_an_h100_reaches_what_the_best_benchmarks_do(
    device: DeviceFacts, reports: list[ProbeReport], metric: str
) -> None:
    spec = find_spec(device.name, device.memory_total_bytes, device.compute_capability, device.power_limit_w)
    if spec is None or spec.model != H100_SXM or device.mig_profile is not None:
        pytest.skip(f"the aims are for an {H100_SXM}, not a {device.name}")
    of_spec = taken(reports[0], metric).of_spec
    assert of_spec is not None and of_spec >= AIMS[metric]


def test_every_way_works(reports: list[ProbeReport]) -> None:
    broken = {m.metric: m.reason for m in reports[0].measurements if m.valid in ("failed", "rejected")}
    assert broken == {}


def test_the_hierarchy_is_in_order(reports: list[ProbeReport]) -> None:
    l2, dram = taken(reports[0], "l2_latency"), taken(reports[0], "dram_latency")
    assert (l2.median or 0.0) < (dram.median or 0.0)
    assert 100 < l2.conditions.extra["cycles"] < dram.conditions.extra["cycles"] < 2000
    assert (taken(reports[0], "l2_read").median or 0.0) > (taken(reports[0], "dram_read").median or 0.0)


def test_the_two_clocks_agree(reports: list[ProbeReport]) -> None:
    found = taken(reports[0], "dram_latency").conditions
    if found.sm_mhz is None:
        pytest.skip(f"the SM clock could not be read: {found.missing}")
    assert found.extra["clock64_mhz"] == pytest.approx(found.sm_mhz, rel=0.05)
