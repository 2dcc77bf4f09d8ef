"""Real traces: idle time equals the references, and its causes are what their labels say."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest

from advisor.traces.attribution import Attribution, attribute
from advisor.traces.gap_rows import gap_rows
from advisor.traces.read import read
from advisor.traces.timeline import Timeline
from rules.traces.records import CAUSES
from tests.advisor.traces.real import trace
from tests.advisor.traces.scene import causes, natures

# (file, device): idle % of its span, from two other programs; see SOURCES.md beside the traces.
REFERENCES = {
    ("h100_owlv2.json.gz", 0): 47.439,
    ("h100_bert_small.json.gz", 0): 92.082,
    ("mi210_gpu_only.json.gz", 1): 10.639,
    ("a100_rank0_of_16.json.gz", 0): 64.398,
    ("v100_ns_resolution.json.gz", 0): 1.576,
    ("sampled_rank0_of_128.json.gz", 0): 55.215,
    ("sampled_rank1_of_128.json.gz", 1): 52.887,
    ("v100_resnet50_workers0.json.gz", 0): 39.431,
    ("v100_resnet50_workers4.json.gz", 0): 23.347,
    ("nsys_2gpu.sqlite", 0): 8.681,
    ("nsys_2gpu.sqlite", 1): 10.509,
}


@lru_cache(maxsize=1)
def parsed(name: str) -> Timeline:
    return read(trace(name))


@lru_cache(maxsize=16)
def attributed(name: str, device: int = 0) -> Attribution:
    timeline = parsed(name)
    return attribute(timeline, device, natures(timeline))


def idle_parts(name: str, device: int = 0) -> dict[str, float]:
    """Parts of idle time by cause."""
    sums = causes(attributed(name, device))
    return {cause: ns / sum(sums.values()) for cause, ns in sums.items()}


@pytest.mark.parametrize(("name", "device"), REFERENCES)
def test_idle_time_equals_the_reference_and_sums_are_exact(name: str, device: int) -> None:
    made = attributed(name, device)
    idle = int(made.causes_ns().sum())
    assert idle + int(made.busy_ns().sum()) == made.span_ns
    assert 100 * idle / made.span_ns == pytest.approx(REFERENCES[name, device], abs=0.01)


def test_a_loader_in_the_training_process_starves_the_device() -> None:
    made = attributed("v100_resnet50_workers0.json.gz")
    assert idle_parts("v100_resnet50_workers0.json.gz")["data_loading"] > 0.65
    rows = gap_rows(parsed("v100_resnet50_workers0.json.gz"), made, 5)
    assert all(row.host is not None and "DataLoader" in row.host for row in rows)


def test_the_loader_takes_the_part_of_a_step_that_its_label_says() -> None:
    """33.4 % of the step, says the profiler's own plugin, which counts the loader where nothing ran."""
    timeline, made = parsed("v100_resnet50_workers0.json.gz"), attributed("v100_resnet50_workers0.json.gz")
    steps = zip(timeline.steps.start_ns.tolist(), timeline.steps.end_ns.tolist(), strict=True)
    whole = [(low, high) for low, high in steps if low >= made.start_ns and high <= made.end_ns]
    loading = sum(int(made.between(*step)[0][CAUSES.index("data_loading")]) for step in whole)
    assert loading / sum(high - low for low, high in whole) == pytest.approx(0.334, abs=0.02)


def test_loaders_of_their_own_do_not() -> None:
    assert idle_parts("v100_resnet50_workers4.json.gz")["data_loading"] < 0.03


def test_a_launch_bound_trace_is_all_launches_though_no_gap_is_long() -> None:
    name = "h100_bert_small.json.gz"
    assert idle_parts(name)["host_launch"] > 0.99
    assert gap_rows(parsed(name), attributed(name), 1)[0].duration_us < 1000


def test_causes_are_told_from_launches_alone() -> None:
    parts = idle_parts("mi210_gpu_only.json.gz", 1)
    assert set(parts) == {"host_launch", "kernel_gap"}


def test_kernels_of_a_graph_that_the_profiler_missed_are_not_blamed_on_anybody() -> None:
    assert idle_parts("a100_rank0_of_16.json.gz")["unknown"] > 0.8


def test_another_process_and_its_overhead_are_left_alone() -> None:
    """Both processes flush the profiler's buffers; each device pays for its own."""
    first, second = (idle_parts("nsys_2gpu.sqlite", device) for device in (0, 1))
    assert 0 < second["profiler_overhead"] < first["profiler_overhead"] < 0.08


def test_gaps_and_segments_agree() -> None:
    made = attributed("h100_owlv2.json.gz")
    longest = gap_rows(parsed("h100_owlv2.json.gz"), made, 4)
    assert all(max(row.causes, key=lambda key: row.causes[key]) == "data_loading" for row in longest)
    assert np.isclose(sum(longest[0].causes.values()), longest[0].duration_us)
