from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import msgspec
import pytest

from advisor.document import Diagnosis
from advisor.monitor import Monitor, MonitorOptions
from advisor.telemetry.recording import demo_path
from advisor.telemetry.recording_reader import read_recording
from advisor.telemetry.records import DeviceInfo, End, Frame, Gap, HostSample, Message
from tests.advisor.streams import GIB, T0, device, frames, hello, process, sample

COMPUTE = {"tensor_active": 0.75, "hmma": 0.75}
MEMORY = {"dram_active": 0.86}


def monitor(*messages: Iterable[Message], devices: tuple[DeviceInfo, ...] = (), **options: Any) -> Monitor:
    made = Monitor(MonitorOptions(price_flag=4.0, env={}, **options))
    made.feed(hello(*devices))
    for part in messages:
        for message in part:
            made.feed(message)
    return made


def codes(d: Diagnosis) -> set[str]:
    return {flag.code for flag in d.flags}


def test_a_memory_bound_stream_is_memory_bound_and_priced() -> None:
    d = monitor(frames(MEMORY, 10)).diagnosis()
    verdict, row = d.verdicts[0], d.ladder[0]
    assert (verdict.class_, verdict.tier, verdict.gpu) == ("memory", "counters", 0)
    assert verdict.workload is not None and verdict.workload.pid == 4242
    assert row.price_usd_h == 4.0 and row.basis == "user"
    assert row.terms is not None and math.isclose(math.fsum(row.terms.values()), 4.0, abs_tol=1e-9)
    assert d.totals.price_usd_h == 4.0
    assert d.provenance.devices[0].energy_j == pytest.approx(500.0 * 9)
    assert d.provenance.watch_cost_frac == pytest.approx(0.005)
    assert "assumed-ceilings" in codes(d)


def test_nothing_but_a_header_is_unknown_not_an_error() -> None:
    d = monitor().diagnosis()
    assert d.verdicts[0].class_ == "unknown"
    assert d.totals.price_usd_h == 4.0


def test_without_a_header_there_is_no_diagnosis() -> None:
    with pytest.raises(ValueError, match="header"):
        Monitor(MonitorOptions(env={})).diagnosis()


def test_a_device_without_gpm_is_read_in_the_nvml_tier() -> None:
    old = device(gpm=False, missing={"gpm": "needs Hopper or newer"})
    m = monitor(frames(None, 10, old, mem_util_frac=0.95), devices=(old,))
    verdict = m.diagnosis().verdicts[0]
    assert (verdict.class_, verdict.tier) == ("memory", "nvml")
    assert verdict.confidence <= 0.70
    assert "no-gpm" in codes(m.diagnosis())


def test_coarse_figures_from_before_gpm_answered_are_not_mixed_in() -> None:
    unsure = device(gpm=None)
    m = monitor(frames(None, 2, unsure), frames(COMPUTE, 8, unsure, start=3), devices=(unsure,))
    verdict = m.diagnosis().verdicts[0]
    assert verdict.tier == "counters"
    assert m.diagnosis().provenance.devices[0].windows == 40


def test_a_rolling_window_forgets() -> None:
    m = monitor(frames(MEMORY, 30), frames(COMPUTE, 30, start=31), window_s=20.0)
    verdict = m.diagnosis().verdicts[0]
    assert verdict.class_ == "compute"
    assert verdict.shares["memory"] == 0.0
    assert m.diagnosis().provenance.t_start_s == T0 + 40


def test_a_lost_gpu_leaves_the_other_running() -> None:
    two = (device(0), device(1))
    gone = [
        Frame(
            seq=i,
            t_s=T0 + i,
            samples=(
                sample(two[0], T0 + i, MEMORY),
                sample(two[1], T0 + i, None, state="lost", missing={"device": "GPU is lost"}),
            ),
        )
        for i in range(11, 16)
    ]
    m = monitor(frames(MEMORY, 10, *two), gone, devices=two)
    first, second = m.diagnosis().verdicts
    assert first.class_ == "memory"
    assert (second.class_, second.cause) == ("unknown", "gpu-lost")
    assert [v.state for v in m.snapshot().devices] == ["ok", "lost"]
    assert "gpu-lost" in codes(m.diagnosis())


