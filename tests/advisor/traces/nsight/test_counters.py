from __future__ import annotations

from pathlib import Path

import pytest

from advisor.traces.nsight import read_nsight
from advisor.traces.nsight.counters import counter_name
from tests.advisor.traces.nsight.export import Export


def sampled(metrics: dict[str, list[int]], type_id: int = 0x1000000000000) -> Export:
    export = Export().kernel(0, 1).call(0, 1, "cudaLaunchKernel", 3)
    for number, (name, values) in enumerate(metrics.items()):
        export.add("TARGET_INFO_GPU_METRICS", typeId=type_id, sourceId=1, metricId=number, metricName=name)
        for tick, value in enumerate(values):
            export.add("GPU_METRICS", timestamp=100 * tick, typeId=type_id, metricId=number, value=value)
    return export


def test_percentages_become_fractions_by_gpu(tmp_path: Path) -> None:
    export = sampled(
        {"SMs Active [Throughput %]": [50, 100], "Tensor Active [Throughput %]": [0, 25]}, (7 << 8) | 2
    )
    counters = read_nsight(export.write(tmp_path / "synthetic.sqlite")).counters
    assert set(counters) == {"sm_active", "tensor_active"}
    device, times, values = counters["sm_active"]
    assert (list(device), list(times), list(values)) == ([2, 2], [0, 100], [0.5, 1.0])


def test_clocks_are_hertz_whichever_way_they_were_exported(tmp_path: Path) -> None:
    export = sampled({"GPC Clock Frequency [MHz]": [1980], "SYS Clock Frequency [MHz]": [1_700_000_000]})
    counters = read_nsight(export.write(tmp_path / "synthetic.sqlite")).counters
    assert counters["gpc_clock_hz"][2][0] == 1.98e9
    assert counters["sys_clock_hz"][2][0] == 1.7e9


def test_unknown_metrics_keep_what_the_file_calls_them(tmp_path: Path) -> None:
    timeline = read_nsight(
        sampled({"Brand New Thing [Throughput %]": [50]}).write(tmp_path / "synthetic.sqlite")
    )
    assert list(timeline.counters["brand_new_thing"][2]) == [0.5]
    assert timeline.meta.facts["counter brand_new_thing"] == "Brand New Thing [Throughput %]"


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("DRAM Read Bandwidth [Throughput %]", "dram_read"),
        ("DRAM Write Bandwidth [Throughput %]", "dram_write"),
        ("GR Active [Throughput %]", "gr_active"),
        ("SM Issue [Throughput %]", "sm_issue"),
        ("Compute Warps in Flight [Throughput %]", "warps_in_flight"),
        ("Compute Warps in Flight [Avg Warps per Cycle]", "compute_warps_in_flight_avg_warps_per_cycle"),
        ("PCIe RX Throughput [Throughput %]", "pcie_rx"),
        ("NVLink RX Responses User Data [Throughput %]", "nvlink_rx_responses_user_data"),
        ("\x00\x1b[31m", "31m"),
    ],
)
def test_names(label: str, name: str) -> None:
    assert counter_name(label)[0] == name


def test_values_may_be_fractions_and_what_is_none_is_left_out(tmp_path: Path) -> None:
    export = sampled({"SMs Active [Throughput %]": [50]})
    for value in (37.5, None, "text"):
        export.tables["GPU_METRICS"].append(
            export.tables["GPU_METRICS"][0] | {"timestamp": 900, "value": value}
        )
    timeline = read_nsight(export.write(tmp_path / "synthetic.sqlite"))
    assert list(timeline.counters["sm_active"][2]) == [0.5, 0.375]
    assert [(loss.code, loss.count) for loss in timeline.losses] == [("damaged", 2)]


def test_metrics_without_names_are_left_out(tmp_path: Path) -> None:
    export = Export().kernel(0, 1).call(0, 1, "cudaLaunchKernel", 3)
    export.add("GPU_METRICS", timestamp=1, typeId=0, metricId=3, value=4)
    assert read_nsight(export.write(tmp_path / "synthetic.sqlite")).counters == {}
