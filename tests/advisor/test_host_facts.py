"""Host facts: who a device's process is, and what its looks come to."""

from __future__ import annotations

import pytest

from advisor.host_facts import main_process, process_facts, without_mps
from advisor.monitor import Monitor, MonitorOptions
from advisor.telemetry.records import Frame, ProcessSample
from rules.evidence import Evidence
from tests.advisor.streams import GIB, T0, device, hello, process, sample

MPS = process(pid=9, name="nvidia-cuda-mps-server", mem_used_bytes=50 * GIB)


def test_the_server_of_mps_is_nobodys_work() -> None:
    small, large = process(pid=1, mem_used_bytes=GIB), process(pid=2, mem_used_bytes=2 * GIB)
    assert main_process([MPS, small, large]) == large
    assert main_process([MPS]) == MPS
    assert main_process([]) is None
    assert without_mps([MPS, small]) == [small]


def test_what_is_written_in_bursts_is_not_lost_in_a_median() -> None:
    looks = [process(io_write_bytes_s=rate, io_read_bytes_s=rate) for rate in (0.0, 0.0, 6e8)]
    facts = process_facts([*looks, process()])
    assert facts["io_write_bytes_s"] == pytest.approx(2e8)
    assert facts["io_read_bytes_s"] == 0.0
    assert process_facts([process()])["io_write_bytes_s"] is None


def evidence_of(*processes: ProcessSample) -> Evidence:
    card = device(mem_temp_limit_c=105.0)
    monitor = Monitor(MonitorOptions(env={}))
    monitor.feed(hello(card))
    for i in range(1, 6):
        made = sample(card, T0 + i, {"tensor_active": 0.7})
        monitor.feed(Frame(seq=i, t_s=T0 + i, samples=(made,), processes=processes or None))
    (track,) = monitor.tracks.values()
    return track.evidence(monitor._node(), *monitor._window())


def test_evidence_knows_the_server_behind_a_name_mps_and_the_boards_limit() -> None:
    served = evidence_of(MPS, process(pid=1, name="python3", server="vllm"), process(pid=2, mem_used_bytes=1))
    assert (served.server, served.mps, served.device.mem_temp_limit_c) == ("vllm", True, 105.0)
    assert served.workload is not None
    assert (served.workload.pid, served.workload.others) == (1, 1)
    plain = evidence_of(process())
    assert (plain.server, plain.mps) == (None, False)
    assert evidence_of().server is None