def test_a_silence_is_unknown_while_it_lasts_and_a_gap_afterwards() -> None:
    gap = Gap(t_s=T0 + 10, kind="silent", reason="driver not answering since 12:00:10")
    m = monitor(frames(MEMORY, 10), [gap])
    m.tick(T0 + 15)
    snapshot = m.snapshot()
    assert snapshot.stale == "driver not answering since 12:00:10"
    assert snapshot.devices[0].state == "silent"
    assert snapshot.diagnosis.verdicts[0].cause == "driver-silent"
    for message in frames(MEMORY, 5, start=16):
        m.feed(message)
    assert m.snapshot().stale is None
    assert m.diagnosis().verdicts[0].class_ == "memory"
    assert "gap" in codes(m.diagnosis())
    assert any(p.gap for p in m.snapshot().devices[0].history)


def test_a_stream_that_stopped_just_before_the_end_is_silent_too() -> None:
    m = monitor(frames(MEMORY, 10))
    m.note_silence(T0 + 12)
    assert m.diagnosis().verdicts[0].class_ == "memory"
    m.note_silence(T0 + 13)
    assert m.diagnosis().verdicts[0].cause == "driver-silent"


def test_a_screen_reconsiders_every_other_tick_and_a_fault_at_once() -> None:
    m = monitor(frames(MEMORY, 30))
    seen = []
    for message in frames(MEMORY, 4, start=31):
        m.feed(message)
        seen.append(id(m.snapshot().devices[0].verdict))
    assert len(set(seen)) == 2
    m.feed(Gap(t_s=T0 + 35, kind="silent", reason="driver not answering since 12:00:35"))
    assert m.snapshot().diagnosis.verdicts[0].cause == "driver-silent"


def test_mig_instances_are_rows_and_the_unallocated_rest_is_free() -> None:
    parent = device(0, mig_enabled=True)
    slices = tuple(
        device(
            0,
            key=f"MIG-{gi}",
            uuid=f"MIG-{gi}",
            name="NVIDIA H100 80GB HBM3 MIG 2g.20gb",
            parent_key=parent.key,
            mig_profile="2g.20gb",
            gi_id=gi,
            slice_frac=2 / 7,
            memory_total_bytes=20 * GIB,
        )
        for gi in (3, 5)
    )
    d = monitor(frames(MEMORY, 10, *slices), devices=(parent, *slices)).diagnosis()
    assert [v.mig for v in d.verdicts] == ["2g.20gb/3", "2g.20gb/5"]
    assert {v.class_ for v in d.verdicts} == {"memory"}
    assert d.totals.price_usd_h == pytest.approx(4.0)
    rest = next(row for row in d.ladder if row.mig == "unallocated")
    assert rest.terms is not None and rest.terms["free"] == pytest.approx(4.0 * 3 / 7)


def test_devices_can_be_chosen_by_uuid_and_by_process() -> None:
    two = (device(0), device(1))
    chosen = monitor(frames(MEMORY, 5, *two), devices=two, keys=frozenset({"GPU-00000001"}))
    assert [v.gpu for v in chosen.diagnosis().verdicts] == [1]
    m = monitor(frames(MEMORY, 5, *two), devices=two, pids=frozenset({7}))
    assert m.diagnosis().verdicts == ()
    m.feed(Frame(seq=6, t_s=T0 + 6, processes=(process("GPU-00000001", pid=8),)))
    m.watch_pids([8])
    assert [v.gpu for v in m.diagnosis().verdicts] == [1]


def test_an_unknown_model_has_no_ceiling_and_no_invented_price() -> None:
    odd = device(name="NVIDIA Imaginary 9000")
    made = Monitor(MonitorOptions(env={}))
    made.feed(hello(odd))
    for message in frames(MEMORY, 10, odd):
        made.feed(message)
    d = made.diagnosis()
    assert d.ladder[0].price_usd_h is None and d.ladder[0].basis == "none"
    assert d.verdicts[0].class_ == "unknown"
    assert {"no-price", "no-ceiling"} <= codes(d)


def test_no_process_and_little_memory_is_free() -> None:
    idle = [
        Frame(
            seq=i,
            t_s=T0 + i,
            samples=(sample(device(), T0 + i, {"gr_active": 0.0}, mem_used_bytes=GIB // 2),),
            processes=(),
        )
        for i in range(1, 11)
    ]
    assert monitor(idle).diagnosis().verdicts[0].cause == "free"


def test_memory_held_by_processes_out_of_sight_is_not_free() -> None:
    held = [
        Frame(seq=i, t_s=T0 + i, samples=(sample(device(), T0 + i, {"gr_active": 0.0}),), processes=())
        for i in range(1, 11)
    ]
    assert monitor(held).diagnosis().verdicts[0].cause == "idle-held"


def test_the_end_is_shown() -> None:
    m = monitor(frames(MEMORY, 5), [End(t_s=T0 + 6, reason="the recording ends here")])
    assert m.snapshot().ended == "the recording ends here"


def test_a_hot_removed_device_is_lost_and_a_new_one_appears() -> None:
    two = (device(0), device(1))
    m = monitor(frames(MEMORY, 5, *two), devices=two)
    m.feed(Frame(seq=6, t_s=T0 + 6, samples=(sample(two[0], T0 + 6, MEMORY),), devices=(two[0],)))
    states = {v.info.index: v.state for v in m.snapshot().devices}
    assert states == {0: "ok", 1: "lost"}


def bills(m: Monitor) -> float | None:
    return m.diagnosis().totals.price_usd_h


def slices(parent: DeviceInfo, *profiles: str) -> tuple[DeviceInfo, ...]:
    return tuple(
        device(0, key=f"MIG-{p}-{i}", uuid=f"MIG-{p}-{i}", parent_key=parent.key, mig_profile=p, gi_id=i)
        for i, p in enumerate(profiles)
    )


def listed(m: Monitor, t_s: float, *devices: DeviceInfo) -> None:
    live = tuple(sample(d, t_s, MEMORY) for d in devices if not d.mig_enabled)
    m.feed(Frame(seq=0, t_s=t_s, samples=live, devices=devices))


def test_the_bill_is_the_same_whatever_mig_does() -> None:
    """Whole, split, laid out anew and whole again: the node never pays for a GPU twice."""
    whole, split_up = device(0), device(0, mig_enabled=True)
    m = monitor(frames(MEMORY, 5, whole), devices=(whole,))
    assert bills(m) == pytest.approx(4.0)
    listed(m, T0 + 6, split_up, *slices(split_up, "3g.40gb", "2g.20gb"))
    assert bills(m) == pytest.approx(4.0)
    listed(m, T0 + 7, split_up, *slices(split_up, "1g.10gb", "1c.2g.20gb", "1c.2g.20gb"))
    assert bills(m) == pytest.approx(4.0)
    assert len(m.diagnosis().verdicts) == 3
    listed(m, T0 + 8, whole)
    assert bills(m) == pytest.approx(4.0)
    assert [v.mig for v in m.diagnosis().verdicts] == [None]


def test_seven_small_slices_leave_nothing_to_allot() -> None:
    parent = device(0, mig_enabled=True)
    parts = slices(parent, *["1g.10gb"] * 7)
    d = monitor(frames(MEMORY, 5, *parts), devices=(parent, *parts)).diagnosis()
    assert "unallocated" not in {row.mig for row in d.ladder}
    assert d.totals.price_usd_h == pytest.approx(4.0)


def test_a_slice_of_unknown_size_has_no_price() -> None:
    parent = device(0, mig_enabled=True)
    (odd,) = slices(parent, "odd")
    d = monitor(frames(MEMORY, 5, odd), devices=(parent, odd)).diagnosis()
    assert [row.price_usd_h for row in d.ladder] == [None]


def test_counters_that_stop_make_time_unknown() -> None:
    m = monitor(frames(MEMORY, 10), frames(None, 30, start=11, missing={"gpm": "GPM failed: timeout"}))
    (verdict,) = m.diagnosis().verdicts
    assert verdict.shares["unknown"] == pytest.approx(0.75, abs=0.05)
    assert verdict.class_ == "unknown"
    assert "gap" in codes(m.diagnosis())


def test_missing_seconds_between_frames_are_unknown_and_not_lost() -> None:
    m = monitor(frames(MEMORY, 10), frames(MEMORY, 10, start=15))
    (verdict,) = m.diagnosis().verdicts
    assert verdict.shares["unknown"] == pytest.approx(4 / 24, abs=0.02)
    assert verdict.class_ == "memory"
    assert verdict.confidence <= 1.0 - verdict.shares["unknown"]


@pytest.mark.parametrize("step_s", [-3600, 3600])
def test_a_clock_that_is_set_starts_the_window_anew(step_s: int) -> None:
    m = monitor(frames(MEMORY, 20), frames(COMPUTE, 20, start=21 + step_s))
    d = m.diagnosis()
    assert d.verdicts[0].shares["compute"] == pytest.approx(1.0)
    assert d.provenance.t_end_s - d.provenance.t_start_s == pytest.approx(20.0)
    assert "clock-step" in codes(d)


def test_history_is_in_order_whatever_gaps_and_clocks_do() -> None:
    m = monitor(frames(MEMORY, 10), [Gap(t_s=T0 + 8, kind="silent", reason="driver not answering")])
    for message in (*frames(MEMORY, 5, start=12), *frames(MEMORY, 5, start=-3600)):
        m.feed(message)
        times = [p.t_s for p in m.snapshot().devices[0].history]
        assert times == sorted(times)


def test_a_pause_is_not_missing_data() -> None:
    m = monitor(frames(MEMORY, 10), [Gap(t_s=T0 + 10, kind="paused", reason="paused")])
    for message in frames(MEMORY, 10, start=60):
        m.feed(message)
    (verdict,) = m.diagnosis().verdicts
    assert verdict.shares["unknown"] == 0.0


def test_pcie_traffic_is_known_without_gpm() -> None:
    old = device(gpm=False, missing={"gpm": "needs Hopper or newer"})
    m = monitor(devices=(old,))
    for i in range(1, 6):
        copied = sample(old, T0 + i, None, gpu_util_frac=0.5, pcie_rx_bytes=i * 10**10, pcie_tx_bytes=0)
        m.feed(Frame(seq=i, t_s=T0 + i, samples=(copied,)))
    rates = [w.pcie_rx_bytes_s for w, _ in m.tracks[old.key].windows]
    assert rates == [None, *[pytest.approx(1e10)] * 4]


def test_a_finished_process_still_names_the_workload() -> None:
    m = monitor(frames(MEMORY, 10))
    m.feed(Frame(seq=11, t_s=T0 + 11, samples=(sample(device(), T0 + 11, MEMORY),), processes=()))
    workload = m.diagnosis().verdicts[0].workload
    assert workload is not None and workload.pid == 4242


def evidence_of(m: Monitor, key: str = "GPU-00000000") -> Any:
    """What rules would read of a device now."""
    track = m.tracks[key]
    return track.evidence(m._node(), *m._window())


def test_errors_of_the_window_are_counted_and_older_ones_are_not() -> None:
    ticks: list[Any] = list(frames(COMPUTE, 20, pcie_replays=7, ecc_corrected=3))

    def changed(i: int, **more: Any) -> Any:
        given = msgspec.structs.replace(ticks[i].samples[0], **more)
        return msgspec.structs.replace(ticks[i], samples=(given,))

    ticks[2] = changed(2, xids=(13,))
    ticks[15] = changed(15, xids=(48, 48))
    ticks[19] = changed(19, pcie_replays=19, ecc_corrected=3)
    live = evidence_of(monitor(ticks, window_s=10.0)).device
    whole = evidence_of(monitor(ticks)).device
    assert (live.xids, whole.xids) == ((48, 48), (13, 48, 48))
    assert (whole.pcie_replays, whole.ecc_corrected) == (12, 0)


def test_a_counter_that_was_reset_or_seen_once_tells_no_growth() -> None:
    ticks: list[Any] = list(frames(COMPUTE, 4, pcie_replays=7))
    assert evidence_of(monitor(ticks[:1])).device.pcie_replays is None
    reset = msgspec.structs.replace(ticks[3].samples[0], pcie_replays=0)
    ticks[3] = msgspec.structs.replace(ticks[3], samples=(reset,))
    assert evidence_of(monitor(ticks)).device.pcie_replays is None


@pytest.mark.parametrize(
    ("app", "default", "owner", "limit"),
    [
        (1200.0, 1700.0, 1980.0, 1200.0),
        (1700.0, 1700.0, 1980.0, None),  # a board boosts beyond the clock that it comes with
        (1980.0, 1700.0, 1980.0, None),
        (None, None, 1500.0, 1500.0),
        (1600.0, 1700.0, 1500.0, 1500.0),
        (1200.0, None, None, None),  # it may be the board's own
        (None, None, None, None),
    ],
)
def test_settings_limit_the_clock_where_they_are_below_the_boards_own(
    app: float | None, default: float | None, owner: float | None, limit: float | None
) -> None:
    info = device(sm_mhz_app_default=default)
    ticks = frames(COMPUTE, 3, info, sm_mhz_app=app, sm_mhz_customer_max=owner)
    assert evidence_of(monitor(ticks, devices=(info,))).device.sm_mhz_limit == limit


def test_swap_memory_and_versions_reach_the_rules() -> None:
    ticks: list[Any] = []
    for i, tick in enumerate(frames(COMPUTE, 5)):
        host = HostSample(t_s=tick.t_s, mem_used_bytes=30, mem_total_bytes=40, swap_used_bytes=i * GIB)
        ticks.append(msgspec.structs.replace(tick, host=host))
    m = Monitor(MonitorOptions(env={}))
    m.feed(hello(driver_version="525.60.13", cuda_version="12.0"))
    for tick in ticks:
        m.feed(tick)
    evidence = evidence_of(m)
    assert (evidence.host.mem_used_frac, evidence.host.swap_growth_bytes) == (0.75, 4 * GIB)
    assert evidence.host.swap_used_bytes == 4 * GIB
    assert (evidence.device.driver_version, evidence.device.cuda_version) == ("525.60.13", "12.0")
    assert {"SW001", "HOST021"} <= {f.code for f in m.diagnosis().findings}


def test_rows_see_their_siblings_live_and_in_a_report() -> None:
    infos = tuple(device(i) for i in range(4))
    clocks = (1700.0, 1500.0, 1710.0, 1720.0)
    streams: list[list[Any]] = [
        list(frames(COMPUTE, 20, info, sm_mhz=mhz)) for info, mhz in zip(infos, clocks, strict=True)
    ]
    ticks = [
        msgspec.structs.replace(
            parts[0],
            samples=tuple(sample for part in parts for sample in part.samples),
            processes=tuple(p for part in parts for p in part.processes or ()) or None,
        )
        for parts in zip(*streams, strict=True)
    ]
    m = monitor(ticks, devices=infos)
    for d in (m.diagnosis(), m.snapshot().diagnosis):
        assert [f.gpu for f in d.findings if f.code == "DEV019"] == [1]


def test_a_recording_without_the_newer_fields_is_read_and_accuses_nobody() -> None:
    m, recording = Monitor(MonitorOptions(env={})), read_recording(demo_path())
    m.feed(recording.hello)
    for message in recording:
        m.feed(message)
    found = {f.code for f in m.diagnosis().findings}
    assert not found & {"DEV010", "DEV012", "DEV013", "DEV014", "DEV018", "SW001", "HOST021"}
